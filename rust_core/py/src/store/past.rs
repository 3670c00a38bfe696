//! Replacing a value and keeping the one before: what agents do with each variable that changes.

use pyo3::prelude::*;
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::{Draft, Kind};
use spellkeep_core::store::{Batch, Op};
use spellkeep_core::sync::Arc;

use super::Shared;
use super::failure::to_py;
use super::read::{live, moved};
use super::write::{How, draft_value, hooked_batch};
use crate::correlation;

/// Stores `value` under `key` and, in the same batch, what was there under `past/KEY/VERSION.TIME` (in hexadecimal digits).
/// Returns the version, and whether anything was there. Errors: `cas.version_mismatch` when it changed meanwhile.
pub fn replace(
    shared: &Arc<Shared>,
    map: &Arc<ScopeMap>,
    key: &str,
    value: &Bound<'_, PyAny>,
    how: How,
) -> PyResult<(u64, bool)> {
    let py = value.py();
    shared.check().map_err(|e| to_py(py, e))?;
    // The new value first: it may run code of the program, which may write.
    let mut draft = Draft::default();
    draft_value(shared, &mut draft, map, key, value, how)?;
    let (mut batch, mut version) = (Batch::default(), 0);
    if let Some(entry) = live(py, shared, map, key.as_bytes())? {
        let meta = entry.meta();
        version = meta.lsn;
        let name = format!("past/{key}/{:012x}.{:014x}", meta.lsn, meta.time_us);
        let current = correlation::current_writing(py)?;
        let before = moved(py, shared, map, &entry, name.as_bytes())?;
        let kept = Draft::from(Kind::Set, meta.class, map.scope(), name.as_bytes(), &before, current.origin());
        batch.push(Op { map: Arc::clone(map), draft: kept, if_version: None });
    }
    batch.push(Op { map: Arc::clone(map), draft, if_version: Some(version) });
    let versions = hooked_batch(py, shared, &mut batch)?;
    Ok((versions[versions.len() - 1], version > 0))
}

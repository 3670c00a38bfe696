//! Committed changes as rows; `spellkeep.store.Change` is what users see.

use std::sync::Mutex;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use spellkeep_core::record::Kind;
use spellkeep_core::store::{self, Change, StoreError};
use spellkeep_core::sync::Arc;

use super::Shared;
use super::failure::to_py;
use super::read::key_object;
use crate::scope::StateScope;

/// Version, microseconds since the epoch, operation, scope, key, encoded value, number of the class, batch goes on,
/// microseconds since the epoch when it expires.
pub type Row<'py> = (
    u64,
    u64,
    &'static str,
    StateScope,
    Option<Bound<'py, PyString>>,
    Option<Bound<'py, PyBytes>>,
    u8,
    bool,
    Option<u64>,
);

/// One change as a row.
pub fn row<'py>(py: Python<'py>, change: &Change) -> PyResult<Row<'py>> {
    let operation = match change.kind {
        Kind::Set => "set",
        Kind::Delete => "delete",
        Kind::Clear => "clear",
        Kind::Expire => "expire",
        Kind::Skip => "skip",
    };
    let key = if change.kind == Kind::Clear { None } else { Some(key_object(py, &change.key)?) };
    let value = (change.kind == Kind::Set).then(|| PyBytes::new(py, &change.value));
    let scope = StateScope::from_encoded(change.scope.clone());
    Ok((
        change.lsn,
        change.time_us,
        operation,
        scope,
        key,
        value,
        change.class as u8,
        change.in_batch,
        change.expires_us,
    ))
}

/// A cursor over all committed changes.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct Changes {
    shared: Arc<Shared>,
    cursor: Mutex<store::Changes>,
}

impl Changes {
    /// A cursor that starts behind version `since`.
    pub fn new(shared: &Arc<Shared>, since: u64) -> Result<Self, StoreError> {
        Ok(Self { shared: Arc::clone(shared), cursor: Mutex::new(shared.changes(since)?) })
    }
}

#[pymethods]
impl Changes {
    /// Up to `count` more rows; fewer at the end of the log, where more may come later.
    fn next_rows<'py>(&self, py: Python<'py>, count: usize) -> PyResult<Vec<Row<'py>>> {
        self.shared.check().map_err(|e| to_py(py, e))?;
        let read = py.detach(|| {
            let mut cursor = self.cursor.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let mut changes = Vec::new();
            while changes.len() < count {
                match cursor.next_change()? {
                    Some(change) => changes.push(change),
                    None => break,
                }
            }
            Ok(changes)
        });
        read.map_err(|e| to_py(py, e))?.iter().map(|change| row(py, change)).collect()
    }
}

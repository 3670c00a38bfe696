//! `Batch`: operations that are encoded as they are added and committed as one.

use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use spellkeep_core::index::ScopeMap;
use spellkeep_core::limits::{BATCH_BYTES_MAX, BATCH_OPS_MAX};
use spellkeep_core::record::{Draft, Kind, StateClass};
use spellkeep_core::store::{self, Op};
use spellkeep_core::sync::Arc;

use super::failure::to_py;
use super::manager::Store;
use super::read::{live, moved};
use super::write;
use super::write::How;
use super::{Shared, Ttl, Version, state_class};
use crate::correlation;
use crate::errors::raise;
use crate::scope::{StateScope, key_str};

#[derive(Default)]
struct Pending {
    batch: store::Batch,
    /// For each call, which operation of the batch it became.
    calls: Vec<usize>,
    versions: Option<Vec<u64>>,
}

/// Class, code and sentence of a refusal.
type Refusal = (&'static str, &'static str, String);

fn committed() -> Refusal {
    ("Closed", "batch.committed", "the batch is committed; begin another".to_owned())
}

/// Operations to commit as one.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct Batch {
    shared: Arc<Shared>,
    pending: Mutex<Pending>,
}

impl Batch {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn map(&self, scope: &Bound<'_, StateScope>) -> Arc<ScopeMap> {
        let encoded = scope.get().encoded();
        let same = self.pending().batch.last_map(encoded);
        same.unwrap_or_else(|| self.shared.scope(encoded))
    }

    /// Adds an operation, or says why not. The lock is given back before an exception is made: that runs Python code,
    /// which may let another thread go on that waits for the lock with the interpreter in its hands.
    fn add(&self, py: Python<'_>, op: Op) -> PyResult<()> {
        self.try_add(op).map_err(|(class, code, detail)| raise(py, class, code, &detail, None))
    }

    fn try_add(&self, op: Op) -> Result<(), Refusal> {
        let mut pending = self.pending();
        if pending.versions.is_some() {
            return Err(committed());
        }
        if pending.calls.len() >= BATCH_OPS_MAX {
            let detail = format!("a batch takes {BATCH_OPS_MAX} operations; commit it and begin another");
            return Err(("LimitExceeded", "batch.operations", detail));
        }
        if pending.batch.bytes() + op.draft.frame_len() > BATCH_BYTES_MAX {
            let detail = format!("a batch takes {BATCH_BYTES_MAX} bytes; commit it and begin another");
            return Err(("LimitExceeded", "batch.bytes", detail));
        }
        let index = pending.batch.push(op);
        pending.calls.push(index);
        Ok(())
    }

    /// Takes everything out to be committed. Until that is over, another thread's additions are refused and not lost.
    fn take(&self) -> Result<Pending, Refusal> {
        let mut pending = self.pending();
        if pending.versions.is_some() {
            return Err(committed());
        }
        Ok(std::mem::replace(&mut *pending, Pending { versions: Some(Vec::new()), ..Pending::default() }))
    }
}

#[pymethods]
impl Batch {
    #[new]
    fn new(py: Python<'_>, store: &Bound<'_, Store>) -> PyResult<Self> {
        let shared = Arc::clone(&store.get().shared);
        shared.check().map_err(|e| to_py(py, e))?;
        Ok(Self { shared, pending: Mutex::default() })
    }

    /// Add: store `value` under `key`. The value is encoded now; later changes to it do not count.
    #[pyo3(signature = (scope, key, value, *, if_version=None, ttl_s=None, state_class=None))]
    fn set(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        if_version: Option<Version>,
        ttl_s: Option<Ttl>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.shared.check().map_err(|e| to_py(scope.py(), e))?;
        let class = self::state_class(state_class, StateClass::Standard)?;
        let how = How { if_version, class, keeps_seal: state_class.is_none(), ttl: ttl_s, acknowledge: false };
        let map = self.map(scope);
        let mut draft = Draft::default();
        write::draft_value(&self.shared, &mut draft, &map, key_str(key)?, value, how)?;
        self.add(scope.py(), Op { map, draft, if_version: if_version.map(Version::number) })
    }

    /// Add: remove `key`.
    #[pyo3(signature = (scope, key, *, if_version=None))]
    fn delete(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        if_version: Option<Version>,
    ) -> PyResult<()> {
        self.shared.check().map_err(|e| to_py(scope.py(), e))?;
        let map = self.map(scope);
        let key = key_str(key)?.as_bytes();
        let current = correlation::current_writing(scope.py())?;
        let draft = Draft::from(Kind::Delete, StateClass::Standard, map.scope(), key, &[], current.origin());
        self.add(scope.py(), Op { map, draft, if_version: if_version.map(Version::number) })
    }

    /// Add: store under `to` what is under `key` now, byte for byte but for a seal; return the version copied, or 0 when there is nothing.
    /// To hold only if `key` stays as it is until the commit, add an operation on it with that version as ``if_version``.
    #[pyo3(name = "_copy")]
    fn copy(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>, to: &Bound<'_, PyAny>) -> PyResult<u64> {
        self.shared.check().map_err(|e| to_py(scope.py(), e))?;
        let map = self.map(scope);
        let Some(entry) = live(scope.py(), &self.shared, &map, key_str(key)?.as_bytes())? else {
            return Ok(0);
        };
        let meta = entry.meta();
        let (to, current) = (key_str(to)?.as_bytes(), correlation::current_writing(scope.py())?);
        let value = moved(scope.py(), &self.shared, &map, &entry, to)?;
        let draft = Draft::from(Kind::Set, meta.class, map.scope(), to, &value, current.origin());
        self.add(scope.py(), Op { map, draft, if_version: None })?;
        Ok(meta.lsn)
    }

    /// Drop what was added so far, so that the batch is empty again. Nothing once it is committed.
    fn discard(&self) {
        let mut pending = self.pending();
        if pending.versions.is_none() {
            *pending = Pending::default();
        }
    }

    /// Commit; return the last version written, or 0 when there was nothing to write.
    #[pyo3(signature = (*, acknowledge=true))]
    fn commit(&self, py: Python<'_>, acknowledge: bool) -> PyResult<u64> {
        let mut taken = self.take().map_err(|(class, code, detail)| raise(py, class, code, &detail, None))?;
        let committed = if taken.calls.is_empty() {
            self.shared.check().map(|()| Vec::new()).map_err(|e| to_py(py, e))
        } else {
            write::hooked_batch(py, &self.shared, &mut taken.batch)
        };
        let result = committed.map(|versions| {
            taken.versions = Some(taken.calls.iter().map(|index| versions[*index]).collect());
            versions.into_iter().max().unwrap_or(0)
        });
        *self.pending() = taken;
        let last = result?;
        if acknowledge && last > 0 { write::acknowledge(py, &self.shared, last) } else { Ok(last) }
    }

    /// The version of each call after the commit, in order: 0 for a delete of nothing; None before.
    #[getter]
    fn versions(&self) -> Option<Vec<u64>> {
        self.pending().versions.clone()
    }

    fn __len__(&self) -> usize {
        self.pending().calls.len()
    }
}

//! `ReadView`: many reads of one moment. It holds neither the store nor its lock.

use pyo3::prelude::*;
use pyo3::types::PyList;
use spellkeep_core::index::Entry;
use spellkeep_core::store;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::SealingKeys;

use super::entry::entry_of;
use super::failure::{missing, to_py};
use super::read::{self, Items};
use super::{MaxAge, Store};
use crate::scope::{StateScope, key_str};

/// The store as it was at one moment.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct ReadView {
    keys: Option<Arc<SealingKeys>>,
    view: Arc<store::ReadView>,
}

impl ReadView {
    fn found(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>) -> PyResult<Option<Entry>> {
        let key = key_str(key)?.as_bytes();
        self.view.get(scope.get().encoded(), key).map_err(|e| to_py(scope.py(), e))
    }

    /// The same with its value.
    fn whole(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>) -> PyResult<Option<Entry>> {
        match self.found(scope, key)? {
            Some(entry) if entry.is_cold() => {
                let (py, scope) = (scope.py(), scope.get().encoded());
                py.detach(|| self.view.whole(scope, entry)).map(Some).map_err(|e| to_py(py, e))
            }
            found => Ok(found),
        }
    }

    fn entries(&self, scope: &Bound<'_, StateScope>, prefix: &str) -> PyResult<Vec<Entry>> {
        let (py, scope) = (scope.py(), scope.get().encoded());
        py.detach(|| self.view.list(scope, prefix)).map_err(|e| to_py(py, e))
    }
}

#[pymethods]
impl ReadView {
    #[new]
    #[pyo3(signature = (store, *, max_age_s=None))]
    fn new(py: Python<'_>, store: &Bound<'_, Store>, max_age_s: Option<MaxAge>) -> PyResult<Self> {
        let shared = &store.get().shared;
        let view = shared.read_view(max_age_s.map(MaxAge::us)).map_err(|e| to_py(py, e))?;
        Ok(Self { keys: shared.sealing_keys().cloned(), view: Arc::new(view) })
    }

    /// The last version that it sees.
    #[getter]
    fn version(&self) -> u64 {
        self.view.version()
    }

    /// Whether it shows nothing any more.
    #[getter]
    fn ended(&self) -> bool {
        self.view.ending().is_some()
    }

    /// The value under `key`, or `default`.
    #[pyo3(signature = (scope, key, default=None))]
    fn get<'py>(
        &self,
        scope: &Bound<'py, StateScope>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.whole(scope, key)? {
            Some(entry) => read::value_of(scope.py(), self.keys.as_ref(), scope.get().encoded(), &entry).map(Some),
            None => Ok(default),
        }
    }

    /// The value under `key` with its version, times and class.
    fn entry<'py>(&self, scope: &Bound<'py, StateScope>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self.whole(scope, key)? {
            Some(entry) => entry_of(scope.py(), self.keys.as_ref(), scope.get().encoded(), &entry),
            None => Err(missing(scope.py(), key_str(key)?)),
        }
    }

    /// Whether there is a value under `key`.
    fn exists(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.found(scope, key)?.is_some())
    }

    /// The keys of a scope that start with `prefix`, in order.
    #[pyo3(signature = (scope, prefix=""))]
    fn list_keys<'py>(&self, scope: &Bound<'py, StateScope>, prefix: &str) -> PyResult<Bound<'py, PyList>> {
        read::keys_of(scope.py(), &self.entries(scope, prefix)?)
    }

    /// Keys and values of a scope, ordered by key.
    #[pyo3(signature = (scope, prefix=""))]
    fn items(&self, scope: &Bound<'_, StateScope>, prefix: &str) -> PyResult<Items> {
        let (view, encoded) = (Arc::clone(&self.view), Box::<[u8]>::from(scope.get().encoded()));
        let whole = Box::new(move |entry| view.whole(&encoded, entry));
        Ok(Items::new(self.keys.as_ref(), scope.get().encoded(), self.entries(scope, prefix)?, whole))
    }

    /// The scopes that hold a key, in order.
    fn list_scopes(&self, py: Python<'_>) -> PyResult<Vec<StateScope>> {
        let scopes = py.detach(|| self.view.scopes()).map_err(|e| to_py(py, e))?;
        Ok(scopes.iter().map(|map| StateScope::from_encoded(map.scope().into())).collect())
    }

    /// End it, and free what no other view needs.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.view.close());
    }

    /// Raise ViewEnded or Forked when it shows nothing here.
    #[pyo3(name = "_check")]
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.view.check().map_err(|e| to_py(py, e))
    }
}

//! `ScopeHandle`: one scope of one store, the fast path. The mapping methods that need no speed are in Python.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyList;
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::StateClass;
use spellkeep_core::sync::Arc;

use super::failure::missing;
use super::manager::Store;
use super::read::{self, Items};
use super::write::{self, How};
use super::{Shared, Ttl, Version, numbered, past, state_class};
use crate::scope::{StateScope, key_str};

/// One scope of one store, found once: reads and writes through it skip the scope table.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct ScopeHandle {
    shared: Arc<Shared>,
    map: Arc<ScopeMap>,
    class: StateClass,
    store: Py<Store>,
}

#[pymethods]
impl ScopeHandle {
    /// A store may hold its own handles as attributes: the collector must see through them.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.store)
    }

    #[new]
    #[pyo3(signature = (store, scope, state_class=None))]
    fn new(
        py: Python<'_>,
        store: Py<Store>,
        scope: &Bound<'_, StateScope>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let shared = Arc::clone(&store.get().shared);
        shared.check().map_err(|e| super::failure::to_py(py, e))?;
        let map = shared.scope(scope.get().encoded());
        Ok(Self { shared, map, class: super::state_class(state_class, StateClass::Standard)?, store })
    }

    /// The store that it belongs to.
    #[getter]
    fn store(&self, py: Python<'_>) -> Py<Store> {
        self.store.clone_ref(py)
    }

    /// The scope.
    #[getter]
    fn scope(&self) -> StateScope {
        StateScope::from_encoded(self.map.scope().into())
    }

    /// Store `value` under `key`; return its version. See ``StateManager.set``.
    #[pyo3(signature = (key, value, *, if_version=None, ttl_s=None, state_class=None))]
    fn set(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        if_version: Option<Version>,
        ttl_s: Option<Ttl>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let class = self::state_class(state_class, self.class)?;
        write::set(
            &self.shared,
            &self.map,
            key_str(key)?,
            value,
            How { if_version, class, keeps_seal: state_class.is_none(), ttl: ttl_s, acknowledge: true },
        )
    }

    /// As ``set``, without waiting for the sync that ``durability="sync"`` asks for: the caller must.
    #[pyo3(name = "_set_unacknowledged", signature = (key, value, *, if_version=None, ttl_s=None, state_class=None))]
    fn set_unacknowledged(
        &self,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        if_version: Option<Version>,
        ttl_s: Option<Ttl>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let class = self::state_class(state_class, self.class)?;
        write::set(
            &self.shared,
            &self.map,
            key_str(key)?,
            value,
            How { if_version, class, keeps_seal: state_class.is_none(), ttl: ttl_s, acknowledge: false },
        )
    }

    /// The value under `key`, or `default`.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = read::get(key.py(), &self.shared, &self.map, key_str(key)?)?;
        Ok(found.or(default))
    }

    /// A lazy view of the value under `key`. See ``StateManager.view``.
    fn view<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        read::view(key.py(), &self.shared, Some(&self.map), key_str(key)?)
    }

    /// The value under `key` with its version, times and class.
    fn entry<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let name = key_str(key)?;
        read::entry(key.py(), &self.shared, &self.map, name)?.ok_or_else(|| missing(key.py(), name))
    }

    /// As ``entry``, or None when there is none.
    #[pyo3(name = "_entry_or_none")]
    fn entry_or_none<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        read::entry(key.py(), &self.shared, &self.map, key_str(key)?)
    }

    /// Remove `key`; return the tombstone's version, or 0 when there was nothing.
    #[pyo3(signature = (key, *, if_version=None))]
    fn delete(&self, key: &Bound<'_, PyAny>, if_version: Option<Version>) -> PyResult<u64> {
        let how = How { if_version, keeps_seal: true, class: self.class, ttl: None, acknowledge: true };
        write::delete(key.py(), &self.shared, &self.map, key_str(key)?, how)
    }

    /// Whether there is a value under `key`.
    fn exists(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.shared.check().map_err(|e| super::failure::to_py(key.py(), e))?;
        Ok(self.map.get(key_str(key)?.as_bytes(), |_| ()).is_some())
    }

    /// The keys that start with `prefix`, in order.
    #[pyo3(signature = (prefix=""))]
    fn list_keys<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyList>> {
        read::keys(py, &self.shared, &self.map, prefix)
    }

    /// Keys and values whose key starts with `prefix`, as they are now.
    #[pyo3(signature = (prefix=""))]
    fn iter_items(&self, py: Python<'_>, prefix: &str) -> PyResult<Items> {
        Items::of(py, &self.shared, &self.map, prefix)
    }

    /// The version under `key`, or 0 when there is nothing.
    fn version(&self, key: &Bound<'_, PyAny>) -> PyResult<u64> {
        self.shared.check().map_err(|e| super::failure::to_py(key.py(), e))?;
        Ok(self.map.get(key_str(key)?.as_bytes(), |entry| entry.meta().lsn).unwrap_or(0))
    }

    /// Version and microseconds since the epoch of what is under `key`, or None.
    #[pyo3(name = "_stamp")]
    fn stamp(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<(u64, u64)>> {
        self.shared.check().map_err(|e| super::failure::to_py(key.py(), e))?;
        Ok(self.map.get(key_str(key)?.as_bytes(), |entry| (entry.meta().lsn, entry.meta().time_us)))
    }

    /// Key, version and microseconds since the epoch of each entry whose key starts with `prefix`, in order.
    #[pyo3(name = "_stamps", signature = (prefix=""))]
    fn stamps<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyList>> {
        read::stamps(py, &self.shared, &self.map, prefix)
    }

    /// The values under the keys ``prefix`` and ten digits from `start` up to `stop`.
    #[pyo3(name = "_numbered")]
    fn numbered<'py>(&self, py: Python<'py>, prefix: &str, start: u64, stop: u64) -> PyResult<Bound<'py, PyList>> {
        numbered::values(py, &self.shared, &self.map, prefix, (start, stop))
    }

    /// As ``_set_unacknowledged`` under ``prefix`` and ten digits, where nothing may be yet.
    #[pyo3(name = "_add_numbered")]
    fn add_numbered(&self, prefix: &str, number: u64, value: &Bound<'_, PyAny>) -> PyResult<u64> {
        let how =
            How { if_version: Some(Version::NONE), keeps_seal: true, class: self.class, ttl: None, acknowledge: false };
        write::set(&self.shared, &self.map, numbered::Keys::new(prefix).name(number), value, how)
    }

    /// Store `value` under `key`, and what was there under ``past/KEY/VERSION.TIME``; return the version, and whether
    /// anything was there.
    #[pyo3(name = "_replace")]
    fn replace(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<(u64, bool)> {
        let how = How { if_version: None, keeps_seal: true, class: self.class, ttl: None, acknowledge: false };
        past::replace(&self.shared, &self.map, key_str(key)?, value, how)
    }

    /// Whether `value` is stored under `key`, byte for byte.
    #[pyo3(name = "_holds")]
    fn holds(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        numbered::holds(&self.shared, &self.map, self.class, key_str(key)?, value)
    }

    /// How many of `values`, from the first on, are stored byte for byte under the numbered keys from `start` on.
    #[pyo3(name = "_numbered_equal")]
    fn numbered_equal(&self, prefix: &str, start: u64, values: &Bound<'_, PyList>) -> PyResult<usize> {
        numbered::equal(values.py(), &self.shared, &self.map, self.class, prefix, start, values)
    }

    /// The first of the numbered keys from `start` up to `stop` that holds `value`, byte for byte; None: none does.
    #[pyo3(name = "_numbered_find")]
    fn numbered_find(&self, prefix: &str, start: u64, stop: u64, value: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        numbered::find(&self.shared, &self.map, self.class, prefix, (start, stop), value)
    }

    /// The first number from `start` on without a key, given that there is none behind it either.
    #[pyo3(name = "_numbered_end")]
    fn numbered_end(&self, py: Python<'_>, prefix: &str, start: u64) -> PyResult<u64> {
        numbered::end(py, &self.shared, &self.map, prefix, start)
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let name = key_str(key)?;
        read::get(key.py(), &self.shared, &self.map, name)?.ok_or_else(|| missing(key.py(), name))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let how = How { if_version: None, keeps_seal: true, class: self.class, ttl: None, acknowledge: true };
        write::set(&self.shared, &self.map, key_str(key)?, value, how).map(drop)
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.delete(key, None)? == 0 {
            return Err(missing(key.py(), key_str(key)?));
        }
        Ok(())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.shared.check().map_err(|e| super::failure::to_py(py, e))?;
        Ok(self.map.live_count())
    }
}

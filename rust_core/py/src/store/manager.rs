//! `Store`: the base of `StateManager`. One method per call of the engine; the comfortable forms are in Python.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use spellkeep_core::env::Env;
use spellkeep_core::env::wake::Waker;
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::StateClass;
use spellkeep_core::store::{self, StoreOptions};
use spellkeep_core::sync::Arc;
use spellkeep_core::wal::{Retention, WalError, WalOptions};

use super::changes::{self, Change, Changes};
use super::damage::{DamageRow, damage_row, looked_at, verified_dict};
use super::failure::{missing, to_py};
use super::figures;
use super::read::{self, Items};
use super::sealing::{GivenKeys, sealing_keys};
use super::write::{self, How};
use super::{Shared, Ttl, Version, durability, state_class};
use crate::hooks::HookTable;
use crate::scope::{StateScope, key_str};
use crate::value::Limits;

/// An open store.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct Store {
    pub(super) shared: Arc<Shared>,
}

impl Store {
    /// What it shares with its handles.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn map(&self, scope: &Bound<'_, StateScope>) -> Arc<ScopeMap> {
        self.shared.scope(scope.get().encoded())
    }

    /// For reads: a scope that was never touched needs no map.
    fn known(&self, scope: &Bound<'_, StateScope>) -> PyResult<Option<Arc<ScopeMap>>> {
        self.shared.check().map_err(|e| to_py(scope.py(), e))?;
        Ok(self.shared.find_scope(scope.get().encoded()))
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (
        path, *, durability, interval_ms, limits, ring_bytes, segment_bytes, mapped_ring, keep_log_bytes, keep_log_days,
        checkpoint_log_bytes, memory_budget_bytes, view_budget_bytes, read_only, allow_damage, sealing_keys=None, hold_log=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        path: Option<PathBuf>,
        durability: &str,
        interval_ms: i128,
        limits: Option<&Bound<'_, Limits>>,
        ring_bytes: i128,
        segment_bytes: i128,
        mapped_ring: Option<bool>,
        keep_log_bytes: Option<i128>,
        keep_log_days: f64,
        checkpoint_log_bytes: i128,
        memory_budget_bytes: Option<i128>,
        view_budget_bytes: i128,
        read_only: bool,
        allow_damage: bool,
        sealing_keys: Option<GivenKeys>,
        hold_log: Option<Version>,
    ) -> PyResult<Self> {
        let durability = self::durability(py, durability)?;
        // What no `u64` holds becomes what no option may be, so that the engine names the range.
        let number = |given: i128| u64::try_from(given).unwrap_or(if given < 0 { 0 } else { u64::MAX });
        let options = WalOptions {
            durability,
            interval_ms: number(interval_ms),
            ring_bytes: number(ring_bytes),
            segment_bytes: number(segment_bytes),
            mapped_ring,
        };
        if allow_damage && !read_only {
            let what = "allow_damage=True needs read_only=True: nothing is written to a store that is damaged";
            return Err(to_py(py, WalError::BadOption(what.to_owned()).into()));
        }
        // Before the directory is made.
        let keep = Retention::new(keep_log_bytes.map(number), keep_log_days).map_err(|e| to_py(py, e.into()))?;
        let view_budget_bytes = number(view_budget_bytes) as usize;
        let options = StoreOptions {
            keep,
            checkpoint_log_bytes: number(checkpoint_log_bytes),
            memory_budget_bytes: memory_budget_bytes.map(number),
            view_budget_bytes,
            hold_lsn: hold_log.map(Version::number),
            ..options.into()
        };
        options.check().map_err(|e| to_py(py, e.into()))?;
        let limits = limits.map(|limits| limits.get().value_limits()).unwrap_or_default();
        let sealing_keys = self::sealing_keys(sealing_keys.as_deref())?;
        let opened = py.detach(|| {
            let env = match &path {
                Some(path) if read_only => looked_at(path)?,
                Some(path) => Env::real(path).map_err(WalError::from)?,
                None => Env::memory(),
            };
            match (read_only, allow_damage) {
                (false, _) => store::Store::open(env, options),
                (true, false) => store::Store::look(&env),
                (true, true) => store::Store::look_at_damaged(&env),
            }
        });
        let store = opened.map_err(|e| to_py(py, e))?;
        Ok(Self { shared: Arc::new(Shared::new(store, limits, sealing_keys)) })
    }

    /// Store `value`; return its version.
    #[pyo3(signature = (scope, key, value, *, if_version=None, ttl_s=None, state_class=None))]
    fn set(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        if_version: Option<Version>,
        ttl_s: Option<Ttl>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let class = self::state_class(state_class, StateClass::Standard)?;
        let how = How { if_version, class, keeps_seal: state_class.is_none(), ttl: ttl_s, acknowledge: true };
        write::set(&self.shared, &self.map(scope), key_str(key)?, value, how)
    }

    /// As ``set``, without waiting for the sync that ``durability="sync"`` asks for: the caller must.
    #[pyo3(name = "_set_unacknowledged", signature = (scope, key, value, *, if_version=None, ttl_s=None, state_class=None))]
    fn set_unacknowledged(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        if_version: Option<Version>,
        ttl_s: Option<Ttl>,
        state_class: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let class = self::state_class(state_class, StateClass::Standard)?;
        let how = How { if_version, class, keeps_seal: state_class.is_none(), ttl: ttl_s, acknowledge: false };
        write::set(&self.shared, &self.map(scope), key_str(key)?, value, how)
    }

    /// The value under `key`, or `default`.
    #[pyo3(signature = (scope, key, default=None))]
    fn get<'py>(
        &self,
        scope: &Bound<'py, StateScope>,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let key = key_str(key)?;
        let Some(map) = self.known(scope)? else { return Ok(default) };
        Ok(read::get(scope.py(), &self.shared, &map, key)?.or(default))
    }

    /// A lazy view of the value under `key`.
    fn view<'py>(&self, scope: &Bound<'py, StateScope>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let name = key_str(key)?;
        read::view(key.py(), &self.shared, self.known(scope)?.as_deref(), name)
    }

    /// The value under `key` with its version, times and class.
    fn entry<'py>(&self, scope: &Bound<'py, StateScope>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, name) = (scope.py(), key_str(key)?);
        let found = self.known(scope)?.map(|map| read::entry(py, &self.shared, &map, name)).transpose()?;
        found.flatten().ok_or_else(|| missing(py, name))
    }

    /// Remove `key`; return the tombstone's version, or 0 when there was nothing.
    #[pyo3(signature = (scope, key, *, if_version=None))]
    fn delete(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        if_version: Option<Version>,
    ) -> PyResult<u64> {
        let how = How { if_version, keeps_seal: true, class: StateClass::Standard, ttl: None, acknowledge: true };
        write::delete(scope.py(), &self.shared, &self.map(scope), key_str(key)?, how)
    }

    /// As ``delete``, without waiting for the sync that ``durability="sync"`` asks for: the caller must.
    #[pyo3(name = "_delete_unacknowledged", signature = (scope, key, *, if_version=None))]
    fn delete_unacknowledged(
        &self,
        scope: &Bound<'_, StateScope>,
        key: &Bound<'_, PyAny>,
        if_version: Option<Version>,
    ) -> PyResult<u64> {
        let how = How { if_version, keeps_seal: true, class: StateClass::Standard, ttl: None, acknowledge: false };
        write::delete(scope.py(), &self.shared, &self.map(scope), key_str(key)?, how)
    }

    /// Whether there is a value under `key`.
    fn exists(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let key = key_str(key)?;
        Ok(self.known(scope)?.is_some_and(|map| map.get(key.as_bytes(), |_| ()).is_some()))
    }

    /// The keys of a scope that start with `prefix`, in order.
    #[pyo3(signature = (scope, prefix=""))]
    fn list_keys<'py>(
        &self,
        py: Python<'py>,
        scope: &Bound<'py, StateScope>,
        prefix: &str,
    ) -> PyResult<Bound<'py, PyList>> {
        match self.known(scope)? {
            Some(map) => read::keys(py, &self.shared, &map, prefix),
            None => Ok(PyList::empty(py)),
        }
    }

    /// Keys and values of a scope as they are now, ordered by key.
    #[pyo3(signature = (scope, prefix=""))]
    fn items(&self, py: Python<'_>, scope: &Bound<'_, StateScope>, prefix: &str) -> PyResult<Items> {
        match self.known(scope)? {
            Some(map) => Items::of(py, &self.shared, &map, prefix),
            None => Ok(Items::new(None, &[], Vec::new(), Box::new(Ok))),
        }
    }

    /// Remove every key of a scope; return (keys removed, version of the removal or 0).
    #[pyo3(name = "_clear", signature = (scope, *, acknowledge=true))]
    fn clear(&self, scope: &Bound<'_, StateScope>, acknowledge: bool) -> PyResult<(usize, u64)> {
        let removed = write::clear(scope.py(), &self.shared, &self.map(scope), acknowledge)?;
        Ok((removed.count, removed.lsn))
    }

    /// The scopes that hold a key, in order.
    fn list_scopes(&self, py: Python<'_>) -> PyResult<Vec<StateScope>> {
        self.shared.check().map_err(|e| to_py(py, e))?;
        Ok(self.shared.live_scopes().iter().map(|map| StateScope::from_encoded(map.scope().into())).collect())
    }

    /// The last `limit` changes of a key, newest first.
    #[pyo3(signature = (scope, key, *, limit=100))]
    fn history(&self, scope: &Bound<'_, StateScope>, key: &Bound<'_, PyAny>, limit: usize) -> PyResult<Vec<Change>> {
        let (py, key) = (scope.py(), key_str(key)?);
        let Some(map) = self.known(scope)? else { return Ok(Vec::new()) };
        let changes = py.detach(|| self.shared.history(&map, key, limit)).map_err(|e| to_py(py, e))?;
        Ok(changes.into_iter().map(|change| Change::new(change, self.shared.sealing_keys())).collect())
    }

    /// A cursor over all changes with a version above `since`.
    #[pyo3(signature = (*, since=Version::NONE), text_signature = "($self, *, since=0)")]
    fn changes(&self, py: Python<'_>, since: Version) -> PyResult<Changes> {
        Changes::new(&self.shared, since.number()).map_err(|e| to_py(py, e))
    }

    /// Wait until there is a version above `after`, at most `timeout_s`; return the last version there is.
    #[pyo3(name = "_wait_changes")]
    fn wait_changes(&self, py: Python<'_>, after: Version, timeout_s: f64) -> PyResult<u64> {
        changes::wait(py, &self.shared, after.number(), timeout_s)
    }

    /// Let no checkpoint let go of anything of the log behind `version`; None ends that.
    #[pyo3(name = "_hold_log")]
    fn hold_log(&self, py: Python<'_>, version: Option<Version>) -> PyResult<()> {
        self.check_open(py).map(|()| self.shared.hold_log(version.map(Version::number)))
    }

    /// Wait for what the durability asks for: afterwards the write of `version` may be called acknowledged.
    #[pyo3(name = "_acknowledge")]
    fn acknowledge(&self, py: Python<'_>, version: u64) -> PyResult<u64> {
        write::acknowledge(py, &self.shared, version)
    }

    /// Make everything written so far durable; return the last version that is.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.shared.wal().flush()).map_err(|e| to_py(py, e.into()))
    }

    /// Let snapshots take over what the log holds; return the version that they have.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.shared.checkpoint()).map(|done| done.lsn).map_err(|e| to_py(py, e))
    }

    /// Verify everything written so far, as a dict.
    #[pyo3(name = "_verified_dict")]
    fn verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let done = py.detach(|| self.shared.verify());
        verified_dict(py, &done.map_err(|e| to_py(py, e))?)
    }

    /// Ask the background thread for a sync now, without waiting.
    #[pyo3(name = "_request_sync")]
    fn request_sync(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.check().map_err(|e| to_py(py, e))?;
        self.shared.wal().request_sync();
        Ok(())
    }

    /// Make the socket behind `fd` readable after each sync. The socket is duplicated.
    #[pyo3(name = "_add_waker")]
    fn add_waker(&self, fd: i32) -> PyResult<()> {
        // SAFETY: the caller holds the descriptor open during the call.
        let owned = unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().map_err(PyOSError::new_err)?;
        self.shared.wal().add_waker(Waker::new(owned));
        Ok(())
    }

    /// Raise Closed or Forked when the store takes no calls here.
    #[pyo3(name = "_check_open")]
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.check().map_err(|e| to_py(py, e))
    }

    /// Raise Poisoned when nothing more is acknowledged.
    #[pyo3(name = "_check_poison")]
    fn check_poison(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.wal().poisoned().map_or(Ok(()), |error| Err(to_py(py, error.into())))
    }

    /// Raise ReadOnly when nothing is written here.
    #[pyo3(name = "_check_writable")]
    fn check_writable(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.check_writable(py)
    }

    /// Run the hooks of this table from now on, in place of those before. Whoever calls keeps it.
    #[pyo3(name = "_use_hooks")]
    fn use_hooks(&self, table: &Bound<'_, HookTable>) -> PyResult<()> {
        self.shared.hooks.install(table)
    }

    /// Whether it was opened with ``read_only``.
    #[getter]
    fn read_only(&self) -> bool {
        self.shared.is_read_only()
    }

    /// What was found wrong when it was opened with ``allow_damage``, as rows.
    #[pyo3(name = "_damage_rows")]
    fn damage_rows(&self) -> Vec<DamageRow> {
        self.shared.damages().iter().map(damage_row).collect()
    }

    /// Last version given out.
    #[getter]
    fn last_version(&self, py: Python<'_>) -> PyResult<u64> {
        // In a forked child the lock that guards it may be held by a thread that is not there.
        if self.shared.wal().is_forked() {
            return Err(to_py(py, WalError::Forked.into()));
        }
        Ok(self.shared.wal().last_lsn())
    }

    /// Last version known durable.
    #[getter]
    fn durable_version(&self) -> u64 {
        self.shared.wal().synced_lsn()
    }

    /// Whether `close` was called.
    #[getter]
    fn closed(&self) -> bool {
        matches!(self.shared.check(), Err(store::StoreError::Wal(WalError::Closed)))
    }

    /// Whether this process is a fork of the one that opened the store.
    #[getter]
    fn forked(&self) -> bool {
        self.shared.wal().is_forked()
    }

    /// The durability word in force.
    #[getter]
    fn durability(&self) -> &'static str {
        self.shared.wal().options().durability.word()
    }

    /// What the opening found, as a dict.
    #[pyo3(name = "_recovery_dict")]
    fn recovery_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        figures::recovery(py, &self.shared)
    }

    /// Figures, as a dict.
    #[pyo3(name = "_stats_dict")]
    fn stats_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        figures::stats(py, &self.shared)
    }

    /// Make everything durable and give the directory up.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.shared.close()).map_err(|e| to_py(py, e))
    }
}

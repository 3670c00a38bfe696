//! Committed changes, and the cursor that gives them one by one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use spellkeep_core::record::{Kind, StateClass};
use spellkeep_core::store::{self, StoreError};
use spellkeep_core::sync::Arc;
use spellkeep_core::value::SealingKeys;

use super::Shared;
use super::entry::{class_of, time_of};
use super::failure::to_py;
use super::read::key_object;
use super::sealing::decode_sealed;
use crate::correlation::tags_of;
use crate::hooks::input_digest;
use crate::scope::StateScope;
use crate::value::decode;

/// How many changes a cursor reads ahead.
const READ_AHEAD_COUNT: usize = 256;

/// One committed change.
#[pyclass(frozen, module = "spellkeep.changes")]
pub struct Change(store::Change, Option<Arc<SealingKeys>>);

/// What a change is pickled as: version, time, kind, class, whether the batch goes on, expiry, scope, key, value, origin.
type Parts = (u64, u64, u8, u8, bool, Option<u64>, Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

impl Change {
    /// Of a store with these keys.
    pub fn new(change: store::Change, keys: Option<&Arc<SealingKeys>>) -> Self {
        let keys = if change.class == StateClass::Sensitive { keys.cloned() } else { None };
        Self(change, keys)
    }

    /// What the engine says of it.
    pub fn committed(&self) -> &store::Change {
        &self.0
    }
}

#[pymethods]
impl Change {
    #[classattr]
    #[pyo3(name = "__match_args__")]
    const MATCH_ARGS: (&'static str, &'static str, &'static str, &'static str, &'static str) =
        ("version", "at", "operation", "scope", "key");

    /// Its version; strictly increasing over all scopes.
    #[getter]
    fn version(&self) -> u64 {
        self.0.lsn
    }

    /// When it was written, in UTC, by the clock of the writer's machine.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        time_of(py, self.0.time_us)
    }

    /// When it was written, in microseconds since the Unix epoch.
    #[getter(_time_us)]
    fn time_us(&self) -> u64 {
        self.0.time_us
    }

    /// Where in the log its record stands, for ``Changes._change_of``.
    #[getter(_pos)]
    fn pos(&self) -> u64 {
        self.0.pos
    }

    /// What it did.
    #[getter]
    fn operation(&self) -> &'static str {
        self.0.kind.name()
    }

    /// Where.
    #[getter]
    fn scope(&self) -> StateScope {
        StateScope::from_encoded(self.0.scope().into())
    }

    /// Which key; of an event its type; None for a clear.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        (self.0.kind != Kind::Clear).then(|| key_object(py, self.0.key())).transpose()
    }

    /// Class of the value.
    #[getter]
    fn state_class<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        class_of(py, self.0.class)
    }

    /// Whether the next version belongs to the same batch.
    #[getter]
    fn in_batch(&self) -> bool {
        self.0.in_batch
    }

    /// From when on the value is not there, in UTC; None: it stays, or nothing was set.
    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.expires_us.map(|expires_us| time_of(py, expires_us)).transpose()
    }

    /// The value that was set, or the data of an event, decoded on access; None for every other operation.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !self.0.kind.has_value() {
            return Ok(None);
        }
        match self.0.class {
            StateClass::Sensitive => {
                decode_sealed(py, self.1.as_ref(), self.0.value(), (self.0.scope(), self.0.key())).map(Some)
            }
            _ => decode(py, self.0.value(), None).map(Some),
        }
    }

    /// The correlation id, or None.
    #[getter]
    fn correlation(&self) -> Option<&str> {
        self.0.origin().correlation()
    }

    /// Who asked for it, or None.
    #[getter]
    fn actor(&self) -> Option<&str> {
        self.0.origin().actor()
    }

    /// The version of the record or event that caused it, or None.
    #[getter]
    fn cause(&self) -> Option<u64> {
        self.0.origin().cause()
    }

    /// Names to find it by.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tags_of(py, &self.0.origin())
    }

    /// XXH3-64 of what it says to a hook: operation, scope, key, class and encoded value.
    #[getter]
    pub fn digest(&self) -> u64 {
        let class = if self.0.kind.has_value() { self.0.class as u8 } else { 0 };
        input_digest(self.operation(), self.0.scope(), class, self.0.key(), self.0.value())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (version, operation) = (self.0.lsn, self.operation());
        let scope = Bound::new(py, self.scope())?.str()?.to_string();
        let key = self.key(py)?.map(|key| Ok::<_, PyErr>(format!(" {}", key.repr()?))).transpose()?.unwrap_or_default();
        let at = self.at(py)?.call_method0("isoformat")?;
        Ok(format!("<Change {version}: {operation} {scope}{key} at {at}>"))
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.says_the_same(&other.0)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        (self.0.lsn, self.0.time_us, PyBytes::new(py, self.0.key())).into_pyobject(py)?.hash()
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Parts,))> {
        let change = &slf.get().0;
        let parts = (
            change.lsn,
            change.time_us,
            change.kind as u8,
            change.class as u8,
            change.in_batch,
            change.expires_us,
            change.scope().to_vec(),
            change.key().to_vec(),
            change.value().to_vec(),
            change.origin().bytes().to_vec(),
        );
        Ok((slf.get_type().getattr("_restore")?, (parts,)))
    }

    /// The change that was pickled as these parts.
    #[classmethod]
    #[pyo3(name = "_restore")]
    fn restore(_cls: &Bound<'_, PyType>, parts: Parts) -> PyResult<Self> {
        let (lsn, time_us, kind, class, in_batch, expires_us, scope, key, value, origin) = parts;
        let restored = || {
            let mut change = store::Change::of_parts(&scope, &key, &value, &origin)?;
            (change.lsn, change.time_us, change.in_batch, change.expires_us) = (lsn, time_us, in_batch, expires_us);
            (change.kind, change.class) = (Kind::from_byte(kind)?, StateClass::from_byte(class)?);
            Some(change)
        };
        restored()
            .map(|change| Self(change, None))
            .ok_or_else(|| pyo3::exceptions::PyValueError::new_err("not what a change is pickled as"))
    }
}

/// So often a wait looks whether a signal has come, in milliseconds.
const SIGNALS_MS: u64 = 500;

/// Waits until there is a version above `after`, at most `timeout_s`; the last version there is.
pub fn wait(py: Python<'_>, shared: &Shared, after: u64, timeout_s: f64) -> PyResult<u64> {
    // Whatever is no time is none; what is longer than the clock goes is for ever.
    let mut left_ms = (timeout_s.max(0.0) * 1000.0).ceil() as u64;
    loop {
        shared.check().map_err(|e| to_py(py, e))?;
        let slice_ms = left_ms.min(SIGNALS_MS);
        let last = py.detach(|| shared.wal().wait_beyond(after, slice_ms)).map_err(|e| to_py(py, e.into()))?;
        left_ms -= slice_ms;
        if last > after || left_ms == 0 {
            return Ok(last);
        }
        py.check_signals()?;
    }
}

/// Committed changes in the order of their versions, up to the last one there is.
#[pyclass(frozen, module = "spellkeep.changes")]
pub struct Changes {
    shared: Arc<Shared>,
    cursor: Mutex<store::Changes>,
    ready: Mutex<VecDeque<store::Change>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Changes {
    /// A cursor that starts behind version `since`.
    pub fn new(shared: &Arc<Shared>, since: u64) -> Result<Self, StoreError> {
        let cursor = Mutex::new(shared.changes(since)?);
        Ok(Self { shared: Arc::clone(shared), cursor, ready: Mutex::default() })
    }

    /// Reads on. Called without the interpreter, which nobody waits for while he has the cursor.
    fn read(&self) -> Result<Option<store::Change>, StoreError> {
        let mut cursor = held(&self.cursor);
        // Another thread may have read on meanwhile.
        if let Some(change) = held(&self.ready).pop_front() {
            return Ok(Some(change));
        }
        let Some(first) = cursor.next_change()? else { return Ok(None) };
        let mut more = Vec::with_capacity(READ_AHEAD_COUNT);
        while more.len() < READ_AHEAD_COUNT {
            match cursor.next_change() {
                Ok(Some(change)) => more.push(change),
                // Damage is met again, by whoever reads on from here.
                Ok(None) | Err(_) => break,
            }
        }
        held(&self.ready).extend(more);
        Ok(Some(first))
    }
}

#[pymethods]
impl Changes {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The change of a version, wherever the cursor is, whose record stands at `pos`.
    #[pyo3(name = "_change_of")]
    fn change_of(&self, py: Python<'_>, version: u64, pos: u64) -> PyResult<Change> {
        py.detach(|| self.shared.change_of(version, pos))
            .map(|change| Change::new(change, self.shared.sealing_keys()))
            .map_err(|e| to_py(py, e))
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Change>> {
        if let Some(change) = held(&self.ready).pop_front() {
            return Ok(Some(Change::new(change, self.shared.sealing_keys())));
        }
        self.shared.check().map_err(|e| to_py(py, e))?;
        let read = py.detach(|| self.read()).map_err(|e| to_py(py, e))?;
        Ok(read.map(|change| Change::new(change, self.shared.sealing_keys())))
    }
}

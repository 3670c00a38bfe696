//! `HookContext`: what a hook is told about an operation. Nothing is decoded before it is asked for.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::{Draft, StateClass};
use spellkeep_core::sync::Arc;

use super::{HookTable, Point, input_digest};
use crate::correlation;
use crate::errors::raise;
use crate::scope::StateScope;
use crate::store::{Shared, class_of, decode_sealed, live, opened_count, value_of};
use crate::value::{decode, encode_into};

/// What one execution may record.
const RECORDED_BYTES_MAX: usize = 4096;

/// `is_secret_key` of `spellkeep.redaction`.
static IS_SECRET_KEY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Encoded, in the order in which it was asked for.
pub type Recorded = Vec<Box<[u8]>>;

/// One operation that is about to happen.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct HookContext {
    pub(super) point: Point,
    shared: Arc<Shared>,
    map: Option<Arc<ScopeMap>>,
    /// The value, then the key, as in an entry: what is seen is what will be stored, whatever others do to the object.
    bytes: Box<[u8]>,
    value_len: Option<usize>,
    class: u8,
    if_version: Option<u64>,
    metadata: OnceLock<Py<PyDict>>,
    operations: Option<Py<PyTuple>>,
    /// Not there before something is recorded: most hooks record nothing.
    recorded: OnceLock<Mutex<Recorded>>,
    /// How many sealed values the thread had opened before.
    opened_before: u64,
    table: Py<HookTable>,
}

impl HookContext {
    /// Of a set: `draft` is what will be written.
    pub fn of_set(
        table: Py<HookTable>,
        shared: &Arc<Shared>,
        map: &Arc<ScopeMap>,
        draft: &Draft,
        if_version: Option<u64>,
    ) -> Self {
        let (value, key) = (draft.value(), draft.key());
        let mut bytes = Vec::with_capacity(value.len() + key.len());
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(key);
        let made = Self::bare(table, shared, Point::Set, Some(map), bytes.into());
        Self { value_len: Some(value.len()), class: draft.class() as u8, if_version, ..made }
    }

    /// Of a delete of `key`, or of the clear of a scope (no key).
    pub fn of_removal(
        table: Py<HookTable>,
        shared: &Arc<Shared>,
        map: &Arc<ScopeMap>,
        key: Option<&[u8]>,
        if_version: Option<u64>,
    ) -> Self {
        let point = if key.is_some() { Point::Delete } else { Point::Clear };
        let made = Self::bare(table, shared, point, Some(map), key.unwrap_or_default().into());
        Self { if_version, ..made }
    }

    /// Of what Python does in several steps; `draft` has the value, if it is about one, and `version` is what it is about.
    pub fn of_call(
        table: Py<HookTable>,
        shared: &Arc<Shared>,
        point: Point,
        map: &Arc<ScopeMap>,
        draft: Option<&Draft>,
        version: u64,
    ) -> Self {
        let bytes = draft.map_or_else(Box::default, |draft| draft.value().into());
        let made = Self::bare(table, shared, point, Some(map), bytes);
        Self { value_len: draft.map(|draft| draft.value().len()), if_version: Some(version), ..made }
    }

    /// Of a batch of these operations.
    pub fn of_batch(table: Py<HookTable>, shared: &Arc<Shared>, operations: Py<PyTuple>) -> Self {
        let made = Self::bare(table, shared, Point::Batch, None, Box::default());
        Self { operations: Some(operations), ..made }
    }

    fn bare(
        table: Py<HookTable>,
        shared: &Arc<Shared>,
        point: Point,
        map: Option<&Arc<ScopeMap>>,
        bytes: Box<[u8]>,
    ) -> Self {
        Self {
            point,
            shared: Arc::clone(shared),
            map: map.cloned(),
            bytes,
            value_len: None,
            class: 0,
            if_version: None,
            metadata: OnceLock::new(),
            operations: None,
            recorded: OnceLock::new(),
            opened_before: opened_count(),
            table,
        }
    }

    /// As it is, but with what `draft` has now.
    pub fn changed(&self, py: Python<'_>, draft: &Draft) -> PyResult<Self> {
        let (table, map) = (self.table.clone_ref(py), self.map.as_ref().expect("what is changed has a scope"));
        let mut next = match self.point {
            Point::Set => Self::of_set(table, &self.shared, map, draft, self.if_version),
            point => Self::of_call(table, &self.shared, point, map, Some(draft), self.if_version.unwrap_or(0)),
        };
        next.opened_before = self.opened_before;
        if let Some(metadata) = self.metadata.get() {
            let kept = next.metadata.set(metadata.clone_ref(py));
            debug_assert!(kept.is_ok());
        }
        Ok(next)
    }

    fn key_bytes(&self) -> &[u8] {
        &self.bytes[self.value_len.unwrap_or(0)..]
    }

    /// Whether a hook with this filter is told of it: of a batch, if it would be of one of its operations.
    pub fn passes(&self, py: Python<'_>, filter: &super::HookFilter) -> bool {
        if let Some(operations) = &self.operations {
            let mut operations = operations.bind(py).iter_borrowed();
            return operations.any(|each| each.cast::<Self>().is_ok_and(|each| each.get().passes(py, filter)));
        }
        let key = self.point.has_key().then(|| self.key_bytes());
        self.map.as_ref().is_none_or(|map| match self.point {
            Point::Set => filter.lets(map.scope(), key, self.class),
            _ => filter.lets_any_class(map.scope(), key),
        })
    }

    /// Whether a hook can know what is sealed: it is about that, or something sealed was opened since it began.
    fn saw_sealed(&self) -> bool {
        self.class == StateClass::Sensitive as u8 || opened_count() != self.opened_before
    }

    fn recorded_yet(&self) -> Option<MutexGuard<'_, Recorded>> {
        Some(self.recorded.get()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_of_secret_key(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(key) = self.key(py)? else { return Ok(false) };
        let find = || PyResult::Ok(py.import("spellkeep.redaction")?.getattr("is_secret_key")?.unbind());
        IS_SECRET_KEY.get_or_try_init(py, find)?.bind(py).call1((key,))?.is_truthy()
    }

    /// What the hook that ran last recorded.
    pub fn take_recorded(&self) -> Recorded {
        self.recorded_yet().map(|mut recorded| std::mem::take(&mut *recorded)).unwrap_or_default()
    }

    /// XXH3 of everything that the hook is given; of a batch, of its operations.
    pub fn digest(&self, py: Python<'_>) -> u64 {
        if let Some(operations) = &self.operations {
            let operations = operations.bind(py).iter_borrowed();
            let digests = operations.filter_map(|each| Some(each.cast::<Self>().ok()?.get().digest(py)));
            return digests.fold(0, |sum, digest| sum.rotate_left(1) ^ digest);
        }
        let scope = self.map.as_ref().map_or(&[][..], |map| map.scope());
        let (value, key) = self.bytes.split_at(self.value_len.unwrap_or(0));
        input_digest(self.point.name(), scope, self.class, key, value)
    }
}

#[pymethods]
impl HookContext {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.metadata.get())?;
        visit.call(&self.operations)?;
        visit.call(&self.table)
    }

    /// ``"set"``, ``"delete"``, ``"clear"``, ``"batch"``, ``"agent_save"``, ``"session_start"`` and so on.
    #[getter]
    fn operation(&self) -> &'static str {
        self.point.name()
    }

    /// Where; None of a batch.
    #[getter]
    fn scope(&self) -> Option<StateScope> {
        self.map.as_ref().map(|map| StateScope::from_encoded(map.scope().into()))
    }

    /// Which key; None of everything but a set and a delete.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        if !self.point.has_key() {
            return Ok(None);
        }
        PyString::from_bytes(py, self.key_bytes()).map(Some)
    }

    /// The value to be stored, decoded anew at each access: of a set, of the save of an agent, the data of a session's
    /// event. Else None.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(len) = self.value_len else { return Ok(None) };
        let (value, key) = self.bytes.split_at(len);
        if self.class == StateClass::Sensitive as u8 {
            let scope = self.map.as_ref().map_or(&[][..], |map| map.scope());
            return decode_sealed(py, self.shared.sealing_keys(), value, (scope, key)).map(Some);
        }
        decode(py, value, None).map(Some)
    }

    /// Encoded bytes of the value.
    #[getter]
    fn value_bytes(&self) -> usize {
        self.value_len.unwrap_or(0)
    }

    /// The value that is there now, decoded anew at each access; None: nothing is.
    #[getter]
    fn old_value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.map {
            Some(map) if self.point.has_key() => {
                let entry = live(py, &self.shared, map, self.key_bytes())?;
                entry.map(|entry| value_of(py, self.shared.sealing_keys(), map.scope(), &entry)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// The version of what is there now; 0: nothing is. Of the load of an agent, the one that is asked for; 0: the last.
    #[getter]
    fn version(&self) -> u64 {
        match &self.map {
            Some(map) if self.point.has_key() => map.get(self.key_bytes(), |entry| entry.meta().lsn).unwrap_or(0),
            Some(_) if self.point as u8 > Point::Batch as u8 => self.if_version.unwrap_or(0),
            _ => 0,
        }
    }

    /// What `function` returns, kept with this execution in the history: a replay is given that, and does not call it.
    fn recorded<'py>(&self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, mut bytes) = (function.py(), Vec::new());
        encode_into(py, &function.call0()?, self.shared.limits(StateClass::Standard), &mut bytes)?;
        // As a replay will give it.
        let made = decode(py, &bytes, None)?;
        if self.saw_sealed() || self.is_of_secret_key(py)? {
            // What stands for a secret keeps the execution from being replayed, and no more.
            let hidden = py.import("spellkeep.redaction")?.getattr("HIDDEN")?;
            bytes.clear();
            encode_into(py, &hidden, self.shared.limits(StateClass::Standard), &mut bytes)?;
        }
        let recorded = self.recorded.get_or_init(Mutex::default);
        let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.iter().map(|each| each.len()).sum::<usize>() + bytes.len() > RECORDED_BYTES_MAX {
            let detail = format!("an execution records at most {RECORDED_BYTES_MAX} bytes");
            return Err(raise(py, "LimitExceeded", "hook.recorded", &detail, None));
        }
        recorded.push(bytes.into());
        Ok(made)
    }

    /// What the hook that is running recorded so far, encoded.
    #[getter(_recorded)]
    fn py_recorded<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let recorded = self.recorded_yet();
        recorded.iter().flat_map(|recorded| recorded.iter()).map(|each| PyBytes::new(py, each)).collect()
    }

    /// The version that the caller wants to be there; None: any.
    #[getter]
    fn if_version(&self) -> Option<u64> {
        self.if_version.filter(|_| self.point as u8 <= Point::Batch as u8)
    }

    /// Class of the value of a set; else None.
    #[getter]
    fn state_class<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        StateClass::from_byte(self.class).map(|class| class_of(py, class)).transpose()
    }

    /// The value that is there now, or None; and whether there is one that is sealed, which is then not opened.
    #[getter(_old_shown)]
    fn old_shown<'py>(&self, py: Python<'py>) -> PyResult<(Option<Bound<'py, PyAny>>, bool)> {
        let map = self.map.as_ref().filter(|_| self.point.has_key());
        let Some(map) = map else { return Ok((None, false)) };
        match live(py, &self.shared, map, self.key_bytes())? {
            Some(entry) if entry.meta().class == StateClass::Sensitive => Ok((None, true)),
            Some(entry) => Ok((Some(value_of(py, None, map.scope(), &entry)?), false)),
            None => Ok((None, false)),
        }
    }

    /// Whether a hook can know what is sealed.
    #[getter(_saw_sealed)]
    fn py_saw_sealed(&self) -> bool {
        self.saw_sealed()
    }

    /// The number of the class of the value; 0 of everything but a set.
    #[getter(_class_number)]
    fn class_number(&self) -> u8 {
        self.class
    }

    /// The contexts of a batch's operations, in order; else None.
    #[getter]
    fn operations<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyTuple>> {
        self.operations.as_ref().map(|operations| operations.bind(py).clone())
    }

    /// A dict that the hooks of this operation share.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.metadata.get_or_init(|| PyDict::new(py).unbind()).bind(py).clone()
    }

    /// XXH3-64 of what the hook is given.
    #[getter(digest)]
    fn py_digest(&self, py: Python<'_>) -> u64 {
        self.digest(py)
    }

    /// The correlation id of what is going on here, or None.
    #[getter]
    fn correlation(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(correlation::current(py)?.origin().correlation().map(str::to_owned))
    }

    /// Who asks for it, or None.
    #[getter]
    fn actor(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(correlation::current(py)?.origin().actor().map(str::to_owned))
    }

    /// The store; None when it is gone.
    #[getter]
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.table.get().state(py)
    }
}

//! `HookContext`: what a hook is told about an operation. Nothing is decoded before it is asked for.

use std::sync::OnceLock;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::Draft;
use spellkeep_core::sync::Arc;

use super::{HookTable, Point, input_digest};
use crate::correlation;
use crate::scope::StateScope;
use crate::store::{Shared, live, value_of};
use crate::value::decode;

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
            table,
        }
    }

    /// As it is, but with what `draft` has now.
    pub fn changed(&self, py: Python<'_>, draft: &Draft) -> PyResult<Self> {
        let map = self.map.as_ref().expect("only a set is changed");
        let next = Self::of_set(self.table.clone_ref(py), &self.shared, map, draft, self.if_version);
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
        let key = matches!(self.point, Point::Set | Point::Delete).then(|| self.key_bytes());
        self.map.as_ref().is_none_or(|map| match self.point {
            Point::Set => filter.lets(map.scope(), key, self.class),
            _ => filter.lets_any_class(map.scope(), key),
        })
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

    /// ``"set"``, ``"delete"``, ``"clear"`` or ``"batch"``.
    #[getter]
    fn operation(&self) -> &'static str {
        self.point.name()
    }

    /// Where; None of a batch.
    #[getter]
    fn scope(&self) -> Option<StateScope> {
        self.map.as_ref().map(|map| StateScope::from_encoded(map.scope().into()))
    }

    /// Which key; None of a clear and of a batch.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        if matches!(self.point, Point::Clear | Point::Batch) {
            return Ok(None);
        }
        PyString::from_bytes(py, self.key_bytes()).map(Some)
    }

    /// The value to be stored, decoded anew at each access; None of everything but a set.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.value_len.map(|len| decode(py, &self.bytes[..len], None)).transpose()
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
            Some(map) if matches!(self.point, Point::Set | Point::Delete) => {
                let entry = live(py, &self.shared, map, self.key_bytes())?;
                entry.map(|entry| value_of(py, &entry)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// The version of what is there now; 0: nothing is.
    #[getter]
    fn version(&self) -> u64 {
        let map = self.map.as_ref().filter(|_| matches!(self.point, Point::Set | Point::Delete));
        map.and_then(|map| map.get(self.key_bytes(), |entry| entry.meta().lsn)).unwrap_or(0)
    }

    /// The version that the caller wants to be there; None: any.
    #[getter]
    fn if_version(&self) -> Option<u64> {
        self.if_version
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

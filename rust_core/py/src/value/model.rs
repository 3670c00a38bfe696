//! What of a model's fields has to be kept: those that differ from what is usual.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use pyo3::{PyTraverseError, PyVisit};
use spellkeep_core::value::uuid_bytes;

use super::difference::{each_of, is_same};

/// As many as which were set has bits.
const NAMES_MAX: usize = u64::BITS as usize;

/// What of the objects of a pydantic model's class has to be kept, as a function for ``register``.
///
/// Called with an object it returns a new dict of the fields that it has otherwise than ``usual``, each under its place.
/// Which fields were set is kept where it is not just these, and what stands beside the fields where there is something.
///
/// Args:
///     usual: values of fields.
///     places: what fields are kept under, instead of their names.
///     names: the class's fields; the first is the first bit of which were set. At most 64.
///     uuid: a field of which the text of a UUID is kept as its 16 bytes.
///     was_set: where it is kept which fields were set, as bits.
///     extra: where it is kept what stands beside the fields.
/// Raises: ValueError for more names.
/// Cost: 60 ns for a field.
#[pyclass(frozen, module = "spellkeep.value", name = "ModelFields")]
pub struct ModelFields {
    usual: Py<PyDict>,
    places: Py<PyDict>,
    bits: Py<PyDict>,
    uuid: Py<PyString>,
    was_set: Py<PyAny>,
    extra: Py<PyAny>,
}

#[pymethods]
impl ModelFields {
    #[new]
    #[pyo3(signature = (usual, places, names, *, uuid, was_set, extra))]
    fn new(
        py: Python<'_>,
        usual: Py<PyDict>,
        places: Py<PyDict>,
        names: Vec<Bound<'_, PyString>>,
        uuid: Py<PyString>,
        was_set: Py<PyAny>,
        extra: Py<PyAny>,
    ) -> PyResult<Self> {
        if names.len() > NAMES_MAX {
            return Err(PyValueError::new_err(format!("ModelFields takes at most {NAMES_MAX} names")));
        }
        let bits = PyDict::new(py);
        for (at, name) in names.iter().enumerate() {
            bits.set_item(name, 1u64 << at)?;
        }
        Ok(Self { usual, places, bits: bits.unbind(), uuid, was_set, extra })
    }

    fn __call__<'py>(&self, model: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = model.py();
        let (usual, places, bits) = (self.usual.bind(py), self.places.bind(py), self.bits.bind(py));
        let bit = |name: &Bound<'py, PyAny>| bits.get_item(name)?.map_or(Ok(0), |bit| bit.extract::<u64>());
        let (kept, mut expected, mut found) = (PyDict::new(py), 0, 0);
        let fields = model.getattr(intern!(py, "__dict__"))?;
        each_of(fields.cast::<PyDict>()?, |name, value| {
            if is_same(usual, &name, &value)? {
                return Ok(());
            }
            expected |= bit(&name)?;
            let raw = match value.cast::<PyString>() {
                Ok(text) if name.eq(self.uuid.bind(py))? => text.to_str().ok().and_then(uuid_bytes),
                _ => None,
            };
            let value = raw.map_or(value, |raw| PyBytes::new(py, &raw).into_any());
            kept.set_item(places.get_item(&name)?.unwrap_or(name), value)
        })?;
        for name in model.getattr(intern!(py, "__pydantic_fields_set__"))?.try_iter()? {
            found |= bit(&name?)?;
        }
        if found != expected {
            kept.set_item(self.was_set.bind(py), found)?;
        }
        let extra = model.getattr(intern!(py, "__pydantic_extra__"))?;
        if extra.is_truthy()? {
            kept.set_item(self.extra.bind(py), extra)?;
        }
        Ok(kept)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.usual)?;
        visit.call(&self.places)?;
        visit.call(&self.was_set)?;
        visit.call(&self.extra)
    }
}

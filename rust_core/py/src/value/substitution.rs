//! Values with some of their texts replaced, for the encoder.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::copies::{made_like, set_part};
use super::difference::each_of;
use super::same::part_of;

/// Containers and objects around each other; what is deeper is taken as it is.
const DEPTH_MAX: u32 = 64;

/// How texts in a value are replaced, in it and in the objects of some classes.
///
/// Called with a value, a depth and a function it returns a value in which each text of at least ``len_min`` characters is what
/// the function gives for it, or the text itself where that is None. It looks into dicts, lists and tuples, ``depth`` of
/// them around each other, of at most ``items_max`` items; and into one field of an object; 64 levels of both at most. What has nothing replaced in it may
/// be the same object; an object that has is another one that shares its other parts.
///
/// Args:
///     models: exact classes, made of these parts, by ``Class.__new__`` without arguments.
///     parts: descriptors that give and take a part; the first is that of a dict with the fields.
///     field: the one that is looked into.
///     len_min: of a text, in characters.
///     items_max: of a container; one with more is taken as it is.
/// Raises: RuntimeError for a dict that is changed meanwhile; and what the function raises.
#[pyclass(frozen, module = "spellkeep.value", name = "Substitution")]
pub struct Substitution {
    models: Py<PyFrozenSet>,
    parts: Py<PyTuple>,
    field: Py<PyString>,
    len_min: usize,
    items_max: usize,
}

#[pymethods]
impl Substitution {
    #[new]
    #[pyo3(signature = (models, parts, *, field, len_min, items_max))]
    fn new(models: Py<PyFrozenSet>, parts: Py<PyTuple>, field: Py<PyString>, len_min: usize, items_max: usize) -> Self {
        Self { models, parts, field, len_min, items_max }
    }

    fn __call__<'py>(
        &self,
        value: Bound<'py, PyAny>,
        depth: u32,
        find: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.replaced(value, depth, find, DEPTH_MAX)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.models)?;
        visit.call(&self.parts)
    }

    /// An object like this one, with another value in the field; its other parts are shared.
    ///
    /// Raises: TypeError for an object of a class that is not made of these parts.
    fn with_field<'py>(&self, model: &Bound<'py, PyAny>, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = model.py();
        let other = || PyTypeError::new_err(format!("a {} is not made of these parts", model.get_type()));
        let made = made_like(model)?.ok_or_else(other)?;
        for (at, part) in self.parts.bind(py).iter_borrowed().enumerate() {
            let mut found = part_of(&part, model)?;
            if at == 0 {
                let fields = found.cast::<PyDict>()?.copy()?;
                fields.set_item(self.field.bind(py), &value)?;
                found = fields.into_any();
            }
            if !set_part(&part, &made, &found)? {
                return Err(other());
            }
        }
        Ok(made)
    }
}

impl Substitution {
    /// `left` counts objects as well as containers down, so that the stack is bounded and a cycle ends.
    fn replaced<'py>(
        &self,
        value: Bound<'py, PyAny>,
        depth: u32,
        find: &Bound<'py, PyAny>,
        left: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(text) = value.cast_exact::<PyString>() {
            let found = if text.len()? < self.len_min { None } else { Some(find.call1((text,))?) };
            return Ok(found.filter(|found| !found.is_none()).unwrap_or(value));
        }
        let Some(left) = left.checked_sub(1) else { return Ok(value) };
        if self.models.bind(value.py()).contains(value.get_type())? {
            let field = value.getattr(self.field.bind(value.py()))?;
            let shown = self.replaced(field.clone(), 0, find, left)?;
            return if shown.is(&field) { Ok(value) } else { self.with_field(&value, shown) };
        }
        match depth.checked_sub(1) {
            Some(depth) => self.container(value, |part| self.replaced(part, depth, find, left)),
            None => Ok(value),
        }
    }

    fn container<'py>(
        &self,
        value: Bound<'py, PyAny>,
        replaced: impl Fn(Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = value.py();
        if let Ok(dict) = value.cast_exact::<PyDict>() {
            if dict.len() <= self.items_max {
                let made = PyDict::new(py);
                each_of(dict, |key, part| made.set_item(key, replaced(part)?))?;
                return Ok(made.into_any());
            }
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            if list.len() <= self.items_max {
                let made = PyList::empty(py);
                for part in list {
                    made.append(replaced(part)?)?;
                }
                return Ok(made.into_any());
            }
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>()
            && tuple.len() <= self.items_max
        {
            let made = tuple.iter().map(replaced).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyTuple::new(py, made)?.into_any());
        }
        Ok(value)
    }
}

//! `spellkeep.SequenceView`: a list or tuple inside of a value.

use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::types::{PyBool, PyInt, PyList, PySlice, PyTuple};
use spellkeep_core::value::{Kind, Place};

use super::failure::Outcome;
use super::view::{Part, damaged, not_picklable, raise};
use super::view_dict::items;
use super::view_iter::{Gives, ViewIter};

/// A read-only view of a stored list or tuple: what is asked for is found in the stored bytes, and nothing else is read.
///
/// It is a ``Sequence``. What its items come as, how long it lasts and what it raises is as for ``DictView``. A slice is a
/// list (of a tuple: a tuple) of the items that it names. It equals a list (tuple) that is equal to ``to_python()``.
///
/// Raises: IndexError, TypeError, ValueError as a list or tuple does; Corrupted (value.malformed).
/// Cost: an item takes about a microsecond, whatever its index; ``in``, ``index`` and ``count`` read from the beginning.
/// Source: docs/guide/values.md, Views.
#[pyclass(frozen, module = "spellkeep", name = "SequenceView")]
pub struct SequenceView(pub(super) Part);

impl SequenceView {
    fn word(&self) -> &'static str {
        if self.0.place.kind == Kind::Tuple { "tuple" } else { "list" }
    }

    fn item<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        let at = self.0.lens(py).and_then(|lens| Ok(lens.item(&self.0.place, index)?));
        at.and_then(|at| self.0.reach(py, at)).map_err(|failure| raise(py, failure))
    }

    /// An index as callers give it, from the end when negative.
    fn index_of(&self, given: &Bound<'_, PyAny>) -> PyResult<usize> {
        let len = self.0.place.len;
        let beyond = || PyIndexError::new_err(format!("{} index out of range", self.word()));
        let number: isize = match given.cast_exact::<PyInt>() {
            Ok(number) => number.extract(),
            Err(_) if given.hasattr("__index__")? => given.call_method0("__index__")?.extract(),
            Err(_) => {
                let (word, class) = (self.word(), given.get_type().name()?);
                return Err(PyTypeError::new_err(format!("{word} indices must be integers or slices, not {class}")));
            }
        }
        .map_err(|_| beyond())?;
        let index = if number < 0 { number + len as isize } else { number };
        usize::try_from(index).ok().filter(|index| *index < len).ok_or_else(beyond)
    }

    fn slice<'py>(&self, slice: &Bound<'py, PySlice>) -> PyResult<Bound<'py, PyAny>> {
        let py = slice.py();
        let found = slice.indices(self.0.place.len as isize)?;
        let count = found.slicelength;
        let step = found.step.unsigned_abs();
        // From the lowest index up, whichever way the slice runs.
        let last = found.start + found.step * (count as isize - 1);
        let first = if count == 0 { 0 } else { found.start.min(last) as usize };
        let reached = || -> Outcome<Vec<_>> {
            let mut positions = self.0.positions(py, first, step, count)?;
            if found.step < 0 {
                positions.reverse();
            }
            positions.into_iter().map(|at| self.0.reach(py, at)).collect()
        };
        let reached = reached().map_err(|failure| raise(py, failure))?;
        Ok(match self.0.place.kind {
            Kind::Tuple => PyTuple::new(py, reached)?.into_any(),
            _ => PyList::new(py, reached)?.into_any(),
        })
    }

    /// The indices from `start` to `stop` at which there is a value equal to `value`, until `enough` are found.
    fn equal(&self, value: &Bound<'_, PyAny>, range: std::ops::Range<usize>, enough: usize) -> PyResult<Vec<usize>> {
        let py = value.py();
        let mut found = Vec::new();
        if range.start >= range.end || range.start >= self.0.place.len {
            return Ok(found);
        }
        let lens = self.0.lens(py).map_err(|failure| raise(py, failure))?;
        let mut at = lens.item(&self.0.place, range.start).map_err(|error| damaged(py, error))?;
        for index in range.start..range.end.min(self.0.place.len) {
            if self.0.reach(py, at).map_err(|failure| raise(py, failure))?.eq(value)? {
                found.push(index);
                if found.len() == enough {
                    break;
                }
            }
            at = lens.skip(at).map_err(|error| damaged(py, error))?;
        }
        Ok(found)
    }
}

#[pymethods]
impl SequenceView {
    fn __len__(&self) -> usize {
        self.0.place.len
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match index.cast_exact::<PySlice>() {
            Ok(slice) => self.slice(slice),
            Err(_) => self.item(index.py(), self.index_of(index)?),
        }
    }

    fn __iter__(&self) -> ViewIter {
        ViewIter::new(&self.0, Gives::Members)
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let backwards = py.get_type::<PySlice>().call1((py.None(), py.None(), -1))?;
        Ok(self.slice(backwards.cast()?)?.try_iter()?.into_any())
    }

    fn __contains__(&self, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(!self.equal(value, 0..usize::MAX, 1)?.is_empty())
    }

    /// The first index, from `start` to before `stop`, of a value equal to `value`.
    #[pyo3(signature = (value, start=0, stop=isize::MAX, /))]
    fn index(&self, value: &Bound<'_, PyAny>, start: isize, stop: isize) -> PyResult<usize> {
        let len = self.0.place.len as isize;
        let clipped = |index: isize| (if index < 0 { index + len } else { index }).max(0) as usize;
        let found = self.equal(value, clipped(start)..clipped(stop), 1)?;
        let missing = || PyValueError::new_err(format!("{}.index(x): x not in {}", self.word(), self.word()));
        found.first().copied().ok_or_else(missing)
    }

    /// How many values are equal to `value`.
    #[pyo3(signature = (value, /))]
    fn count(&self, value: &Bound<'_, PyAny>) -> PyResult<usize> {
        Ok(self.equal(value, 0..usize::MAX, usize::MAX)?.len())
    }

    /// The list or tuple itself, as ``get`` of the store would give it: read whole, and free to be changed.
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.to_python(py)
    }

    fn __eq__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let Place { kind, len, .. } = self.0.place;
        let is_like = |other: &Bound<'py, PyAny>| match kind {
            Kind::Tuple => other.is_instance_of::<PyTuple>(),
            _ => other.is_instance_of::<PyList>(),
        };
        let other = match other.cast_exact::<Self>() {
            Ok(view) if view.get().0.place.kind == kind && view.get().0.place.len == len => view.get().to_python(py)?,
            Err(_) if is_like(other) && other.len()? == len => other.clone(),
            Err(_) if !is_like(other) => return Ok(py.NotImplemented().into_bound(py)),
            _ => return Ok(PyBool::new(py, false).to_owned().into_any()),
        };
        self.to_python(py)?.rich_compare(other, CompareOp::Eq)
    }

    fn __repr__(&self) -> String {
        let count = self.0.place.len;
        format!("<view of a {} of {count} {}>", self.word(), items(count))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable())
    }
}

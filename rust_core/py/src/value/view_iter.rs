//! Iteration over a view: one item after the other, each found from the end of the one before it.

use pyo3::prelude::*;
use spellkeep_core::sync::{AtomicU64, Ordering};

use super::failure::Outcome;
use super::view::{Part, raise};

/// What an iteration gives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    /// The items of a list or tuple.
    Members,
    /// The keys of a dict.
    Keys,
    /// Its values.
    Values,
    /// Keys and values in pairs.
    Items,
}

/// An iterator over a view. Threads that share one may see an item twice.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct ViewIter {
    part: Part,
    gives: Gives,
    /// Number of the next item, and where it is; both fit half a word, as the bytes of a value do.
    next: AtomicU64,
}

impl ViewIter {
    pub(super) fn new(part: &Part, gives: Gives) -> Self {
        Self { part: part.clone(), gives, next: AtomicU64::new(part.place.body as u64) }
    }

    fn step<'py>(&self, py: Python<'py>, at: usize) -> Outcome<(Bound<'py, PyAny>, usize)> {
        let lens = self.part.lens(py)?;
        let end = lens.skip(at)?;
        Ok(match self.gives {
            Gives::Members => (self.part.reach(py, at)?, end),
            Gives::Keys => (self.part.key(py, at)?, lens.skip(end)?),
            Gives::Values => (self.part.reach(py, end)?, lens.skip(end)?),
            Gives::Items => {
                let item = (self.part.key(py, at)?, self.part.reach(py, end)?);
                (item.into_pyobject(py)?.into_any(), lens.skip(end)?)
            }
        })
    }
}

#[pymethods]
impl ViewIter {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = self.next.load(Ordering::Relaxed);
        let (number, at) = (next >> 32, next as u32 as usize);
        if number as usize >= self.part.place.len {
            return Ok(None);
        }
        let (item, end) = self.step(py, at).map_err(|failure| raise(py, failure))?;
        self.next.store((number + 1) << 32 | end as u64, Ordering::Relaxed);
        Ok(Some(item))
    }

    fn __length_hint__(&self) -> usize {
        self.part.place.len - (self.next.load(Ordering::Relaxed) >> 32) as usize
    }
}

//! Lazy views: the parts of a large value that are asked for, and no others.

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::{Kind, Lens, Place, Token, ValueError, tags};

use super::BufferOwner;
use super::decode::Builder;
use super::failure::{Failure, Outcome};
use super::view_dict::DictView;
use super::view_sequence::SequenceView;

/// The bytes of a whole value, which stay alive and as they are for as long as this does.
pub trait ValueSource: BufferOwner + Send + Sync {
    /// All of them, envelope first.
    fn bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8];
}

/// Arrays that a view gives are windows of the stored bytes, whatever their size, and nobody may write through them.
struct ReadOnly<'a>(&'a dyn ValueSource);

impl BufferOwner for ReadOnly<'_> {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        self.0.buffer(py, offset, len)
    }

    fn is_read_only(&self) -> bool {
        true
    }
}

/// A container of a value, and what keeps the value alive.
#[derive(Clone)]
pub(super) struct Part {
    source: Arc<dyn ValueSource>,
    at: usize,
    pub place: Place,
}

impl Part {
    /// To find other places of the same value.
    #[inline]
    pub fn lens<'a>(&'a self, py: Python<'a>) -> Outcome<Lens<'a>> {
        Ok(Lens::new(self.source.bytes(py))?)
    }

    /// The value at `at`: a view of a container, anything else itself.
    pub fn reach<'py>(&self, py: Python<'py>, at: usize) -> Outcome<Bound<'py, PyAny>> {
        reach(py, &self.source, at)
    }

    /// A key of a dict, which is wanted whole.
    pub fn key<'py>(&self, py: Python<'py>, at: usize) -> Outcome<Bound<'py, PyAny>> {
        let owner = Owned(&*self.source);
        let mut builder = Builder::new(py, self.lens(py)?.reader(at), Some(&owner));
        let key = builder.value()?;
        match key.hash() {
            Ok(_) => Ok(key),
            Err(error) => {
                error.restore(py);
                Err(builder.refused_member(&key))
            }
        }
    }

    /// The container as the object that `get` would give.
    pub fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if self.at == Lens::OBJECT {
            // Everything is read, so the footer can be checked too.
            return super::decode(py, self.source.bytes(py), Some(&Owned(&*self.source)));
        }
        let whole =
            self.lens(py).and_then(|lens| Builder::new(py, lens.reader(self.at), Some(&Owned(&*self.source))).value());
        whole.map_err(|failure| failure.into_err(py))
    }

    /// Where the items from `first` on begin: `count` of them, `step` apart.
    pub fn positions(&self, py: Python<'_>, first: usize, step: usize, count: usize) -> Outcome<Vec<usize>> {
        let lens = self.lens(py)?;
        let mut found = Vec::with_capacity(count);
        while found.len() < count {
            let at = match found.last() {
                // A jump costs as much as the steps to the next item that the footer names.
                Some(last) if step == 1 || !self.place.has_table() => {
                    (0..step).try_fold(*last, |at, _| lens.skip(at))?
                }
                _ => lens.item(&self.place, first + step * found.len())?,
            };
            found.push(at);
        }
        Ok(found)
    }
}

/// A source as the owner of what is read whole.
struct Owned<'a>(&'a dyn ValueSource);

impl BufferOwner for Owned<'_> {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        self.0.buffer(py, offset, len)
    }
}

fn reach<'py>(py: Python<'py>, source: &Arc<dyn ValueSource>, at: usize) -> Outcome<Bound<'py, PyAny>> {
    let lens = Lens::new(source.bytes(py))?;
    if let Some(place) = lens.container(at)? {
        let part = Part { source: Arc::clone(source), at, place };
        return Ok(match place.kind {
            Kind::Map => DictView(part).into_bound_py_any(py)?,
            Kind::List | Kind::Tuple => SequenceView(part).into_bound_py_any(py)?,
        });
    }
    let mut reader = lens.reader(at);
    match reader.token()? {
        Token::Bin(bytes) => Ok(source.buffer(py, reader.pos() - bytes.len(), bytes.len())?),
        Token::Ext { code: tags::NDARRAY, .. } => Builder::new(py, lens.reader(at), Some(&ReadOnly(&**source))).value(),
        _ => Builder::new(py, lens.reader(at), Some(&Owned(&**source))).value(),
    }
}

/// A view of a whole value, or the value itself when it is no list, tuple or dict.
pub fn view(py: Python<'_>, source: Arc<dyn ValueSource>) -> PyResult<Bound<'_, PyAny>> {
    reach(py, &source, Lens::OBJECT).map_err(|failure| failure.into_err(py))
}

/// The exception for what went wrong inside of a view.
#[cold]
pub(super) fn raise(py: Python<'_>, failure: Box<Failure>) -> PyErr {
    failure.into_err(py)
}

/// The exception for damage that a lens found.
#[cold]
pub(super) fn damaged(py: Python<'_>, error: ValueError) -> PyErr {
    raise(py, error.into())
}

#[cold]
pub(super) fn not_picklable() -> PyErr {
    PyTypeError::new_err("a view cannot be pickled or copied: take view.to_python()")
}

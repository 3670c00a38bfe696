//! `Correlation`: what the records of one piece of work share, and which one a write is part of.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};
use spellkeep_core::error::Coded;
use spellkeep_core::record::{Origin, OriginBuf};

use crate::errors::raise;
use crate::hooks::DEPTH_TAG;
use crate::scope::utf8;
use crate::store::Version;

/// Whether anybody in this process ever asked for the variable: what every write looks at.
static IN_USE: AtomicU32 = AtomicU32::new(0);

/// Of [`IN_USE`]: a program asked for the variable, and may set it at any time. The rest counts hooks that run now.
const FOR_GOOD: u32 = 1 << 31;
static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What the records of one piece of work say of where they come from. Immutable.
#[pyclass(frozen, module = "spellkeep.correlation")]
pub struct Correlation {
    made: OriginBuf,
}

impl Correlation {
    /// Of what a hook does that is given the record of this version and origin, so many hooks deep.
    pub fn because_of(py: Python<'_>, version: u64, origin: &Origin<'_>, depth: u32) -> PyResult<Self> {
        let tag = format!("{DEPTH_TAG}{depth}");
        let made = OriginBuf::new(Some(version), origin.correlation(), origin.actor(), &[&tag]);
        let made = made.map_err(|error| raise(py, "InvalidKey", error.code(), &error.to_string(), None))?;
        Ok(Self { made })
    }
}

#[pymethods]
impl Correlation {
    #[new]
    #[pyo3(signature = (id=None, *, actor=None, tags=None, cause=None))]
    fn new(
        py: Python<'_>,
        id: Option<&Bound<'_, PyAny>>,
        actor: Option<&Bound<'_, PyAny>>,
        tags: Option<&Bound<'_, PyAny>>,
        cause: Option<Version>,
    ) -> PyResult<Self> {
        const SURROGATE: &str = "correlation.lone_surrogate";
        let id = id.map(|id| utf8(id, "a correlation id", SURROGATE)).transpose()?;
        let actor = actor.map(|actor| utf8(actor, "an actor", SURROGATE)).transpose()?;
        let tags: Vec<Bound<'_, PyAny>> = match tags {
            // Its characters would be taken for tags.
            Some(text) if text.is_instance_of::<PyString>() => {
                return Err(PyTypeError::new_err("tags must be several str, such as a tuple, not one str"));
            }
            Some(tags) => tags.try_iter()?.collect::<PyResult<_>>()?,
            None => Vec::new(),
        };
        let tags: Vec<&str> = tags.iter().map(|tag| utf8(tag, "a tag", SURROGATE)).collect::<PyResult<_>>()?;
        let made = OriginBuf::new(cause.map(Version::number), id, actor, &tags);
        let made = made.map_err(|error| raise(py, "InvalidKey", error.code(), &error.to_string(), None))?;
        Ok(Self { made })
    }

    /// The correlation id, or None.
    #[getter]
    fn id(&self) -> Option<&str> {
        self.made.get().correlation()
    }

    /// Who asked for it, or None.
    #[getter]
    fn actor(&self) -> Option<&str> {
        self.made.get().actor()
    }

    /// Names to find it by.
    #[getter]
    fn tags<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        tags_of(py, &self.made.get())
    }

    /// The version of what caused it, or None.
    #[getter]
    fn cause(&self) -> Option<u64> {
        self.made.get().cause()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shown = |text: Option<&str>| -> PyResult<String> {
            Ok(text
                .map_or_else(|| Ok(py.None().into_bound(py)), |t| Ok::<_, PyErr>(PyString::new(py, t).into_any()))?
                .repr()?
                .to_string())
        };
        let (id, actor, tags) = (shown(self.id())?, shown(self.actor())?, self.tags(py)?.repr()?.to_string());
        let cause = self.cause().map_or_else(|| "None".to_owned(), |cause| cause.to_string());
        Ok(format!("Correlation({id}, actor={actor}, tags={tags}, cause={cause})"))
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.made == other.made
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyBytes::new(py, self.made.get().bytes()).hash()
    }
}

/// The tags of an origin.
pub fn tags_of<'py>(py: Python<'py>, origin: &Origin<'_>) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, origin.tags().collect::<Vec<_>>())
}

/// The context variable that holds the current `Correlation`. From the first call on every write looks at it.
#[pyfunction]
pub fn correlation_var(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let var = variable(py)?;
    IN_USE.fetch_or(FOR_GOOD, Ordering::Relaxed);
    Ok(var)
}

fn variable(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let made = CURRENT.get_or_try_init(py, || {
        let class = py.import("contextvars")?.getattr("ContextVar")?;
        class.call1(("spellkeep.correlation",)).map(Bound::unbind)
    })?;
    Ok(made.bind(py).clone())
}

/// What is written says where it comes from, until this is dropped; writers pay for it no longer than that.
pub struct Inside<'py> {
    var: Bound<'py, PyAny>,
    outer: Option<Bound<'py, PyAny>>,
}

impl<'py> Inside<'py> {
    /// Nothing yet.
    pub fn new(py: Python<'py>) -> PyResult<Self> {
        let var = variable(py)?;
        IN_USE.fetch_add(1, Ordering::Relaxed);
        Ok(Self { var, outer: None })
    }

    /// From here on there.
    pub fn enter(&mut self, origin: &Bound<'py, Correlation>) -> PyResult<()> {
        let py = self.var.py();
        // SAFETY: a context variable and an object; the token comes as a new reference, or null with an exception.
        let token =
            unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContextVar_Set(self.var.as_ptr(), origin.as_ptr()))? };
        // The first one leads back to what was there before all.
        self.outer.get_or_insert(token);
        Ok(())
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
        let Some(token) = self.outer.take() else { return };
        // SAFETY: the token is of this variable and this thread, and was not used.
        if unsafe { ffi::PyContextVar_Reset(self.var.as_ptr(), token.as_ptr()) } < 0 {
            PyErr::fetch(self.var.py()).write_unraisable(self.var.py(), None);
        }
    }
}

/// What a write is part of.
pub struct Current<'py>(Option<Bound<'py, Correlation>>);

impl Current<'_> {
    /// To be written.
    #[inline]
    pub fn origin(&self) -> Origin<'_> {
        self.0.as_ref().map_or(Origin::NONE, |current| current.get().made.get())
    }
}

/// What a write by this thread, or task, is part of now. Cost: one relaxed load where nothing ever was.
#[inline]
pub fn current(py: Python<'_>) -> PyResult<Current<'_>> {
    if IN_USE.load(Ordering::Relaxed) != 0 { look(py) } else { Ok(Current(None)) }
}

fn look(py: Python<'_>) -> PyResult<Current<'_>> {
    // Threads that see the flag before the variable have nothing in it either.
    let Some(var) = CURRENT.get(py) else { return Ok(Current(None)) };
    let mut found = std::ptr::null_mut();
    // SAFETY: `var` is a context variable; what is found comes as a new reference, or null where there is nothing.
    let found = unsafe {
        if ffi::PyContextVar_Get(var.as_ptr(), std::ptr::null_mut(), &mut found) < 0 {
            return Err(PyErr::fetch(py));
        }
        Bound::from_owned_ptr_or_opt(py, found)
    };
    match found {
        Some(found) if !found.is_none() => Ok(Current(Some(found.cast_into::<Correlation>()?))),
        _ => Ok(Current(None)),
    }
}

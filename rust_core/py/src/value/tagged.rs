//! `spellkeep.Tagged`: an object whose class this process has not registered, kept as it was.

use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use spellkeep_core::limits::{DEPTH_CEILING, TAG_BYTES_MAX, ValueLimits};
use spellkeep_core::value::{Encoder, Reader, Shape, ValueError, measure};

use super::decode::Builder;
use super::encode::Walker;
use super::failure::{Cause, Failure};
use super::hiding::Nothing;

/// A tag, a version and a payload, without behaviour: what a stored object of a class that is not registered here is read as.
///
/// It is immutable, and kept again it gives the same bytes, so a process that only passes values on needs none of their
/// classes. Equality and hash are those of tag, version and payload bytes.
///
/// Args:
///     tag: 1 to 256 UTF-8 bytes.
///     version: 0 to 2**32 - 1.
///     payload: any value that can be kept; it is encoded here and now.
/// Raises: NotSerializable and LimitExceeded as for every value, with the default limits; NotSerializable (value.tag).
/// Source: docs/guide/values.md, Unknown tags.
#[pyclass(frozen, module = "spellkeep", name = "Tagged")]
pub struct Tagged {
    pub(super) tag: String,
    pub(super) version: u32,
    /// One encoded value without envelope.
    pub(super) payload: Box<[u8]>,
    pub(super) shape: Shape,
}

/// Tag, version, payload bytes.
type Parts<'py> = (String, u32, Bound<'py, PyBytes>);

impl Tagged {
    fn key(&self) -> (&str, u32, &[u8]) {
        (&self.tag, self.version, &self.payload)
    }

    pub(super) fn decoded<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let build = || {
            let mut builder = Builder::new(py, Reader::bare(&self.payload), None);
            let value = builder.value()?;
            builder.finish()?;
            Ok(value)
        };
        build().map_err(|failure: Box<Failure>| failure.into_err(py))
    }
}

#[pymethods]
impl Tagged {
    #[new]
    fn new(py: Python<'_>, tag: String, version: u32, payload: &Bound<'_, PyAny>) -> PyResult<Self> {
        let build = || {
            if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
                return Err(Failure::new(Cause::Value(ValueError::Tag { len_bytes: tag.len() })));
            }
            let mut bytes = Vec::new();
            // The payload lies one level deep wherever it is kept.
            let limits = ValueLimits { depth_max: DEPTH_CEILING - 1, ..ValueLimits::default() };
            let mut walker = Walker { py, encoder: Encoder::bare(&mut bytes, &limits), hiding: Nothing };
            // SAFETY: the caller's reference keeps the payload alive.
            unsafe { walker.value(payload.as_ptr())? };
            walker.encoder.finish()?;
            let shape = measure(&mut Reader::bare(&bytes), 0)?;
            Ok((bytes.into_boxed_slice(), shape))
        };
        let (payload, shape) = build().map_err(|failure| failure.into_err(py))?;
        Ok(Self { tag, version, payload, shape })
    }

    /// The tag under which a class would be registered.
    #[getter]
    fn tag(&self) -> &str {
        &self.tag
    }

    /// The version of the class that encoded the payload.
    #[getter]
    fn version(&self) -> u32 {
        self.version
    }

    /// The payload, decoded anew at each access. Raises: as ``decode``.
    #[getter]
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.decoded(py)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast_exact::<Self>().is_ok_and(|other| other.get().key() == self.key())
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.key().hash(&mut hasher);
        hasher.finish()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        // A class in the payload may refuse to be rebuilt; a repr must not fail for that.
        let payload = match self.decoded(py).and_then(|payload| payload.repr()) {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => format!("<{} bytes>", self.payload.len()),
        };
        Ok(format!("Tagged({:?}, {}, {payload})", self.tag, self.version))
    }

    /// Copies and pickles carry the payload as bytes, so that no class in it is asked.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Parts<'py>)> {
        let this = slf.get();
        let payload = PyBytes::new(slf.py(), &this.payload);
        Ok((slf.get_type().getattr("_restore")?, (this.tag.clone(), this.version, payload)))
    }

    /// Private: the other half of `__reduce__`.
    #[staticmethod]
    fn _restore(py: Python<'_>, tag: String, version: u32, payload: &[u8]) -> PyResult<Self> {
        let check = || {
            if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
                return Err(ValueError::Tag { len_bytes: tag.len() });
            }
            let mut reader = Reader::bare(payload);
            let shape = measure(&mut reader, 1)?;
            reader.finish()?;
            Ok(shape)
        };
        let shape = check().map_err(|error| Failure::new(Cause::Value(error)).into_err(py))?;
        Ok(Self { tag, version, payload: payload.into(), shape })
    }
}

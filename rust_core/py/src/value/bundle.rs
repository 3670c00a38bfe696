//! Bundles: a value and runs of bytes in one run of bytes, each found without reading the others.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use spellkeep_core::limits::ValueLimits;

use super::{encode_into, with_scratch};

/// What begins the envelope of nearly every value. It is left out; the first byte of it alone begins no value.
const USUAL: &[u8] = b"\xc1\x01";
/// A head of this many bytes or more has its length in four bytes behind this one.
const LONG: u8 = 0xFF;

fn bare(value: &[u8]) -> &[u8] {
    value.strip_prefix(USUAL).unwrap_or(value)
}

/// Encode a list, and values that are encoded already, as one run of bytes.
///
/// Not as one value, because a large value carries a footer that finds its parts, of some 30 bytes: too much for what is
/// always read whole.
///
/// Args:
///     head: a list that can be kept.
///     blobs: what ``encode`` returned.
/// Raises: as ``encode``.
/// Cost: as ``encode``, and a copy of the bytes.
/// Source: docs/guide/langgraph.md, What is stored.
#[pyfunction]
pub fn value_bundle<'py>(
    py: Python<'py>,
    head: &Bound<'py, PyList>,
    blobs: Vec<Bound<'py, PyBytes>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let whole = head.get_slice(0, head.len());
    whole.append(PyList::new(py, blobs.iter().map(|blob| bare(blob.as_bytes()).len()))?)?;
    with_scratch(|scratch| {
        encode_into(py, whole.as_any(), &ValueLimits::default(), scratch)?;
        let raw = bare(scratch);
        let long = u32::try_from(raw.len())
            .map_err(|_| PyOverflowError::new_err("the head of a bundle has less than 4 GiB"))?
            .to_be_bytes();
        let size = match u8::try_from(raw.len()) {
            Ok(short) if short < LONG => &[short][..],
            _ => &[LONG, long[0], long[1], long[2], long[3]][..],
        };
        let parts = [size, raw].into_iter().chain(blobs.iter().map(|blob| bare(blob.as_bytes())));
        let bytes = parts.clone().map(<[u8]>::len).sum();
        PyBytes::new_with(py, bytes, |out| {
            let mut at = 0;
            for part in parts {
                out[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
            Ok(())
        })
    })
}

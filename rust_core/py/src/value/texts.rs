//! Ids and times that are text, as bytes and numbers.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use spellkeep_core::value::{time_us, uuid_bytes};

/// The 16 bytes of a UUID in its canonical spelling: lower case, with dashes. None for any other text.
///
/// Cost: 50 ns.
/// Source: RFC 9562, section 4.
#[pyfunction]
pub fn value_uuid_bytes<'py>(text: &Bound<'py, PyString>) -> Option<Bound<'py, PyBytes>> {
    // What is not UTF-8 is no UUID.
    uuid_bytes(text.to_str().ok()?).map(|raw| PyBytes::new(text.py(), &raw))
}

/// The microseconds since 1970 of a time of UTC, if it is spelled as ``datetime.isoformat`` does. None for anything else.
///
/// That is ``YYYY-MM-DDTHH:MM:SS.ffffff+00:00``, the years from 1 on, and the six digits not all 0: these are left out then.
///
/// Cost: 60 ns.
/// Source: the proleptic Gregorian calendar of ISO 8601.
#[pyfunction]
pub fn value_time_us(text: &Bound<'_, PyAny>) -> Option<i64> {
    time_us(text.cast::<PyString>().ok()?.to_str().ok()?)
}

//! Lengths of time as callers give them: in seconds, above 0 and up to a hundred years.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};
use spellkeep_core::limits::TTL_S_MAX;

use crate::errors::raise;

/// A time to live.
#[derive(Clone, Copy)]
pub struct Ttl(u64);

/// The longest that a read view may last.
#[derive(Clone, Copy)]
pub struct MaxAge(u64);

impl Ttl {
    /// Microseconds, at least one.
    pub fn us(self) -> u64 {
        self.0
    }
}

impl MaxAge {
    /// Microseconds, at least one.
    pub fn us(self) -> u64 {
        self.0
    }
}

impl FromPyObject<'_, '_> for Ttl {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        us_of(given, "ttl_s", "ttl.out_of_range", "a value that stays").map(Self)
    }
}

impl FromPyObject<'_, '_> for MaxAge {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        us_of(given, "max_age_s", "view.max_age", "a view of any age").map(Self)
    }
}

fn us_of(given: Borrowed<'_, '_, PyAny>, name: &str, code: &str, without: &str) -> PyResult<u64> {
    let is_number = given.is_instance_of::<PyFloat>() || given.is_instance_of::<PyInt>();
    if !is_number || given.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(format!("{name} is a number of seconds, not {}", shown(given))));
    }
    // An integer beyond every float is beyond the limit too.
    let seconds = given.extract::<f64>().unwrap_or(f64::INFINITY);
    if seconds > 0.0 && seconds <= TTL_S_MAX {
        return Ok(((seconds * 1e6).round() as u64).max(1));
    }
    let detail = format!(
        "{name} must be above 0 and at most {TTL_S_MAX} seconds (a hundred years), not {}; leave it out for {without}",
        shown(given)
    );
    Err(raise(given.py(), "LimitExceeded", code, &detail, None))
}

/// Python refuses to write out an integer of many thousand digits.
fn shown(given: Borrowed<'_, '_, PyAny>) -> String {
    given.repr().map_or_else(|_| "that".to_owned(), |text| text.to_string())
}

//! `spellkeep.Limits`: what one value may be.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use spellkeep_core::limits::{DEPTH_CEILING, VALUE_BYTES_CEILING, ValueLimits};

use crate::errors;

/// What one value may be; checked during the walk that encodes it, so nothing of a refused value is kept.
///
/// Args:
///     depth_max: nesting levels of containers, 0..=512; a scalar has 0, ``[]`` has 1, a registered object adds one to
///         those of its fields.
///     items_max: items over all containers of the value; an entry of a dict counts once.
///     string_bytes_max: UTF-8 bytes of one string, or bytes of one binary. Arrays are bounded by the next one only.
///     value_bytes_max: encoded bytes of the whole value, at most 2**30.
/// Raises:
///     LimitExceeded: value.limits when a number is out of range.
/// Source: docs/guide/values.md, Limits.
#[pyclass(frozen, eq, hash, module = "spellkeep", name = "Limits")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    depth_max: u32,
    items_max: u64,
    string_bytes_max: usize,
    value_bytes_max: usize,
}

impl Limits {
    /// For the encoder.
    pub fn value_limits(&self) -> ValueLimits {
        ValueLimits {
            depth_max: self.depth_max,
            items_max: self.items_max,
            string_bytes_max: self.string_bytes_max,
            value_bytes_max: self.value_bytes_max,
        }
    }
}

/// A number given by the caller, the default if none, an error unless 0..=`ceiling`.
fn number(py: Python<'_>, name: &str, given: Option<i128>, default: u64, ceiling: u64) -> PyResult<u64> {
    let Some(given) = given else {
        return Ok(default);
    };
    u64::try_from(given).ok().filter(|number| *number <= ceiling).ok_or_else(|| {
        errors::raise(py, "LimitExceeded", "value.limits", &format!("{name}={given}: 0 to {ceiling}"), None)
    })
}

#[pymethods]
impl Limits {
    #[new]
    #[pyo3(signature = (*, depth_max=None, items_max=None, string_bytes_max=None, value_bytes_max=None))]
    fn new(
        py: Python<'_>,
        depth_max: Option<i128>,
        items_max: Option<i128>,
        string_bytes_max: Option<i128>,
        value_bytes_max: Option<i128>,
    ) -> PyResult<Self> {
        let plain = ValueLimits::default();
        let (bytes, ceiling) = (plain.value_bytes_max as u64, VALUE_BYTES_CEILING as u64);
        let string_bytes = plain.string_bytes_max as u64;
        Ok(Self {
            depth_max: number(py, "depth_max", depth_max, plain.depth_max.into(), DEPTH_CEILING.into())? as u32,
            items_max: number(py, "items_max", items_max, plain.items_max, i64::MAX as u64)?,
            string_bytes_max: number(py, "string_bytes_max", string_bytes_max, string_bytes, ceiling)? as usize,
            value_bytes_max: number(py, "value_bytes_max", value_bytes_max, bytes, ceiling)? as usize,
        })
    }

    /// Nesting levels of containers.
    #[getter]
    fn depth_max(&self) -> u32 {
        self.depth_max
    }

    /// Items over all containers of one value.
    #[getter]
    fn items_max(&self) -> u64 {
        self.items_max
    }

    /// UTF-8 bytes of one string, or bytes of one binary.
    #[getter]
    fn string_bytes_max(&self) -> usize {
        self.string_bytes_max
    }

    /// Encoded bytes of the whole value.
    #[getter]
    fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    fn __repr__(&self) -> String {
        format!(
            "Limits(depth_max={}, items_max={}, string_bytes_max={}, value_bytes_max={})",
            self.depth_max, self.items_max, self.string_bytes_max, self.value_bytes_max
        )
    }

    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<((), Bound<'py, PyDict>)> {
        let kwargs = PyDict::new(py);
        kwargs.set_item("depth_max", self.depth_max)?;
        kwargs.set_item("items_max", self.items_max)?;
        kwargs.set_item("string_bytes_max", self.string_bytes_max)?;
        kwargs.set_item("value_bytes_max", self.value_bytes_max)?;
        Ok(((), kwargs))
    }
}

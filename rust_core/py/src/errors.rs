//! Raises the classes of `spellkeep.errors`: they are Python classes because each has two bases.
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Builds `spellkeep.errors.<class>(detail, code=code, **fields)`. If even that fails, the failure is what is raised.
pub fn raise(py: Python<'_>, class: &str, code: &str, detail: &str, fields: Option<Bound<'_, PyDict>>) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let module = ERRORS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("spellkeep.errors")?.unbind()))?;
        let kwargs = fields.unwrap_or_else(|| PyDict::new(py));
        kwargs.set_item("code", code)?;
        Ok(PyErr::from_value(module.bind(py).getattr(class)?.call((detail,), Some(&kwargs))?))
    };
    build().unwrap_or_else(|failure| failure)
}

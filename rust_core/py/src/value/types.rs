//! Classes that the walk compares with, looked up once.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

/// Classes of the standard library that are written in Python.
pub(super) struct Library {
    pub decimal: Py<PyType>,
    pub uuid: Py<PyType>,
    pub safe_uuid: Py<PyAny>,
    pub timezone: Py<PyType>,
    pub zone_info: Py<PyType>,
    pub zone_missing: Py<PyType>,
    pub enumeration: Py<PyType>,
}

static LIBRARY: PyOnceLock<Library> = PyOnceLock::new();

pub(super) fn library(py: Python<'_>) -> PyResult<&Library> {
    LIBRARY.get_or_try_init(py, || {
        let class = |module: &str, name: &str| -> PyResult<Py<PyType>> {
            Ok(py.import(module)?.getattr(name)?.cast_into::<PyType>()?.unbind())
        };
        Ok(Library {
            decimal: class("decimal", "Decimal")?,
            uuid: class("uuid", "UUID")?,
            safe_uuid: py.import("uuid")?.getattr("SafeUUID")?.unbind(),
            timezone: class("datetime", "timezone")?,
            zone_info: class("zoneinfo", "ZoneInfo")?,
            zone_missing: class("zoneinfo", "ZoneInfoNotFoundError")?,
            enumeration: class("enum", "Enum")?,
        })
    })
}

/// What is needed of numpy.
pub(super) struct Numpy {
    pub ndarray: Py<PyType>,
    pub generic: Py<PyType>,
    pub text: Py<PyType>,
    pub bytes: Py<PyType>,
    pub dtype: Py<PyAny>,
    pub empty: Py<PyAny>,
    pub frombuffer: Py<PyAny>,
    pub ascontiguousarray: Py<PyAny>,
}

static NUMPY: PyOnceLock<Numpy> = PyOnceLock::new();

pub(super) fn numpy(py: Python<'_>) -> PyResult<&Numpy> {
    NUMPY.get_or_try_init(py, || {
        let module = py.import("numpy")?;
        let class = |name: &str| -> PyResult<Py<PyType>> { Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind()) };
        let function = |name: &str| -> PyResult<Py<PyAny>> { Ok(module.getattr(name)?.unbind()) };
        Ok(Numpy {
            ndarray: class("ndarray")?,
            generic: class("generic")?,
            text: class("str_")?,
            bytes: class("bytes_")?,
            dtype: function("dtype")?,
            empty: function("empty")?,
            frombuffer: function("frombuffer")?,
            ascontiguousarray: function("ascontiguousarray")?,
        })
    })
}

/// numpy if the program has imported it: otherwise no object can be one of its arrays, and importing it would cost 100 ms.
pub(super) fn numpy_if_loaded(py: Python<'_>) -> PyResult<Option<&Numpy>> {
    if let Some(known) = NUMPY.get(py) {
        return Ok(Some(known));
    }
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    // A numpy that is still being imported has no ndarray yet.
    let ready = match modules.cast::<PyDict>()?.get_item(intern!(py, "numpy"))? {
        Some(module) => module.hasattr(intern!(py, "ascontiguousarray"))? && module.hasattr(intern!(py, "generic"))?,
        None => false,
    };
    if ready { numpy(py).map(Some) } else { Ok(None) }
}

/// Two dicts that `spellkeep.value` fills: class -> (tag, version, encode), and tag -> decode(payload, version).
static REGISTRY: PyOnceLock<(Py<PyDict>, Py<PyDict>)> = PyOnceLock::new();

pub(super) fn use_registry(py: Python<'_>, by_class: Py<PyDict>, by_tag: Py<PyDict>) {
    // The second import of a reloaded module hands in the same dicts.
    let _ = REGISTRY.set(py, (by_class, by_tag));
}

pub(super) fn registered_class<'py>(class: &Bound<'py, PyType>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = class.py();
    match REGISTRY.get(py) {
        Some((by_class, _)) => by_class.bind(py).get_item(class),
        None => Ok(None),
    }
}

pub(super) fn registered_tag<'py>(py: Python<'py>, tag: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    match REGISTRY.get(py) {
        Some((_, by_tag)) => by_tag.bind(py).get_item(tag),
        None => Ok(None),
    }
}

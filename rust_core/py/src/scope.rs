//! `StateScope` and the checks of keys: what the store binding calls first in every call.
use std::sync::atomic::{AtomicIsize, Ordering};

use pyo3::class::basic::CompareOp;
use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};
use spellkeep_core::error::Coded;
use spellkeep_core::scope::{KeyError, Scope, ScopeKind, check_key, encode_scope};

use crate::errors::raise;

/// Whose state an entry is: made by `GLOBAL`, `agent(id)` and its siblings, or `parse(text)`. Immutable and hashable.
#[pyclass(frozen, module = "spellkeep")]
pub struct StateScope {
    encoded: Box<[u8]>,
    /// Made when first asked for: most scopes are arguments of one call and never hashed by Python.
    hash: AtomicIsize,
}

/// No object of Python has this hash, so it can stand for "not made yet".
const NO_HASH: isize = -1;

impl StateScope {
    /// The stored form: the key of the scope table and the scope field of a record.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The scope that `bytes` of the store are the encoding of.
    pub fn from_encoded(encoded: Box<[u8]>) -> Self {
        Self { encoded, hash: AtomicIsize::new(NO_HASH) }
    }

    fn build(py: Python<'_>, kind: ScopeKind, ids: &[&str]) -> PyResult<Self> {
        encode_scope(kind, ids).map(Self::from_encoded).map_err(|error| invalid(py, &error))
    }

    fn one(kind: ScopeKind, id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::build(id.py(), kind, &[utf8(id, "a scope id", "scope.lone_surrogate")?])
    }

    fn decoded(&self, py: Python<'_>) -> PyResult<Scope> {
        Scope::decode(&self.encoded).map_err(|error| invalid(py, &error))
    }
}

#[pymethods]
impl StateScope {
    /// The scope that everything in the store shares.
    #[classattr]
    #[allow(non_snake_case)]
    fn GLOBAL(py: Python<'_>) -> PyResult<Self> {
        Self::build(py, ScopeKind::Global, &[])
    }

    /// The scope of one person.
    #[staticmethod]
    fn user(user_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::User, user_id)
    }

    /// The scope of one conversation.
    #[staticmethod]
    fn session(session_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::Session, session_id)
    }

    /// The scope of one agent.
    #[staticmethod]
    fn agent(agent_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::Agent, agent_id)
    }

    /// The scope of one tool.
    #[staticmethod]
    fn tool(tool_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::Tool, tool_id)
    }

    /// The scope of one workflow.
    #[staticmethod]
    fn workflow(workflow_id: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::Workflow, workflow_id)
    }

    /// The scope of one step of a workflow.
    #[staticmethod]
    fn step(workflow_id: &Bound<'_, PyAny>, step_name: &Bound<'_, PyAny>) -> PyResult<Self> {
        let workflow = utf8(workflow_id, "a scope id", "scope.lone_surrogate")?;
        let step = utf8(step_name, "a scope id", "scope.lone_surrogate")?;
        Self::build(workflow_id.py(), ScopeKind::Step, &[workflow, step])
    }

    /// The scope of a namespace of your own.
    #[staticmethod]
    fn custom(namespace: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::one(ScopeKind::Custom, namespace)
    }

    /// The scope that a text form such as `agent:scout` names.
    #[classmethod]
    fn parse(_cls: &Bound<'_, PyType>, text: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = text.py();
        let scope: Scope = utf8(text, "the text of a scope", "scope.lone_surrogate")?
            .parse()
            .map_err(|error: KeyError| invalid(py, &error))?;
        Ok(Self::from_encoded(scope.encode()))
    }

    /// The kind: `global`, `user`, `session`, `agent`, `tool`, `workflow`, `step` or `custom`.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.decoded(py)?.kind().name())
    }

    /// The ids, outermost first: two of a step, none of `GLOBAL`, else one.
    #[getter]
    fn ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.decoded(py)?.ids())
    }

    fn __str__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.decoded(py)?.to_string())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let scope = self.decoded(py)?;
        if scope.kind() == ScopeKind::Global {
            return Ok("StateScope.GLOBAL".to_owned());
        }
        let ids: Vec<String> =
            scope.ids().map(|id| Ok(PyString::new(py, id).repr()?.to_string())).collect::<PyResult<_>>()?;
        Ok(format!("StateScope.{}({})", scope.kind().name(), ids.join(", ")))
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        let known = self.hash.load(Ordering::Relaxed);
        if known != NO_HASH {
            return Ok(known);
        }
        // Python's own hash of the bytes: salted as `str` is, so ids from outside cannot be chosen to collide.
        let hash = PyBytes::new(py, &self.encoded).hash()?;
        self.hash.store(hash, Ordering::Relaxed);
        Ok(hash)
    }

    fn __richcmp__(&self, other: &Self, op: CompareOp) -> bool {
        op.matches(self.encoded.cmp(&other.encoded))
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let text = slf.get().__str__(slf.py())?;
        Ok((slf.get_type().getattr("parse")?, (text,)))
    }
}

/// The UTF-8 of a key that keeps the rules. On the path of every call.
///
/// # Errors
/// `TypeError` when it is no `str`; `InvalidKey` with a code of `key.*`.
#[inline]
pub fn key_str<'a>(key: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    let text = utf8(key, "a key", "key.lone_surrogate")?;
    match check_key(text) {
        Ok(()) => Ok(text),
        Err(error) => Err(invalid(key.py(), &error)),
    }
}

/// The UTF-8 that `text` caches inside itself: no copy.
#[inline]
pub fn utf8<'a>(text: &'a Bound<'_, PyAny>, what: &str, surrogate_code: &str) -> PyResult<&'a str> {
    match text.cast::<PyString>() {
        Ok(string) => string.to_str().map_err(|failure| not_utf8(text.py(), failure, what, surrogate_code)),
        Err(_) => Err(not_str(text, what)),
    }
}

#[cold]
fn not_str(given: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let name = given.get_type().name().map_or_else(|_| "another type".to_owned(), |name| name.to_string());
    PyTypeError::new_err(format!("{what} must be a str, not {name}"))
}

#[cold]
fn not_utf8(py: Python<'_>, failure: PyErr, what: &str, code: &str) -> PyErr {
    if !failure.is_instance_of::<PyUnicodeEncodeError>(py) {
        return failure;
    }
    match failure.value(py).getattr("start").and_then(|start| start.extract::<usize>()) {
        Ok(index) => {
            let detail =
                format!("{what} has a lone surrogate at index {index}: it is not Unicode text and has no UTF-8");
            raise(py, "InvalidKey", code, &detail, None)
        }
        Err(failure) => failure,
    }
}

#[cold]
fn invalid(py: Python<'_>, error: &KeyError) -> PyErr {
    raise(py, "InvalidKey", error.code(), &error.to_string(), None)
}

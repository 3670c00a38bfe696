//! Why a walk stopped, and where. The path is put together only while the walk unwinds: success pays nothing for it.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use spellkeep_core::error::Coded;
use spellkeep_core::value::ValueError;

use crate::errors;

/// Longest key that is spelled out in a path, and longest path that is spelled out in a message.
const KEY_CHARS: usize = 64;
const PATH_CHARS: usize = 200;

pub(super) enum Cause {
    Value(ValueError),
    /// Something that has no encoding: what it is, and what to do about it.
    Unsupported {
        what: String,
        advice: String,
    },
    /// This process lacks what is needed to rebuild a stored value: code, sentence.
    Mismatch(&'static str, String),
    /// Raised by Python code: passed on as it is.
    Python(PyErr),
}

/// Boxed wherever it is returned, so that the success path moves one pointer.
pub(super) struct Failure {
    cause: Cause,
    /// Innermost segment first.
    path: Vec<String>,
    /// The container at which the depth limit was hit. If it is among its own ancestors, that is a cycle.
    culprit: *mut ffi::PyObject,
    /// Segments that are there since the culprit was last met: once around the cycle, when it is one.
    round: usize,
}

pub(super) type Outcome<T = ()> = Result<T, Box<Failure>>;

impl Failure {
    #[cold]
    pub fn new(cause: Cause) -> Box<Self> {
        Box::new(Self { cause, path: Vec::new(), culprit: std::ptr::null_mut(), round: 0 })
    }

    /// A container could not be opened.
    #[cold]
    pub fn at_container(error: ValueError, container: *mut ffi::PyObject) -> Box<Self> {
        let mut failure = Self::from(error);
        if matches!(error, ValueError::Depth { .. }) {
            failure.culprit = container;
        }
        Box::new(failure)
    }

    #[cold]
    pub fn unsupported(what: impl Into<String>, advice: impl Into<String>) -> Box<Self> {
        Self::new(Cause::Unsupported { what: what.into(), advice: advice.into() })
    }

    /// Unwinds through `container`, from the place that `segment` names.
    #[cold]
    pub fn through(mut self: Box<Self>, container: *mut ffi::PyObject, segment: String) -> Box<Self> {
        self.path.push(segment);
        // Every ancestor is alive while the walk is inside of it, so equal addresses are the same object.
        if self.culprit == container && !container.is_null() {
            self.cause = Cause::Value(ValueError::Cycle);
            // Further in the path only goes around again.
            self.path.drain(..self.round);
            self.round = self.path.len();
        }
        self
    }

    #[cold]
    pub fn through_item(self: Box<Self>, container: *mut ffi::PyObject, index: usize) -> Box<Self> {
        self.through(container, format!("[{index}]"))
    }

    #[cold]
    pub fn through_value(self: Box<Self>, container: *mut ffi::PyObject, key: &Bound<'_, PyAny>) -> Box<Self> {
        self.through(container, key_segment(key))
    }

    /// The exception to raise.
    #[cold]
    #[expect(clippy::boxed_local, reason = "failures travel boxed; this is where they end")]
    pub fn into_err(self: Box<Self>, py: Python<'_>) -> PyErr {
        let path: String = std::iter::once("$").chain(self.path.iter().rev().map(String::as_str)).collect();
        let place = shorten(&path, PATH_CHARS);
        let (class, code, detail) = match self.cause {
            Cause::Value(error) if error.is_limit() => ("LimitExceeded", error.code(), format!("{place}: {error}")),
            Cause::Value(error) if error.is_damage() => ("Corrupted", error.code(), error.to_string()),
            Cause::Value(error) => ("NotSerializable", error.code(), format!("{place}: {error}")),
            Cause::Unsupported { what, advice } => {
                ("NotSerializable", "value.unsupported_type", format!("cannot keep {what} at {place}: {advice}"))
            }
            Cause::Mismatch(code, detail) => ("SchemaMismatch", code, format!("{place}: {detail}")),
            Cause::Python(error) => {
                return locate(error, py, &path, &place);
            }
        };
        let fields = PyDict::new(py);
        match fields.set_item("path", path) {
            Ok(()) => errors::raise(py, class, code, &detail, Some(fields)),
            Err(error) => error,
        }
    }
}

/// Says in an exception from Python code where the walk was. Best effort: one that takes no notes is still the right one.
fn locate(error: PyErr, py: Python<'_>, path: &str, place: &str) -> PyErr {
    let value = error.value(py);
    // The errors of spellkeep have a field for it, which the code of a registered class cannot know.
    if value.getattr("path").is_ok_and(|known| known.is_none()) {
        let _ = value.setattr("path", path);
    }
    let _ = value.call_method1("add_note", (format!("at {place} of a spellkeep value"),));
    error
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        Self { cause: Cause::Value(error), path: Vec::new(), culprit: std::ptr::null_mut(), round: 0 }
    }
}

impl From<ValueError> for Box<Failure> {
    #[cold]
    fn from(error: ValueError) -> Self {
        Box::new(error.into())
    }
}

impl From<PyErr> for Box<Failure> {
    #[cold]
    fn from(error: PyErr) -> Self {
        Failure::new(Cause::Python(error))
    }
}

/// `.name` for identifiers, `["..."]` for other strings, `[3]` for scalars, `[<tuple>]` for the rest, whose `repr` might run
/// anything.
fn key_segment(key: &Bound<'_, PyAny>) -> String {
    if let Ok(text) = key.cast_exact::<PyString>() {
        let text = text.to_string_lossy();
        let mut chars = text.chars();
        let head = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        if head && text.len() <= KEY_CHARS && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return format!(".{text}");
        }
        return format!("[{:?}]", shorten(&text, KEY_CHARS));
    }
    match scalar_repr(key) {
        Some(text) => format!("[{text}]"),
        None => format!("[<{}>]", type_name(key)),
    }
}

/// Where a key itself, or an item of a set, is at fault.
pub(super) fn member_segment(kind: &str, member: &Bound<'_, PyAny>) -> String {
    let text = match member.cast_exact::<PyString>() {
        Ok(text) => format!("{:?}", shorten(&text.to_string_lossy(), KEY_CHARS)),
        Err(_) => scalar_repr(member).unwrap_or_else(|| type_name(member)),
    };
    format!("<{kind} {text}>")
}

fn scalar_repr(ob: &Bound<'_, PyAny>) -> Option<String> {
    use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt};
    let scalar = ob.is_none()
        || ob.is_exact_instance_of::<PyBool>()
        || ob.is_exact_instance_of::<PyFloat>()
        || ob.is_exact_instance_of::<PyInt>()
        || ob.is_exact_instance_of::<PyBytes>();
    // A repr fails for integers beyond the interpreter's limit of digits.
    let text = if scalar {
        ob.repr().ok()?.to_string_lossy().into_owned()
    } else {
        return None;
    };
    Some(shorten(&text, KEY_CHARS))
}

/// `function`, `collections.OrderedDict`: what people call the type of `ob`.
pub(super) fn type_name(ob: &Bound<'_, PyAny>) -> String {
    ob.get_type()
        .fully_qualified_name()
        .map_or_else(|_| "object".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// `a function`, `an object`.
pub(super) fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) { "an" } else { "a" };
    format!("{article} {name}")
}

pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    let count = text.chars().count();
    if count <= chars_max {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max * 2 / 3).collect();
    let tail: String = text.chars().skip(count - chars_max / 4).collect();
    format!("{head}...{tail}")
}

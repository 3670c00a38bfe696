//! `spellkeep.DictView`: a dict inside of a value.

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};
use spellkeep_core::limits::{VALUE_BYTES_CEILING, ValueLimits};
use spellkeep_core::value::{Encoder, Found, Token};

use super::encode::Walker;
use super::failure::{Outcome, shorten};
use super::hiding::Nothing;
use super::view::{Part, not_picklable, raise};
use super::view_iter::{Gives, ViewIter};

/// A read-only view of a stored dict: what is asked for is found in the stored bytes, and nothing else is read.
///
/// It is a ``Mapping``. Values that are dicts, lists or tuples come as views, bytes as a read-only memoryview, arrays
/// read-only, everything else as ``get`` gives it. The view keeps the stored bytes alive, and goes on showing them when
/// the key is overwritten and when the store is closed. It equals a dict that is equal to ``to_python()``.
///
/// Raises: KeyError, TypeError as a dict does; Corrupted (value.malformed) when what is reached does not hold.
/// Cost: a lookup or a step of an iteration takes about a microsecond, whatever the size of the value.
/// Source: docs/guide/values.md, Views.
#[pyclass(frozen, mapping, module = "spellkeep", name = "DictView")]
pub struct DictView(pub(super) Part);

/// Most keys that a repr shows, and of one key so many characters.
const SHOWN_KEYS_MAX: usize = 8;
const SHOWN_CHARS_MAX: usize = 32;

static FACES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

impl DictView {
    /// Where the value of `key` is.
    fn locate(&self, key: &Bound<'_, PyAny>) -> Outcome<Option<usize>> {
        let py = key.py();
        if key.is_exact_instance_of::<PyString>() || key.is_exact_instance_of::<PyInt>() {
            let mut token = Vec::new();
            let limits = ValueLimits {
                string_bytes_max: usize::MAX,
                value_bytes_max: VALUE_BYTES_CEILING,
                ..Default::default()
            };
            let mut walker = Walker { py, encoder: Encoder::bare(&mut token, &limits), hiding: Nothing };
            // SAFETY: the caller's reference keeps the key alive.
            unsafe { walker.value(key.as_ptr())? };
            return match self.0.lens(py)?.find(&self.0.place, &token)? {
                Found::At(at) => Ok(Some(at)),
                Found::Absent => Ok(None),
                Found::Unsure => self.scan(key),
            };
        }
        self.scan(key)
    }

    /// As a dict compares: equal hashes, and then the same object or an equal one.
    fn scan(&self, key: &Bound<'_, PyAny>) -> Outcome<Option<usize>> {
        let hash = key.hash()?;
        let lens = self.0.lens(key.py())?;
        let mut at = self.0.place.body;
        for _ in 0..self.0.place.len {
            let known = self.0.key(key.py(), at)?;
            let value = lens.skip(at)?;
            if known.hash()? == hash && (known.is(key) || known.eq(key)?) {
                return Ok(Some(value));
            }
            at = lens.skip(value)?;
        }
        Ok(None)
    }

    fn found<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.locate(key).and_then(|at| at.map(|at| self.0.reach(key.py(), at)).transpose());
        found.map_err(|failure| raise(key.py(), failure))
    }

    /// The first keys, and whether those are all.
    fn shown(&self, py: Python<'_>) -> (Vec<String>, bool) {
        let (mut shown, mut at) = (Vec::new(), self.0.place.body);
        let Ok(lens) = self.0.lens(py) else { return (shown, false) };
        while shown.len() < self.0.place.len {
            let text = match lens.reader(at).token() {
                Ok(Token::Str(bytes)) => format!("{:?}", shorten(&String::from_utf8_lossy(bytes), SHOWN_CHARS_MAX)),
                Ok(Token::Int(number)) => number.to_string(),
                // The repr of any other may run code of a registered class.
                _ => return (shown, false),
            };
            let next = lens.skip(at).and_then(|value| lens.skip(value));
            let Some(next) = next.ok().filter(|_| shown.len() < SHOWN_KEYS_MAX) else { return (shown, false) };
            shown.push(text);
            at = next;
        }
        (shown, true)
    }
}

/// `collections.abc.KeysView` and its like over `view`.
fn face<'py>(view: &Bound<'py, DictView>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = view.py();
    let module = FACES.get_or_try_init(py, || Ok::<_, PyErr>(py.import("spellkeep._views")?.unbind()))?;
    module.bind(py).getattr(name)?.call1((view,))
}

#[pymethods]
impl DictView {
    fn __len__(&self) -> usize {
        self.0.place.len
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.found(key)?.ok_or_else(|| PyKeyError::new_err((key.clone().unbind(),)))
    }

    /// The value under `key`, or `default`.
    #[pyo3(signature = (key, default=None, /))]
    fn get<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.found(key)?.or(default))
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.locate(key).map(|at| at.is_some()).map_err(|failure| raise(key.py(), failure))
    }

    fn __iter__(&self) -> ViewIter {
        ViewIter::new(&self.0, Gives::Keys)
    }

    #[pyo3(name = "_iter_values")]
    fn iter_values(&self) -> ViewIter {
        ViewIter::new(&self.0, Gives::Values)
    }

    #[pyo3(name = "_iter_items")]
    fn iter_items(&self) -> ViewIter {
        ViewIter::new(&self.0, Gives::Items)
    }

    /// The keys, in the order of the dict.
    fn keys<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        face(slf, "Keys")
    }

    /// The values.
    fn values<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        face(slf, "Values")
    }

    /// Keys and values.
    fn items<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        face(slf, "Items")
    }

    /// The dict itself, as ``get`` of the store would give it: read whole, checked whole, and free to be changed.
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.to_python(py)
    }

    fn __eq__<'py>(&self, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = other.py();
        let other = match other.cast_exact::<Self>() {
            Ok(view) if view.get().0.place.len == self.0.place.len => view.get().to_python(py)?,
            Err(_) if other.is_instance_of::<PyDict>() && other.len()? == self.0.place.len => other.clone(),
            Err(_) if !other.is_instance_of::<PyDict>() => return Ok(py.NotImplemented().into_bound(py)),
            _ => return Ok(PyBool::new(py, false).to_owned().into_any()),
        };
        self.to_python(py)?.rich_compare(other, CompareOp::Eq)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (shown, is_all) = self.shown(py);
        let count = self.0.place.len;
        let rest = if is_all {
            ""
        } else if shown.is_empty() {
            "..."
        } else {
            ", ..."
        };
        let colon = if count == 0 { "" } else { ": " };
        format!("<view of a dict of {count} {}{colon}{}{rest}>", items(count), shown.join(", "))
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(not_picklable())
    }
}

/// `items`, in the number that fits.
pub(super) fn items(count: usize) -> &'static str {
    if count == 1 { "item" } else { "items" }
}

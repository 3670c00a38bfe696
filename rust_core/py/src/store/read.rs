//! Reading: straight from the index, without a copy between the entry and the Python object.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use spellkeep_core::index::{Entry, ScopeMap};
use spellkeep_core::record::StateClass;
use spellkeep_core::store::StoreError;
use spellkeep_core::sync::{Arc, AtomicUsize, Ordering};
use spellkeep_core::value::SealingKeys;
use std::borrow::Cow;
use std::ffi::{c_int, c_void};

use super::Shared;
use super::entry::entry_of;
use super::failure::{missing, to_py};
use super::sealing::{decode_sealed, move_sealed, view_sealed};
use crate::value::{self, BufferOwner, ValueSource, decode, window};

/// Keeps an entry alive for arrays and memoryviews that point into its value, also after the key was overwritten.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct EntryBuffer(Entry);

#[pymethods]
impl EntryBuffer {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let value = slf.get().0.value();
        let (data, len) = (value.as_ptr().cast::<c_void>().cast_mut(), value.len() as ffi::Py_ssize_t);
        // SAFETY: the interpreter hands in a view to fill; the value lives as long as `slf`, which the view holds.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), data, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}

struct Owner<'a>(&'a Entry);

impl BufferOwner for Owner<'_> {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        window(Bound::new(py, EntryBuffer(self.0.clone()))?.as_any(), offset, len)
    }
}

/// An entry that a view looks at.
struct Pinned(Entry);

impl BufferOwner for Pinned {
    fn buffer<'py>(&self, py: Python<'py>, offset: usize, len: usize) -> PyResult<Bound<'py, PyAny>> {
        Owner(&self.0).buffer(py, offset, len)
    }
}

impl ValueSource for Pinned {
    fn bytes<'a>(&'a self, _py: Python<'a>) -> &'a [u8] {
        self.0.value()
    }
}

/// A view of the value under a key. Errors: `key.missing`.
pub fn view<'py>(py: Python<'py>, shared: &Shared, map: Option<&ScopeMap>, key: &str) -> PyResult<Bound<'py, PyAny>> {
    shared.check().map_err(|e| to_py(py, e))?;
    let entry =
        map.map(|map| live(py, shared, map, key.as_bytes())).transpose()?.flatten().ok_or_else(|| missing(py, key))?;
    match map {
        Some(map) if entry.meta().class == StateClass::Sensitive => {
            view_sealed(py, shared.sealing_keys(), entry.value(), (map.scope(), entry.key()))
        }
        _ => value::view(py, Arc::new(Pinned(entry))),
    }
}

/// The value of an entry. It may call registered decode functions.
#[inline]
pub fn value_of<'py>(
    py: Python<'py>,
    keys: Option<&Arc<SealingKeys>>,
    scope: &[u8],
    entry: &Entry,
) -> PyResult<Bound<'py, PyAny>> {
    if entry.meta().class == StateClass::Sensitive {
        return decode_sealed(py, keys, entry.value(), (scope, entry.key()));
    }
    decode(py, entry.value(), Some(&Owner(entry)))
}

/// The encoded value of an entry as it may stand under another key of its scope. Errors: `seal.key`.
pub fn moved<'a>(
    py: Python<'_>,
    shared: &Shared,
    map: &ScopeMap,
    entry: &'a Entry,
    to: &[u8],
) -> PyResult<Cow<'a, [u8]>> {
    if entry.meta().class != StateClass::Sensitive {
        return Ok(Cow::Borrowed(entry.value()));
    }
    let keys = shared.sealing_keys();
    move_sealed(py, keys, entry.value(), map.scope(), (entry.key(), to)).map(Cow::Owned)
}

/// The value under a key, or None when there is none.
#[inline]
pub fn get<'py>(py: Python<'py>, shared: &Shared, map: &ScopeMap, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    shared.check().map_err(|e| to_py(py, e))?;
    live(py, shared, map, key.as_bytes())?
        .map(|entry| value_of(py, shared.sealing_keys(), map.scope(), &entry))
        .transpose()
}

/// The live entry of a key, held by its count and not by the index: decoding may call Python code, which may take its
/// time, and until then the index could free nothing.
#[inline]
pub fn live(py: Python<'_>, shared: &Shared, map: &ScopeMap, key: &[u8]) -> PyResult<Option<Entry>> {
    match map.get(key, Entry::clone) {
        Some(entry) if entry.is_cold() => thawed(py, shared, map, key),
        found => Ok(found),
    }
}

/// The same of a key whose value is not in memory.
#[cold]
fn thawed(py: Python<'_>, shared: &Shared, map: &ScopeMap, key: &[u8]) -> PyResult<Option<Entry>> {
    py.detach(|| shared.thaw(map, key)).map_err(|e| to_py(py, e))
}

/// The entry of a key as a `spellkeep.Entry`, or None when there is none.
pub fn entry<'py>(py: Python<'py>, shared: &Shared, map: &ScopeMap, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    shared.check().map_err(|e| to_py(py, e))?;
    live(py, shared, map, key.as_bytes())?
        .map(|entry| entry_of(py, shared.sealing_keys(), map.scope(), &entry))
        .transpose()
}

/// Scopes from this size on are listed without holding up other threads.
const LIST_DETACHED_FROM: usize = 4096;

/// The live entries of a scope whose key starts with `prefix`, ordered by key.
pub fn entries(py: Python<'_>, shared: &Shared, map: &ScopeMap, prefix: &str) -> PyResult<Vec<Entry>> {
    shared.check().map_err(|e| to_py(py, e))?;
    Ok(if map.live_count() < LIST_DETACHED_FROM {
        map.list(prefix.as_bytes())
    } else {
        py.detach(|| map.list(prefix.as_bytes()))
    })
}

/// A stored key as a `str`.
pub fn key_object<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyString>> {
    PyString::from_bytes(py, key)
}

/// The keys of [`entries`].
pub fn keys<'py>(py: Python<'py>, shared: &Shared, map: &ScopeMap, prefix: &str) -> PyResult<Bound<'py, PyList>> {
    keys_of(py, &entries(py, shared, map, prefix)?)
}

/// Key, version and time of [`entries`].
pub fn stamps<'py>(py: Python<'py>, shared: &Shared, map: &ScopeMap, prefix: &str) -> PyResult<Bound<'py, PyList>> {
    let stamps = PyList::empty(py);
    for entry in entries(py, shared, map, prefix)? {
        let meta = entry.meta();
        stamps.append((key_object(py, entry.key())?, meta.lsn, meta.time_us))?;
    }
    Ok(stamps)
}

/// The keys of these entries.
pub fn keys_of<'py>(py: Python<'py>, entries: &[Entry]) -> PyResult<Bound<'py, PyList>> {
    let keys = PyList::empty(py);
    for entry in entries {
        keys.append(key_object(py, entry.key())?)?;
    }
    Ok(keys)
}

/// Keys and values of a scope as they were when asked for, ordered by key; values are decoded one at a time.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct Items {
    keys: Option<Arc<SealingKeys>>,
    scope: Box<[u8]>,
    entries: Vec<Entry>,
    at: AtomicUsize,
    whole: Whole,
}

/// Gives an entry whose value is not in memory its value.
pub type Whole = Box<dyn Fn(Entry) -> Result<Entry, StoreError> + Send + Sync>;

impl Items {
    /// Over these entries of a scope.
    pub fn new(keys: Option<&Arc<SealingKeys>>, scope: &[u8], entries: Vec<Entry>, whole: Whole) -> Self {
        Self { keys: keys.cloned(), scope: scope.into(), entries, at: AtomicUsize::new(0), whole }
    }

    /// Over the entries of a scope whose key starts with `prefix`, as they are now.
    pub fn of(py: Python<'_>, shared: &Arc<Shared>, map: &Arc<ScopeMap>, prefix: &str) -> PyResult<Self> {
        // The pin first: what is cold in the list stays readable.
        let pin = shared.pin();
        let entries = entries(py, shared, map, prefix)?;
        let (store, place) = (Arc::clone(shared), Arc::clone(map));
        let whole = Box::new(move |entry| {
            let found = store.whole(pin.as_ref(), place.scope(), entry);
            // What a closed store does not find is not lost.
            if found.is_err() { store.check().and(found) } else { found }
        });
        Ok(Self::new(shared.sealing_keys(), map.scope(), entries, whole))
    }
}

#[pymethods]
impl Items {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyString>, Bound<'py, PyAny>)>> {
        let Some(entry) = self.entries.get(self.at.fetch_add(1, Ordering::Relaxed)) else {
            return Ok(None);
        };
        let key = key_object(py, entry.key())?;
        if !entry.is_cold() {
            return Ok(Some((key, value_of(py, self.keys.as_ref(), &self.scope, entry)?)));
        }
        let whole = py.detach(|| (self.whole)(entry.clone())).map_err(|e| to_py(py, e))?;
        Ok(Some((key, value_of(py, self.keys.as_ref(), &self.scope, &whole)?)))
    }

    fn __length_hint__(&self) -> usize {
        self.entries.len().saturating_sub(self.at.load(Ordering::Relaxed))
    }
}

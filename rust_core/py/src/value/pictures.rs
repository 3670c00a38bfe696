//! Which objects have not been touched since they were found the same as their copies: these need not be compared again,
//! nor the copies be looked at.
//!
//! CPython gives each dict a number that no dict had before, whenever it changes (PEP 509). It no longer does from 3.13
//! on; there, and without a GIL, there are no pictures, and everything is compared each time.

use std::sync::Mutex;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::same::{SOLE_COUNT, is_leaf, part_of};

/// An object of more dicts or lists is compared each time.
const CONTAINERS_MAX: usize = 32;
const PARTS_MAX: usize = 2;

/// What is there of one object.
pub(super) struct Picture {
    copy: Py<PyAny>,
    class: Py<PyType>,
    /// How many parts the object has.
    parts: usize,
    /// The object's parts, then what is in them, each behind what it is in. Only while the dicts before it have not
    /// changed is there anything at an address.
    dicts: Vec<(*mut ffi::PyObject, u64)>,
    /// Those in the dicts. All are empty: lists do not tell whether they changed.
    lists: Vec<*mut ffi::PyObject>,
}

// SAFETY: the addresses are only followed by `shows`, with the interpreter attached.
unsafe impl Send for Picture {}

/// For ``changed``: what the items of a list were the last time. Belongs to one list of copies, which nobody changes.
#[pyclass(frozen, module = "spellkeep._core")]
#[derive(Default)]
pub struct Pictures {
    /// Taken while in use, so that a comparison inside of a comparison finds none.
    rows: Mutex<Vec<Option<Picture>>>,
}

#[pymethods]
impl Pictures {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(rows) = self.rows.try_lock() {
            for picture in rows.iter().flatten() {
                visit.call(&picture.copy)?;
                visit.call(&picture.class)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        // Outside of the lock: what goes away may run Python code.
        drop(self.take());
    }
}

impl Pictures {
    pub(super) fn take(&self) -> Vec<Option<Picture>> {
        self.rows.lock().map(|mut rows| std::mem::take(&mut *rows)).unwrap_or_default()
    }

    pub(super) fn give_back(&self, rows: Vec<Option<Picture>>) {
        let former = self.rows.lock().map(|mut held| std::mem::replace(&mut *held, rows));
        drop(former);
    }
}

impl Picture {
    /// Of an object that was just found the same as its copy; None of one that there can be none of.
    pub(super) fn of<'py>(
        item: &Bound<'py, PyAny>,
        copy: &Bound<'py, PyAny>,
        parts: &Bound<'py, PyTuple>,
    ) -> PyResult<Option<Self>> {
        if parts.len() > PARTS_MAX {
            return Ok(None);
        }
        let mut made = Self {
            copy: copy.clone().unbind(),
            class: item.get_type().unbind(),
            parts: parts.len(),
            dicts: Vec::with_capacity(4),
            lists: Vec::with_capacity(2),
        };
        let mut held = [const { None }; PARTS_MAX];
        for (part, held) in parts.iter_borrowed().zip(&mut held) {
            *held = Some(part_of(&part, item)?);
        }
        for part in held.iter().flatten() {
            // SAFETY: it is live.
            match unsafe { number_of(part.as_ptr()) } {
                Some(number) => made.dicts.push((part.as_ptr(), number)),
                None => return Ok(None),
            }
        }
        let mut at = 0;
        while let Some((dict, _)) = made.dicts.get(at) {
            // SAFETY: parts are held here, others are in them, and no Python code has run since they were found.
            if !unsafe { made.look_into(*dict) } {
                return Ok(None);
            }
            at += 1;
        }
        Ok(Some(made))
    }

    /// # Safety
    /// It is a live dict.
    unsafe fn look_into(&mut self, dict: *mut ffi::PyObject) -> bool {
        let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: as promised by the caller; nothing here runs Python code, so what is borrowed stays.
        unsafe {
            while ffi::PyDict_Next(dict, &mut at, &mut key, &mut value) != 0 {
                if !is_leaf(key) {
                    return false;
                }
                if is_leaf(value) {
                    continue;
                }
                if let Some(number) = number_of(value) {
                    self.dicts.push((value, number));
                } else if ffi::PyList_CheckExact(value) != 0 && ffi::PyList_GET_SIZE(value) == 0 {
                    self.lists.push(value);
                } else {
                    return false;
                }
            }
        }
        self.dicts.len() + self.lists.len() <= CONTAINERS_MAX
    }

    /// Whether the object is as it was; with `sole` also whether nobody else has it, or anything in it.
    #[inline]
    pub(super) fn shows<'py>(
        &self,
        item: &Bound<'py, PyAny>,
        copy: &Bound<'py, PyAny>,
        parts: &Bound<'py, PyTuple>,
        sole: bool,
    ) -> PyResult<bool> {
        if self.parts != parts.len() || !self.copy.is(copy) || item.get_type_ptr().cast() != self.class.as_ptr() {
            return Ok(false);
        }
        // SAFETY: the item is live and has its parts; what was in a dict is there while that has not changed.
        unsafe {
            let is_sole = |ob: *mut ffi::PyObject, count| !sole || ffi::Py_REFCNT(ob) == count;
            if !is_sole(item.as_ptr(), SOLE_COUNT) {
                return Ok(false);
            }
            // Held until the end, and all before the first is looked at: a descriptor may run Python code.
            let mut held = [const { None }; PARTS_MAX];
            for (at, part) in parts.iter_borrowed().enumerate() {
                let found = part_of(&part, item)?;
                if found.as_ptr() != self.dicts[at].0 {
                    return Ok(false);
                }
                held[at] = Some(found);
            }
            for (at, (dict, number)) in self.dicts.iter().enumerate() {
                let count = if at < self.parts { SOLE_COUNT } else { 1 };
                if number_of(*dict) != Some(*number) || !is_sole(*dict, count) {
                    return Ok(false);
                }
            }
            Ok(self.lists.iter().all(|list| ffi::PyList_GET_SIZE(*list) == 0 && is_sole(*list, 1)))
        }
    }
}

/// The number of a dict's last change, if it is a dict and has one.
///
/// # Safety
/// The object is live.
#[inline(always)]
unsafe fn number_of(ob: *mut ffi::PyObject) -> Option<u64> {
    #[cfg(all(not(Py_3_13), not(Py_GIL_DISABLED)))]
    // SAFETY: as promised by the caller; an exact dict has this layout.
    unsafe {
        if ffi::PyDict_CheckExact(ob) != 0 {
            #[allow(deprecated, reason = "it holds as long as it is there")]
            return Some((*ob.cast::<ffi::PyDictObject>()).ma_version_tag);
        }
    }
    let _ = ob;
    None
}

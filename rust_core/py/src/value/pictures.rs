//! Which objects have not been touched since they were found the same as their copies: these need not be compared again,
//! nor the copies be looked at.
//!
//! CPython gives each dict a number that no dict had before, whenever it changes (PEP 509). It no longer does from 3.13
//! on; there, and without a GIL, there are no pictures, and everything is compared each time.

use std::sync::Mutex;

use pyo3::ffi;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

use super::same::{SOLE_COUNT, is_leaf, part_of};

/// An object of more dicts or lists is compared each time.
const CONTAINERS_MAX: usize = 32;
const PARTS_MAX: usize = 2;
/// As many as a message of LangChain's mostly has stand in the picture itself, so that a list's pictures are read in a row.
const INLINE_COUNT: usize = 6;
/// How many items ahead are asked for: as far as memory is away.
const AHEAD: usize = 8;
/// Of a list, in place of a dict's number: those begin with 1.
const LIST: u64 = 0;

/// A dict and its number, or an empty list: a list does not tell whether it changed, but for its length.
type Container = (*mut ffi::PyObject, u64);

/// What is there of one object.
pub(super) struct Picture {
    copy: Py<PyAny>,
    class: Py<PyType>,
    /// How many parts the object has.
    parts: usize,
    /// The object's parts, then what is in them, each behind what it is in. Only while the dicts before it have not
    /// changed is there anything at an address.
    first: [Container; INLINE_COUNT],
    count: usize,
    more: Vec<Container>,
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
            first: [(std::ptr::null_mut(), LIST); INLINE_COUNT],
            count: 0,
            more: Vec::new(),
        };
        let mut held = [const { None }; PARTS_MAX];
        for (part, held) in parts.iter_borrowed().zip(&mut held) {
            *held = Some(part_of(&part, item)?);
        }
        for part in held.iter().flatten() {
            // SAFETY: it is live.
            match unsafe { number_of(part.as_ptr()) } {
                Some(number) => made.push((part.as_ptr(), number)),
                None => return Ok(None),
            }
        }
        let mut at = 0;
        while let Some((ob, number)) = made.container(at) {
            // SAFETY: parts are held here, others are in them, and no Python code has run since they were found.
            if number != LIST && !unsafe { made.look_into(ob) } {
                return Ok(None);
            }
            at += 1;
        }
        Ok(Some(made))
    }

    fn push(&mut self, container: Container) {
        match self.first.get_mut(self.count) {
            Some(place) => *place = container,
            None => self.more.push(container),
        }
        self.count += 1;
    }

    fn container(&self, at: usize) -> Option<Container> {
        if at < self.count { self.first.get(at).or_else(|| self.more.get(at - INLINE_COUNT)).copied() } else { None }
    }

    /// Asks for what `shows` is going to look at, which is seldom near to what was looked at before.
    #[inline]
    fn fetch(&self) {
        for (ob, _) in &self.first[..self.count.min(INLINE_COUNT)] {
            fetch(*ob);
        }
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
                    self.push((value, number));
                } else if ffi::PyList_CheckExact(value) != 0 && ffi::PyList_GET_SIZE(value) == 0 {
                    self.push((value, LIST));
                } else {
                    return false;
                }
            }
        }
        self.count <= CONTAINERS_MAX
    }

    /// Whether the object is as it was; with `sole` also whether nobody else has it, or anything in it.
    #[inline]
    fn shows<'py>(
        &self,
        item: &Bound<'py, PyAny>,
        copy: *mut ffi::PyObject,
        parts: &Bound<'py, PyTuple>,
        sole: bool,
    ) -> PyResult<bool> {
        if self.parts != parts.len() || self.copy.as_ptr() != copy || item.get_type_ptr().cast() != self.class.as_ptr()
        {
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
                if found.as_ptr() != self.first[at].0 {
                    return Ok(false);
                }
                held[at] = Some(found);
            }
            let inline = &self.first[..self.count.min(INLINE_COUNT)];
            for (at, (ob, number)) in inline.iter().chain(&self.more).enumerate() {
                let as_it_was = match *number {
                    LIST => ffi::PyList_GET_SIZE(*ob) == 0,
                    number => number_of(*ob) == Some(number),
                };
                let count = if at < self.parts { SOLE_COUNT } else { 1 };
                if !as_it_was || !is_sole(*ob, count) {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether there is a picture of the item at a place, and it shows it. The copy is not touched.
#[inline]
pub(super) fn shows<'py>(
    rows: &[Option<Picture>],
    items: &Bound<'py, PyList>,
    copies: &Bound<'py, PyList>,
    at: usize,
    parts: &Bound<'py, PyTuple>,
    sole: bool,
) -> PyResult<bool> {
    let Some(Some(picture)) = rows.get(at) else { return Ok(false) };
    // A descriptor that ran before may have shortened the list.
    let (Ok(item), true) = (items.get_item(at), at < copies.len()) else { return Ok(false) };
    // SAFETY: the list is that long, and no code has run since.
    let copy = unsafe { ffi::PyList_GET_ITEM(copies.as_ptr(), at.cast_signed()) };
    picture.shows(&item, copy, parts, sole)
}

/// Asks for what the comparison of a later item than that at a place is going to look at.
#[inline]
pub(super) fn fetch_ahead(rows: &[Option<Picture>], items: &Bound<'_, PyList>, at: usize) {
    let at = at + AHEAD;
    if let (Some(Some(picture)), true) = (rows.get(at), at < items.len()) {
        // SAFETY: the list is that long; what is in it is only named.
        fetch(unsafe { ffi::PyList_GET_ITEM(items.as_ptr(), at.cast_signed()) });
        picture.fetch();
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

/// Asks the processor for what is at an address, which may be any.
#[inline(always)]
fn fetch(ob: *const ffi::PyObject) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: it changes nothing and fails nowhere.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(ob.cast());
    }
    let _ = ob;
}

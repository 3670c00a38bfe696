//! The walk: exact types in the order of their frequency, raw interpreter calls for the few that make up most of any value.
//!
//! Only exact types are taken. A subclass of `int` or `dict` kept as its base would come back as something else, so it goes
//! the rare way and must be registered.

use pyo3::ffi;
use pyo3::prelude::*;
use spellkeep_core::limits::FOOTER_STRIDE;
use spellkeep_core::redaction::HIDDEN;
use spellkeep_core::value::{Encoder, ValueError, tags};

use super::failure::{Failure, Outcome, member_segment};
use super::hiding::Hiding;

pub(super) struct Walker<'py, 'a, H> {
    pub py: Python<'py>,
    pub encoder: Encoder<'a>,
    /// What of the value is left out.
    pub hiding: H,
}

/// Whether a type holds nothing else and is encoded without running any Python code.
#[inline(always)]
fn is_type(class: *mut ffi::PyTypeObject, wanted: *mut ffi::PyTypeObject) -> bool {
    class == wanted
}

impl<'py, H: Hiding> Walker<'py, '_, H> {
    /// Encodes `ob`.
    ///
    /// # Safety
    /// `ob` is a live object and stays so: it is borrowed from a reference that the caller holds.
    #[inline]
    pub unsafe fn value(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        // SAFETY: as promised by the caller.
        unsafe {
            if self.leaf(ob)? {
                return Ok(());
            }
            self.branch(ob)
        }
    }

    /// Encodes `ob` if it is one of the frequent scalars; says whether it was. Runs no Python code.
    ///
    /// # Safety
    /// `ob` is a live object.
    #[inline(always)]
    unsafe fn leaf(&mut self, ob: *mut ffi::PyObject) -> Outcome<bool> {
        // SAFETY: a live object has a type; each branch has checked the exact type that its accessor needs.
        unsafe {
            let class = ffi::Py_TYPE(ob);
            if is_type(class, &raw mut ffi::PyUnicode_Type) {
                self.text(ob)?;
            } else if is_type(class, &raw mut ffi::PyLong_Type) {
                self.int(ob)?;
            } else if is_type(class, &raw mut ffi::PyFloat_Type) {
                self.encoder.float(ffi::PyFloat_AS_DOUBLE(ob));
            } else if is_type(class, &raw mut ffi::PyBool_Type) {
                self.encoder.bool(ob == ffi::Py_True());
            } else if ob == ffi::Py_None() {
                self.encoder.nil();
            } else {
                return Ok(false);
            }
            Ok(true)
        }
    }

    /// # Safety
    /// As for [`Walker::value`].
    #[inline]
    unsafe fn branch(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        // SAFETY: as promised by the caller; exact types are checked.
        unsafe {
            let class = ffi::Py_TYPE(ob);
            if is_type(class, &raw mut ffi::PyDict_Type) {
                self.dict(ob)
            } else if is_type(class, &raw mut ffi::PyList_Type) {
                self.list(ob)
            } else {
                self.rare(&Bound::from_borrowed_ptr(self.py, ob))
            }
        }
    }

    /// # Safety
    /// `ob` is a live `str`.
    #[inline(always)]
    unsafe fn text(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        // SAFETY: as promised by the caller.
        unsafe {
            if self.hiding.is_careful() {
                return self.text_without_secrets(Bound::from_borrowed_ptr(self.py, ob).cast_unchecked());
            }
            self.text_as_it_is(ob)
        }
    }

    /// # Safety
    /// `ob` is a live `str`.
    #[inline(always)]
    pub(super) unsafe fn text_as_it_is(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        #[cfg(not(any(Py_3_14, PyPy, GraalPy)))]
        // SAFETY: a compact ASCII string holds `length` ASCII bytes behind its header, and is immutable.
        unsafe {
            if ffi::PyUnicode_IS_COMPACT_ASCII(ob) != 0 {
                let len = ffi::PyUnicode_GET_LENGTH(ob) as usize;
                let bytes = std::slice::from_raw_parts(ffi::PyUnicode_DATA(ob).cast::<u8>(), len);
                return Ok(self.encoder.str(std::str::from_utf8_unchecked(bytes))?);
            }
        }
        // SAFETY: as promised by the caller.
        unsafe { self.text_wide(ob) }
    }

    /// # Safety
    /// `ob` is a live `str`.
    #[inline(never)]
    unsafe fn text_wide(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        // SAFETY: `ob` is a str; the bytes belong to it and are UTF-8, as the interpreter made them.
        unsafe {
            let mut len = 0;
            let data = ffi::PyUnicode_AsUTF8AndSize(ob, &mut len);
            if !data.is_null() {
                let bytes = std::slice::from_raw_parts(data.cast::<u8>(), len as usize);
                return Ok(self.encoder.str(std::str::from_utf8_unchecked(bytes))?);
            }
            let error = PyErr::fetch(self.py);
            if !error.is_instance_of::<pyo3::exceptions::PyUnicodeEncodeError>(self.py) {
                return Err(error.into());
            }
            self.surrogates(&Bound::from_borrowed_ptr(self.py, ob))
        }
    }

    fn surrogates(&mut self, text: &Bound<'py, PyAny>) -> Outcome {
        let bytes = text.call_method1("encode", ("utf-8", "surrogatepass"))?;
        let bytes: &[u8] = bytes.extract().map_err(PyErr::from)?;
        Ok(self.encoder.ext_bytes(tags::SURROGATE_STR, bytes)?)
    }

    /// # Safety
    /// `ob` is a live `int`.
    #[inline(always)]
    unsafe fn int(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        let mut overflow = 0;
        // SAFETY: `ob` is an int, so the call cannot fail other than by overflow.
        let number = unsafe { ffi::PyLong_AsLongLongAndOverflow(ob, &mut overflow) };
        if overflow == 0 {
            self.encoder.int(number);
            return Ok(());
        }
        // SAFETY: as promised by the caller.
        self.int_wide(&unsafe { Bound::from_borrowed_ptr(self.py, ob) })
    }

    #[inline(never)]
    fn int_wide(&mut self, number: &Bound<'py, PyAny>) -> Outcome {
        if let Ok(unsigned) = number.extract::<u64>() {
            self.encoder.uint(unsigned);
            return Ok(());
        }
        let bits: usize = number.call_method0("bit_length")?.extract()?;
        let len = bits / 8 + 1;
        let max_bytes = self.encoder.limits().string_bytes_max;
        if len > max_bytes {
            return Err(ValueError::StringBytes { len_bytes: len, max_bytes }.into());
        }
        let kwargs = pyo3::types::PyDict::new(self.py);
        kwargs.set_item("signed", true)?;
        let bytes = number.call_method("to_bytes", (len, "little"), Some(&kwargs))?;
        let bytes: &[u8] = bytes.extract().map_err(PyErr::from)?;
        Ok(self.encoder.ext_bytes(tags::BIG_INT, bytes)?)
    }

    /// # Safety
    /// `ob` is a live exact `dict` and stays so.
    #[inline(never)]
    unsafe fn dict(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        // Other threads may write into the dict at any moment: walk a private copy, which is taken under its lock.
        #[cfg(Py_GIL_DISABLED)]
        // SAFETY: `ob` is a dict; the copy is owned here until the walk is over.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PyDict_Copy(ob))? };
        #[cfg(Py_GIL_DISABLED)]
        let (origin, ob) = (ob, copy.as_ptr());
        #[cfg(not(Py_GIL_DISABLED))]
        let origin = ob;
        // SAFETY: `ob` is a dict.
        unsafe {
            let len = ffi::PyDict_Size(ob);
            let open = self.encoder.begin_map(len as usize).map_err(|error| Failure::at_container(error, origin))?;
            if self.hiding.is_careful() {
                self.entries_without_secrets(ob, open.is_marked(), len, origin)?;
            } else if open.is_marked() {
                self.entries::<true>(ob, len, origin)?;
            } else {
                self.entries::<false>(ob, len, origin)?;
            }
            self.encoder.end(open);
            Ok(())
        }
    }

    /// The entries of a dict; `MARKED` if the footer wants to know where each key and value begins.
    ///
    /// # Safety
    /// As for [`Walker::dict`]; `len` is its size, `origin` the dict that the caller of the walk knows.
    #[inline(always)]
    unsafe fn entries<const MARKED: bool>(
        &mut self,
        ob: *mut ffi::PyObject,
        len: ffi::Py_ssize_t,
        origin: *mut ffi::PyObject,
    ) -> Outcome {
        // SAFETY: as promised by the caller. `PyDict_Next` checks its position against the dict as it is, so it stays within
        // bounds even if Python code changes the dict meanwhile; key and value are owned while such code may run.
        unsafe {
            let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            let mut may_have_changed = false;
            for _ in 0..len {
                if ffi::PyDict_Next(ob, &mut position, &mut key, &mut value) == 0 {
                    return Err(ValueError::Changed.into());
                }
                if MARKED {
                    self.encoder.mark();
                }
                if is_type(ffi::Py_TYPE(key), &raw mut ffi::PyUnicode_Type) {
                    self.text(key).map_err(|failure| self.at_key(failure, origin, key))?;
                    if MARKED {
                        self.encoder.mark();
                    }
                    if self.hiding.is_secret(key)? {
                        self.encoder.str(HIDDEN).map_err(|failure| self.at_value(failure.into(), origin, key))?;
                        continue;
                    }
                    match self.leaf(value) {
                        Ok(true) => continue,
                        Ok(false) => {}
                        Err(failure) => return Err(self.at_value(failure, origin, key)),
                    }
                    let key = Bound::from_borrowed_ptr(self.py, key);
                    let value = Bound::from_borrowed_ptr(self.py, value);
                    self.branch(value.as_ptr()).map_err(|failure| failure.through_value(origin, &key))?;
                } else {
                    let key = Bound::from_borrowed_ptr(self.py, key);
                    let value = Bound::from_borrowed_ptr(self.py, value);
                    let before = self.hiding.count();
                    self.value(key.as_ptr()).map_err(|failure| self.at_key(failure, origin, key.as_ptr()))?;
                    self.hiding.after_members(before);
                    if MARKED {
                        self.encoder.mark();
                    }
                    self.value(value.as_ptr()).map_err(|failure| failure.through_value(origin, &key))?;
                }
                may_have_changed = true;
                if ffi::PyDict_Size(ob) != len {
                    return Err(ValueError::Changed.into());
                }
            }
            if may_have_changed && ffi::PyDict_Next(ob, &mut position, &mut key, &mut value) != 0 {
                return Err(ValueError::Changed.into());
            }
        }
        Ok(())
    }

    /// # Safety
    /// `key` is a live object.
    #[cold]
    pub(super) unsafe fn at_key(
        &self,
        failure: Box<Failure>,
        dict: *mut ffi::PyObject,
        key: *mut ffi::PyObject,
    ) -> Box<Failure> {
        // SAFETY: as promised by the caller.
        let key = unsafe { Bound::from_borrowed_ptr(self.py, key) };
        failure.through(dict, member_segment("key", &key))
    }

    /// # Safety
    /// `key` is a live object.
    #[cold]
    pub(super) unsafe fn at_value(
        &self,
        failure: Box<Failure>,
        dict: *mut ffi::PyObject,
        key: *mut ffi::PyObject,
    ) -> Box<Failure> {
        // SAFETY: as promised by the caller.
        let key = unsafe { Bound::from_borrowed_ptr(self.py, key) };
        failure.through_value(dict, &key)
    }

    /// # Safety
    /// `ob` is a live exact `list` and stays so.
    #[inline(never)]
    unsafe fn list(&mut self, ob: *mut ffi::PyObject) -> Outcome {
        #[cfg(Py_GIL_DISABLED)]
        // SAFETY: `ob` is a list; the copy is owned here until the walk is over, and taken under the lock of the list.
        let copy = unsafe { Bound::from_owned_ptr_or_err(self.py, ffi::PySequence_List(ob))? };
        #[cfg(Py_GIL_DISABLED)]
        let (origin, ob) = (ob, copy.as_ptr());
        #[cfg(not(Py_GIL_DISABLED))]
        let origin = ob;
        // SAFETY: `ob` is a list, its size is read again before each item, and an item is owned while Python code may run.
        unsafe {
            let len = ffi::PyList_GET_SIZE(ob);
            let open = self.encoder.begin_array(len as usize).map_err(|error| Failure::at_container(error, origin))?;
            let mut next_mark = open.first_mark() as ffi::Py_ssize_t;
            let mut index = 0;
            while index < len {
                if ffi::PyList_GET_SIZE(ob) != len {
                    return Err(ValueError::Changed.into());
                }
                if index == next_mark {
                    self.encoder.mark();
                    next_mark += FOOTER_STRIDE as ffi::Py_ssize_t;
                }
                let item = ffi::PyList_GET_ITEM(ob, index);
                match self.leaf(item) {
                    Ok(true) => {}
                    Ok(false) => {
                        let item = Bound::from_borrowed_ptr(self.py, item);
                        let done = self.branch(item.as_ptr());
                        done.map_err(|failure| failure.through_item(origin, index as usize))?;
                    }
                    Err(failure) => return Err(failure.through_item(origin, index as usize)),
                }
                index += 1;
            }
            if ffi::PyList_GET_SIZE(ob) != len {
                return Err(ValueError::Changed.into());
            }
            self.encoder.end(open);
        }
        Ok(())
    }
}

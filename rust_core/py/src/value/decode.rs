//! From bytes to Python objects, built directly. Nothing is called but the decode functions that were registered.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{exceptions::PyUnicodeDecodeError, ffi};
use spellkeep_core::limits::{DEPTH_CEILING, FOOTER_STRIDE};
use spellkeep_core::value::{Reader, Token};

use super::BufferOwner;
use super::failure::{Failure, Outcome};
use super::keys;

pub(super) struct Builder<'py, 'a> {
    pub py: Python<'py>,
    pub reader: Reader<'a>,
    pub owner: Option<&'a dyn BufferOwner>,
    pub depth: u32,
}

impl<'py, 'a> Builder<'py, 'a> {
    pub fn new(py: Python<'py>, reader: Reader<'a>, owner: Option<&'a dyn BufferOwner>) -> Self {
        Self { py, reader, owner, depth: 0 }
    }

    /// Errors unless everything was read.
    pub fn finish(&mut self) -> Outcome {
        Ok(self.reader.finish()?)
    }

    /// Builds the next value.
    #[inline]
    pub fn value(&mut self) -> Outcome<Bound<'py, PyAny>> {
        let token = self.reader.token()?;
        self.build(token)
    }

    #[inline(always)]
    fn build(&mut self, token: Token<'a>) -> Outcome<Bound<'py, PyAny>> {
        // SAFETY: each call returns a new reference, or null with an exception set. None and the truth values are immortal
        // or counted by `from_borrowed_ptr`.
        unsafe {
            match token {
                Token::Str(bytes) => self.text(bytes),
                Token::Int(number) => self.owned(ffi::PyLong_FromLongLong(number)),
                Token::Map(len) => self.map(len),
                Token::Array(len) => self.list(len),
                Token::Float(number) => self.owned(ffi::PyFloat_FromDouble(number)),
                Token::Nil => Ok(Bound::from_borrowed_ptr(self.py, ffi::Py_None())),
                Token::Bool(true) => Ok(Bound::from_borrowed_ptr(self.py, ffi::Py_True())),
                Token::Bool(false) => Ok(Bound::from_borrowed_ptr(self.py, ffi::Py_False())),
                Token::UInt(number) => self.owned(ffi::PyLong_FromUnsignedLongLong(number)),
                Token::Bin(bytes) => Ok(PyBytes::new(self.py, bytes).into_any()),
                Token::Ext { code, len } => self.ext(code, len),
            }
        }
    }

    /// # Safety
    /// `pointer` is a new reference, or null with an exception set.
    #[inline(always)]
    unsafe fn owned(&self, pointer: *mut ffi::PyObject) -> Outcome<Bound<'py, PyAny>> {
        // SAFETY: as promised by the caller.
        unsafe { Bound::from_owned_ptr_or_err(self.py, pointer) }.map_err(Into::into)
    }

    #[inline(always)]
    pub fn text(&mut self, bytes: &[u8]) -> Outcome<Bound<'py, PyAny>> {
        keys::text(self.py, bytes).map_err(|error| self.not_text(error))
    }

    #[cold]
    fn not_text(&self, error: PyErr) -> Box<Failure> {
        if error.is_instance_of::<PyUnicodeDecodeError>(self.py) {
            return self.reader.malformed("a string that is not UTF-8").into();
        }
        error.into()
    }

    /// The recursion is bounded by what any encoder writes, whatever the bytes say.
    #[inline(always)]
    pub fn enter(&mut self) -> Outcome {
        self.depth += 1;
        if self.depth > DEPTH_CEILING {
            return Err(self.reader.malformed("nested deeper than any encoder writes").into());
        }
        Ok(())
    }

    #[inline(never)]
    fn map(&mut self, len: usize) -> Outcome<Bound<'py, PyAny>> {
        self.enter()?;
        let open = self.reader.open_map(len);
        // SAFETY: `dict` is a fresh dict that nobody else has seen; keys and values are owned while they are put in.
        unsafe {
            let dict = self.owned(new_dict(len))?;
            for _ in 0..len {
                if open.is_marked() {
                    self.reader.mark();
                }
                let key = match self.reader.token()? {
                    Token::Str(bytes) => keys::key(self.py, bytes).map_err(|error| self.not_text(error))?,
                    token => self.build(token).map_err(|failure| failure.through(dict.as_ptr(), "<key>".into()))?,
                };
                if open.is_marked() {
                    self.reader.mark();
                }
                let value = self.value().map_err(|failure| failure.through_value(dict.as_ptr(), &key))?;
                if ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) != 0 {
                    return Err(self.refused_member(&key));
                }
            }
            if ffi::PyDict_Size(dict.as_ptr()) as usize != len {
                return Err(self.reader.malformed("a map with equal keys").into());
            }
            self.reader.end(open);
            self.depth -= 1;
            Ok(dict)
        }
    }

    /// A key or set item did not go in. Builtin types say so only when they cannot be hashed, and then they were no key when
    /// the value was kept; a registered class speaks for itself.
    #[cold]
    pub fn refused_member(&self, member: &Bound<'py, PyAny>) -> Box<Failure> {
        let error = PyErr::fetch(self.py);
        // SAFETY: reading the flags of the type of a live object.
        let heap_type =
            unsafe { ffi::PyType_HasFeature(ffi::Py_TYPE(member.as_ptr()), ffi::Py_TPFLAGS_HEAPTYPE as _) != 0 };
        if error.is_instance_of::<pyo3::exceptions::PyTypeError>(self.py) && !heap_type {
            return self.reader.malformed("a key or set item that cannot be one").into();
        }
        error.into()
    }

    #[inline(never)]
    fn list(&mut self, len: usize) -> Outcome<Bound<'py, PyAny>> {
        self.enter()?;
        let open = self.reader.open_array(len);
        let mut next_mark = open.first_mark();
        // SAFETY: a fresh list of `len` empty places, each filled once. Released half full, it skips the empty ones.
        unsafe {
            let list = self.owned(ffi::PyList_New(len as ffi::Py_ssize_t))?;
            for index in 0..len {
                if index == next_mark {
                    self.reader.mark();
                    next_mark += FOOTER_STRIDE;
                }
                let item = self.value().map_err(|failure| failure.through_item(list.as_ptr(), index))?;
                ffi::PyList_SET_ITEM(list.as_ptr(), index as ffi::Py_ssize_t, item.into_ptr());
            }
            self.reader.end(open);
            self.depth -= 1;
            Ok(list)
        }
    }
}

/// A dict with room for `len` entries, so that filling it does not resize it several times.
///
/// # Safety
/// The interpreter is attached. Returns a new reference, or null with an exception set.
#[inline]
unsafe fn new_dict(len: usize) -> *mut ffi::PyObject {
    #[cfg(not(any(Py_3_13, PyPy, GraalPy)))]
    if len > 5 {
        unsafe extern "C" {
            fn _PyDict_NewPresized(used_min: ffi::Py_ssize_t) -> *mut ffi::PyObject;
        }
        // The reader has checked that so many entries can follow; past a few thousand the room is not taken in advance.
        // SAFETY: exported by CPython up to 3.12, as declared.
        return unsafe { _PyDict_NewPresized(len.min(1 << 12) as ffi::Py_ssize_t) };
    }
    let _ = len;
    // SAFETY: as promised by the caller.
    unsafe { ffi::PyDict_New() }
}

//! Strings on the way out. Keys of maps repeat from value to value, so the last ones are kept and shared: that saves an
//! allocation and, because a string remembers its hash, the hashing when it goes into the dict.

use pyo3::ffi;
use pyo3::prelude::*;

/// Builds a `str` from UTF-8 bytes. Errors with what the interpreter raises: UnicodeDecodeError for damaged bytes.
#[inline]
pub(super) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: pointer and length are those of a slice; `PyUnicode_New` with a maximum of 127 gives a fresh compact ASCII
    // string of that length, filled before anyone sees it.
    unsafe {
        #[cfg(not(any(Py_3_14, PyPy, GraalPy)))]
        if !bytes.is_empty() && bytes.is_ascii() {
            let string = ffi::PyUnicode_New(bytes.len() as ffi::Py_ssize_t, 127);
            if string.is_null() {
                return Err(PyErr::fetch(py));
            }
            let data = ffi::PyUnicode_DATA(string).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), data, bytes.len());
            return Ok(Bound::from_owned_ptr(py, string));
        }
        let string = ffi::PyUnicode_FromStringAndSize(bytes.as_ptr().cast(), bytes.len() as ffi::Py_ssize_t);
        Bound::from_owned_ptr_or_err(py, string)
    }
}

#[cfg(any(Py_3_14, Py_GIL_DISABLED, PyPy, GraalPy))]
pub(super) use text as key;

#[cfg(not(any(Py_3_14, Py_GIL_DISABLED, PyPy, GraalPy)))]
pub(super) use shared::key;

#[cfg(not(any(Py_3_14, Py_GIL_DISABLED, PyPy, GraalPy)))]
mod shared {
    use std::cell::UnsafeCell;

    use pyo3::ffi;
    use pyo3::prelude::*;

    const KEY_BYTES_MAX: usize = 64;
    const SLOTS: usize = 2048;

    /// A place for one key; a newer key with the same place takes it over.
    #[derive(Clone, Copy)]
    struct Slot {
        hash: u64,
        string: *mut ffi::PyObject,
    }

    struct Cache(UnsafeCell<[Slot; SLOTS]>);

    // SAFETY: touched only in `key`, with the GIL held and without running Python code in between.
    unsafe impl Sync for Cache {}

    static CACHE: Cache = Cache(UnsafeCell::new([Slot { hash: 0, string: std::ptr::null_mut() }; SLOTS]));

    fn hash(bytes: &[u8]) -> u64 {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut state = (bytes.len() as u64).wrapping_mul(MIX);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            state = (state ^ word).wrapping_mul(MIX);
            state ^= state >> 32;
        }
        let mut last = 0;
        for &byte in chunks.remainder() {
            last = last << 8 | u64::from(byte);
        }
        state = (state ^ last).wrapping_mul(MIX);
        state ^ state >> 32
    }

    /// A `str` for use as a key: a shared one if the same key was built recently.
    #[inline]
    pub(in super::super) fn key<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX {
            return super::text(py, bytes);
        }
        let hash = hash(bytes);
        // SAFETY: the GIL is held, and nothing below runs Python code: exact strings are compared by their bytes, and the
        // release of one only frees memory. So this reference is the only one.
        let slot = unsafe { &mut (&mut *CACHE.0.get())[hash as usize % SLOTS] };
        if slot.hash == hash && !slot.string.is_null() {
            // SAFETY: the slot owns a compact ASCII string.
            unsafe {
                let len = ffi::PyUnicode_GET_LENGTH(slot.string) as usize;
                let known = std::slice::from_raw_parts(ffi::PyUnicode_DATA(slot.string).cast::<u8>(), len);
                if known == bytes {
                    return Ok(Bound::from_borrowed_ptr(py, slot.string));
                }
            }
        }
        let string = super::text(py, bytes)?;
        if bytes.is_ascii() {
            // SAFETY: the slot owns its string, or holds none; it now owns the new one.
            unsafe { ffi::Py_XDECREF(slot.string) };
            *slot = Slot { hash, string: string.clone().into_ptr() };
        }
        Ok(string)
    }
}

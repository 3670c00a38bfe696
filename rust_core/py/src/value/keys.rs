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

    #[inline(always)]
    fn word<const N: usize>(bytes: &[u8], at: usize) -> u64 {
        let mut word = [0; 8];
        word[..N].copy_from_slice(&bytes[at..at + N]);
        u64::from_le_bytes(word)
    }

    /// Both ends of a key, which overlap in a short one, and where the words between them are.
    #[inline(always)]
    fn ends(bytes: &[u8]) -> (u64, u64, std::ops::Range<usize>) {
        match bytes.len() {
            len @ 8.. => (word::<8>(bytes, 0), word::<8>(bytes, len - 8), 8..len - 8),
            len @ 4..8 => (word::<4>(bytes, 0), word::<4>(bytes, len - 4), 0..0),
            len @ 2..4 => (word::<2>(bytes, 0), word::<2>(bytes, len - 2), 0..0),
            _ => (u64::from(bytes[0]), 0, 0..0),
        }
    }

    /// By words, as most keys have one or two, and without a chain of steps from one to the other.
    #[inline(always)]
    fn hash(bytes: &[u8]) -> u64 {
        const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
        const MIX_LAST: u64 = 0xC2B2_AE3D_27D4_EB4F;
        let (first, last, between) = ends(bytes);
        let mut state = (first ^ (bytes.len() as u64) << 56).wrapping_mul(MIX) ^ last.wrapping_mul(MIX_LAST);
        for at in between.step_by(8) {
            state = (state.rotate_left(29) ^ word::<8>(bytes, at)).wrapping_mul(MIX);
        }
        state
    }

    /// From the high bits: the low ones of a product know nothing of a key's last characters.
    #[inline(always)]
    fn place(hash: u64) -> usize {
        (hash >> (u64::BITS - SLOTS.ilog2())) as usize
    }

    /// Whether two keys of the same length are the same.
    #[inline(always)]
    fn is_same(known: &[u8], bytes: &[u8]) -> bool {
        let (first, last, between) = ends(bytes);
        let (known_first, known_last, _) = ends(known);
        first == known_first
            && last == known_last
            && between.step_by(8).all(|at| word::<8>(known, at) == word::<8>(bytes, at))
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
        let slot = unsafe { &mut (&mut *CACHE.0.get())[place(hash)] };
        if slot.hash == hash && !slot.string.is_null() {
            // SAFETY: the slot owns a compact ASCII string.
            unsafe {
                let len = ffi::PyUnicode_GET_LENGTH(slot.string) as usize;
                let known = std::slice::from_raw_parts(ffi::PyUnicode_DATA(slot.string).cast::<u8>(), len);
                if len == bytes.len() && is_same(known, bytes) {
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

//! Values from outside, kept without what looks like a secret.
//!
//! The walk leaves out the values of secret fields. Texts are looked at where they were written, all at once: only if a
//! secret may be among them, which is seldom, the value is walked again, carefully, and each text looked at alone.

use std::cell::Cell;
use std::rc::Rc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use spellkeep_core::limits::ValueLimits;
use spellkeep_core::record::StateClass;
use spellkeep_core::redaction;
use spellkeep_core::value::Encoder;

use super::encode::Walker;
use super::failure::Outcome;
use super::{encode_into, refuse};
use crate::redaction::is_secret_name;

/// As [`encode_into`]; of a value from outside, without its secrets.
#[inline]
pub fn encode_as(
    py: Python<'_>,
    value: &Bound<'_, PyAny>,
    limits: &ValueLimits,
    class: StateClass,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    match class {
        StateClass::External => encode_without_secrets(py, value, limits, out),
        _ => encode_into(py, value, limits, out),
    }
}

#[inline(never)]
fn encode_without_secrets(
    py: Python<'_>,
    value: &Bound<'_, PyAny>,
    limits: &ValueLimits,
    out: &mut Vec<u8>,
) -> PyResult<()> {
    let names = NAMES.take().unwrap_or_else(|| Rc::new(Names([const { Cell::new(0) }; SLOTS])));
    let start = out.len();
    let done = walk(py, value, limits, &names, false, out).and_then(|in_doubt| {
        if in_doubt || redaction::may_hold_secret(&out[start..]) {
            out.truncate(start);
            walk(py, value, limits, &names, true, out)?;
        }
        Ok(())
    });
    NAMES.set(Some(names));
    done.map_err(|failure| refuse(py, out, start, failure))
}

/// Says whether it must be walked carefully.
fn walk(
    py: Python<'_>,
    value: &Bound<'_, PyAny>,
    limits: &ValueLimits,
    names: &Rc<Names>,
    is_careful: bool,
    out: &mut Vec<u8>,
) -> Outcome<bool> {
    let mut walker = Walker { py, encoder: Encoder::new(out, limits), hiding: Secrets::new(names, is_careful) };
    // SAFETY: the caller's reference keeps the value alive.
    unsafe { walker.value(value.as_ptr())? };
    walker.encoder.finish()?;
    Ok(walker.hiding.in_doubt)
}

/// What a walk leaves out.
pub(super) trait Hiding {
    /// None: nothing, and nothing of this is compiled into the walk.
    fn secrets(&mut self) -> Option<&mut Secrets>;

    /// Whether each text is to be looked at.
    #[inline(always)]
    fn is_careful(&mut self) -> bool {
        self.secrets().is_some_and(|secrets| secrets.is_careful)
    }

    /// Whether a field of this name is left out.
    ///
    /// # Safety
    /// `name` is a live exact `str`.
    #[inline(always)]
    unsafe fn is_secret(&mut self, name: *mut ffi::PyObject) -> PyResult<bool> {
        match self.secrets() {
            // SAFETY: as promised by the caller.
            Some(secrets) => unsafe { secrets.is_secret(name) },
            None => Ok(false),
        }
    }

    /// How often something was left out.
    #[inline(always)]
    fn count(&mut self) -> u64 {
        self.secrets().map_or(0, |secrets| secrets.count)
    }

    /// A key or a set is walked, before which `count` was this. What lost something may equal another one now.
    #[inline(always)]
    fn after_members(&mut self, before: u64) {
        if let Some(secrets) = self.secrets() {
            secrets.in_doubt |= secrets.count != before;
        }
    }
}

/// All is kept.
pub(super) struct Nothing;

impl Hiding for Nothing {
    #[inline(always)]
    fn secrets(&mut self) -> Option<&mut Secrets> {
        None
    }
}

/// Secrets are left out.
pub(super) struct Secrets {
    pub names: Rc<Names>,
    pub is_careful: bool,
    /// How often something was left out.
    pub count: u64,
    in_doubt: bool,
}

impl Hiding for Secrets {
    #[inline(always)]
    fn secrets(&mut self) -> Option<&mut Secrets> {
        Some(self)
    }
}

impl Secrets {
    pub fn new(names: &Rc<Names>, is_careful: bool) -> Self {
        Self { names: Rc::clone(names), is_careful, count: 0, in_doubt: false }
    }

    /// # Safety
    /// `name` is a live exact `str`.
    #[inline(always)]
    unsafe fn is_secret(&mut self, name: *mut ffi::PyObject) -> PyResult<bool> {
        // SAFETY: as promised by the caller.
        let hash = unsafe { hash_of(name) };
        // Two names whose hashes go to one pair of places need not take turns.
        let at = hash as usize % SLOTS;
        let (slot, other) = (&self.names.0[at & !1], &self.names.0[at | 1]);
        let rest = hash & !(SLOTS as u64 - 1);
        // The pair leaves the last bit of the place open, so it is kept too.
        let known = rest | (at as u64 & 1) << 2 | KNOWN;
        if slot.get() == known || other.get() == known {
            return Ok(false);
        }
        let secret = known | SECRET;
        let mut is_secret = slot.get() == secret || other.get() == secret;
        if !is_secret {
            // SAFETY: as promised by the caller.
            is_secret = unsafe { judged(name)? };
            other.set(slot.get());
            slot.set(if is_secret { secret } else { known });
        }
        self.count += u64::from(is_secret);
        Ok(is_secret)
    }
}

/// The hash that a `str` remembers. As a key it is hashed already.
///
/// # Safety
/// `name` is a live exact `str`.
#[inline(always)]
unsafe fn hash_of(name: *mut ffi::PyObject) -> u64 {
    #[cfg(not(any(Py_3_14, PyPy, GraalPy)))]
    {
        // SAFETY: every `str` begins with this.
        let hash = unsafe { (*name.cast::<ffi::PyASCIIObject>()).hash };
        // It remembers none yet.
        if hash != -1 {
            return hash as u64;
        }
    }
    // SAFETY: as promised by the caller; hashing an exact `str` runs no Python code.
    unsafe { ffi::PyObject_Hash(name) as u64 }
}

/// # Safety
/// `name` is a live exact `str`.
#[inline(never)]
unsafe fn judged(name: *mut ffi::PyObject) -> PyResult<bool> {
    // SAFETY: the walk holds the interpreter; `name` as promised by the caller.
    let name: Bound<'_, PyString> =
        unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), name).cast_into_unchecked() };
    Ok(is_secret_name(&name))
}

const SLOTS: usize = 512;
/// Below what tells hashes of one slot apart there is room for what is known of the name.
const KNOWN: u64 = 1;
const SECRET: u64 = 2;

/// Which names are secret, by their hash: the same names come again and again. The last two of those with one pair of places
/// are known.
pub(super) struct Names([Cell<u64>; SLOTS]);

thread_local! {
    /// Empty while in use, as the buffers are.
    static NAMES: Cell<Option<Rc<Names>>> = const { Cell::new(None) };
}

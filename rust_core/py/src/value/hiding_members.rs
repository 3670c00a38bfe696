//! The careful walk: each text is looked at, and keys and items that lose something still differ from all others.

use std::collections::{HashMap, HashSet};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyString;
use spellkeep_core::redaction::{self, HIDDEN};
use spellkeep_core::value::{Encoder, ValueError};

use super::encode::Walker;
use super::failure::{Failure, Outcome};
use super::hiding::{Hiding, Secrets};
use super::tagged::Tagged;
use crate::redaction::{bytes_to_text, redacted};

/// The members of one dict or set that stand for others.
#[derive(Default)]
pub(super) struct Taken {
    names: HashSet<Vec<u8>>,
    /// How many began so.
    counts: HashMap<Vec<u8>, u64>,
}

impl Taken {
    /// `base`, or with a number behind it, so that it is none of `others` and none given before.
    fn name<'py>(&mut self, base: Vec<u8>, others: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        loop {
            let count = self.counts.entry(base.clone()).or_default();
            *count += 1;
            let mut name = base.clone();
            if *count > 1 {
                name.extend_from_slice(format!(" {count}").as_bytes());
            }
            let text = bytes_to_text(others.py(), &name)?;
            if !self.names.contains(&name) && !others.contains(&text)? {
                self.names.insert(name);
                return Ok(text);
            }
        }
    }
}

impl<'py, H: Hiding> Walker<'py, '_, H> {
    #[cold]
    #[inline(never)]
    pub(super) fn text_without_secrets(&mut self, text: &Bound<'py, PyString>) -> Outcome {
        match redacted(text)? {
            // SAFETY: a live `str`.
            None => unsafe { self.text_as_it_is(text.as_ptr()) },
            Some(bytes) => {
                self.left_out();
                // SAFETY: a live `str`.
                unsafe { self.text_as_it_is(bytes_to_text(self.py, &bytes)?.as_ptr()) }
            }
        }
    }

    /// As `entries`.
    ///
    /// # Safety
    /// As for `entries`.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn entries_without_secrets(
        &mut self,
        ob: *mut ffi::PyObject,
        is_marked: bool,
        len: ffi::Py_ssize_t,
        origin: *mut ffi::PyObject,
    ) -> Outcome {
        // SAFETY: as for `entries`; key and value are owned while they are looked at.
        unsafe {
            let dict = Bound::from_borrowed_ptr(self.py, ob);
            let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            let mut taken = Taken::default();
            for _ in 0..len {
                if ffi::PyDict_Next(ob, &mut position, &mut key, &mut value) == 0 {
                    return Err(ValueError::Changed.into());
                }
                let key = Bound::from_borrowed_ptr(self.py, key);
                let value = Bound::from_borrowed_ptr(self.py, value);
                if is_marked {
                    self.encoder.mark();
                }
                self.member(&key, &dict, &mut taken).map_err(|failure| self.at_key(failure, origin, key.as_ptr()))?;
                if is_marked {
                    self.encoder.mark();
                }
                let written = if key.is_exact_instance_of::<PyString>() && self.hiding.is_secret(key.as_ptr())? {
                    self.encoder.str(HIDDEN).map_err(Into::into)
                } else {
                    self.value(value.as_ptr())
                };
                written.map_err(|failure| failure.through_value(origin, &key))?;
                if ffi::PyDict_Size(ob) != len {
                    return Err(ValueError::Changed.into());
                }
            }
            if ffi::PyDict_Next(ob, &mut position, &mut key, &mut value) != 0 {
                return Err(ValueError::Changed.into());
            }
        }
        Ok(())
    }

    /// A key of a dict or an item of a set, `others`. What loses something and is no text is a text then: two tuples that
    /// differed in nothing else would be equal.
    pub(super) fn member(
        &mut self,
        member: &Bound<'py, PyAny>,
        others: &Bound<'py, PyAny>,
        taken: &mut Taken,
    ) -> Outcome {
        let left = match member.cast_exact::<PyString>() {
            Ok(text) => redacted(text)?,
            Err(_) => self.loses_something(member)?.then(|| HIDDEN.as_bytes().to_vec()),
        };
        let Some(left) = left else {
            // Nothing in it is secret, so nothing in it need be looked at again, however deep it is.
            let was_careful = self.hiding.secrets().is_some_and(|secrets| std::mem::take(&mut secrets.is_careful));
            // SAFETY: the caller holds it.
            let done = unsafe { self.value(member.as_ptr()) };
            if let Some(secrets) = self.hiding.secrets() {
                secrets.is_careful = was_careful;
            }
            return done;
        };
        self.left_out();
        let name = taken.name(left, others)?;
        // SAFETY: a live `str`.
        unsafe { self.text_as_it_is(name.as_ptr()) }
    }

    fn loses_something(&mut self, member: &Bound<'py, PyAny>) -> Outcome<bool> {
        let limits = *self.encoder.limits();
        let Some(secrets) = self.hiding.secrets() else { return Ok(false) };
        let (mut bytes, hiding) = (Vec::new(), Secrets::new(&secrets.names, true));
        let mut walker = Walker { py: self.py, encoder: Encoder::bare(&mut bytes, &limits), hiding };
        // SAFETY: the caller holds it.
        unsafe { walker.value(member.as_ptr())? };
        Ok(walker.hiding.count > 0)
    }

    /// What a process does not know the class of is opened: its payload is a value like any other.
    #[inline(never)]
    pub(super) fn tagged_without_secrets(&mut self, ob: &Bound<'py, PyAny>, tagged: &Tagged) -> Outcome {
        let opened = self.encoder.begin_tagged(&tagged.tag, tagged.version);
        let ext = opened.map_err(|error| Failure::at_container(error, ob.as_ptr()))?;
        let payload = tagged.decoded(self.py)?;
        // SAFETY: `payload` is owned here.
        unsafe { self.value(payload.as_ptr()) }.map_err(|failure| failure.through(ob.as_ptr(), String::new()))?;
        Ok(self.encoder.end_tagged(ext)?)
    }

    /// The name of a zone, which is a text like any other.
    pub(super) fn zone_name(&mut self, name: Option<String>) -> Option<String> {
        let spans = name.as_deref().filter(|_| self.hiding.is_careful()).map(redaction::secrets).unwrap_or_default();
        if spans.is_empty() {
            return name;
        }
        self.left_out();
        name.map(|name| String::from_utf8_lossy(&redaction::hide(name.as_bytes(), &spans)).into_owned())
    }

    fn left_out(&mut self) {
        if let Some(secrets) = self.hiding.secrets() {
            secrets.count += 1;
        }
    }
}

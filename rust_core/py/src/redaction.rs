//! Redaction of Python's strings, by the rules of the core.

use std::borrow::Cow;

use pyo3::prelude::*;
use pyo3::types::PyString;
use spellkeep_core::redaction;

/// Private: whether a field of this name holds a secret.
#[pyfunction]
pub fn is_secret_name(name: &Bound<'_, PyString>) -> bool {
    redaction::is_secret_name(&name.to_string_lossy())
}

/// Private: the text without what looks like a secret.
#[pyfunction]
pub fn redact_text<'py>(text: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    Ok(match redacted(text)? {
        None => text.clone(),
        Some(bytes) => bytes_to_text(text.py(), &bytes)?,
    })
}

/// Private: where secrets are in the text, in order and apart: first character, and one behind the last.
#[pyfunction]
pub fn secrets_in(text: &Bound<'_, PyString>) -> PyResult<Vec<(usize, usize)>> {
    let (_, text) = readable(text)?;
    let (mut at, mut chars) = (0, 0);
    let mut counted = |to: usize| {
        chars += text[at..to].chars().count();
        at = to;
        chars
    };
    Ok(redaction::secrets(&text).into_iter().map(|span| (counted(span.start), counted(span.end))).collect())
}

/// The UTF-8 of a text without its secrets, lone surrogates as the interpreter passes them; None: there are none.
pub fn redacted(text: &Bound<'_, PyString>) -> PyResult<Option<Vec<u8>>> {
    let (bytes, text) = readable(text)?;
    let secrets = redaction::secrets(&text);
    Ok(if secrets.is_empty() { None } else { Some(redaction::hide(&bytes, &secrets)) })
}

/// A text of UTF-8 with lone surrogates.
pub fn bytes_to_text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => {
            let bytes = pyo3::types::PyBytes::new(py, bytes);
            Ok(bytes.call_method1("decode", ("utf-8", "surrogatepass"))?.cast_into()?)
        }
    }
}

/// The bytes of a text, and the same as far as they can be read: lone surrogates as other characters of their length.
fn readable<'a>(text: &'a Bound<'_, PyString>) -> PyResult<(Cow<'a, [u8]>, Cow<'a, str>)> {
    if let Ok(text) = text.to_str() {
        return Ok((Cow::Borrowed(text.as_bytes()), Cow::Borrowed(text)));
    }
    let bytes: Vec<u8> = text.call_method1("encode", ("utf-8", "surrogatepass"))?.extract()?;
    let mut plain = bytes.clone();
    for at in 0..plain.len().saturating_sub(2) {
        if plain[at] == 0xED && plain[at + 1] >= 0xA0 {
            plain[at..at + 3].copy_from_slice("\u{FFFD}".as_bytes());
        }
    }
    Ok((Cow::Owned(bytes), Cow::Owned(String::from_utf8_lossy(&plain).into_owned())))
}

//! Values of class Sensitive: sealed where they are written, opened where they are read.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::{SEALING_KEY_BYTES, SealError, SealingKeys, sealed_with};

use crate::errors::raise;
use crate::value;

/// Scope and key of a value, encoded.
pub type Place<'a> = (&'a [u8], &'a [u8]);

/// Keys as callers give them.
pub type GivenKeys = Vec<[u8; SEALING_KEY_BYTES]>;

/// What seals and opens with these keys; None without any. Errors: the system has no random bytes.
pub fn sealing_keys(keys: Option<&[[u8; SEALING_KEY_BYTES]]>) -> PyResult<Option<Arc<SealingKeys>>> {
    let Some(keys) = keys else { return Ok(None) };
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty()).map_err(std::io::Error::from)?;
    Ok(SealingKeys::new(keys, random).map(Arc::new))
}

/// Seals what `write` appends to `out`. Errors: `seal.key`, those of `write`.
#[inline]
pub fn seal(
    py: Python<'_>,
    keys: Option<&Arc<SealingKeys>>,
    out: &mut Vec<u8>,
    place: Place<'_>,
    write: impl FnOnce(&mut Vec<u8>) -> PyResult<()>,
) -> PyResult<()> {
    let keys = keys.ok_or_else(|| no_keys(py))?;
    // Before 1970 it is any number.
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    keys.seal(out, place, now_ns, write)
}

#[cold]
fn no_keys(py: Python<'_>) -> PyErr {
    let detail = "a value of class SENSITIVE is sealed, and this store was opened without keys: open it with \
                  sealing_keys=[...], 32 random bytes each, kept elsewhere";
    raise(py, "AccessDenied", "seal.key", detail, None)
}

thread_local! {
    static OPENED_COUNT: Cell<u64> = const { Cell::new(0) };
}

/// How many sealed values this thread has opened.
pub fn opened_count() -> u64 {
    OPENED_COUNT.get()
}

/// The encoded value that is sealed in `sealed`. Errors: `seal.key`, `value.seal_broken`.
pub fn opened(py: Python<'_>, keys: Option<&Arc<SealingKeys>>, sealed: &[u8], place: Place<'_>) -> PyResult<Vec<u8>> {
    let opened = match keys {
        Some(keys) => keys.open(sealed, place),
        None => Err(sealed_with(sealed).map_or(SealError::Broken, SealError::NoKey)),
    };
    OPENED_COUNT.set(OPENED_COUNT.get() + 1);
    opened.map_err(|error| {
        let name = String::from_utf8_lossy(place.1);
        match error {
            SealError::NoKey(id) => {
                let id = u64::from_be_bytes(id);
                let what = format!("the value of {name:?} is sealed with key {id:016x}");
                let detail = format!("{what}: open the store with that in sealing_keys");
                raise(py, "AccessDenied", "seal.key", &detail, None)
            }
            SealError::Broken => {
                let detail = format!("the sealed value of {name:?} is not as it was written, or not in its place");
                raise(py, "Corrupted", "value.seal_broken", &detail, None)
            }
        }
    })
}

/// Builds the value that is sealed in `sealed`. Errors: `seal.key`, `value.seal_broken`, those of `decode`.
#[cold]
pub fn decode_sealed<'py>(
    py: Python<'py>,
    keys: Option<&Arc<SealingKeys>>,
    sealed: &[u8],
    place: Place<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    value::decode(py, &opened(py, keys, sealed, place)?, None)
}

/// A view of the value that is sealed in `sealed`. Errors: as [`decode_sealed`].
#[cold]
pub fn view_sealed<'py>(
    py: Python<'py>,
    keys: Option<&Arc<SealingKeys>>,
    sealed: &[u8],
    place: Place<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    value::value_view(py, &PyBytes::new(py, &opened(py, keys, sealed, place)?))
}

/// The sealed value as it may stand under another key of its scope. Errors: as [`decode_sealed`].
#[cold]
pub fn move_sealed(
    py: Python<'_>,
    keys: Option<&Arc<SealingKeys>>,
    sealed: &[u8],
    scope: &[u8],
    (from, to): (&[u8], &[u8]),
) -> PyResult<Vec<u8>> {
    let value = opened(py, keys, sealed, (scope, from))?;
    let mut moved = Vec::with_capacity(sealed.len());
    seal(py, keys, &mut moved, (scope, to), |out| {
        out.extend_from_slice(&value);
        Ok(())
    })?;
    Ok(moved)
}

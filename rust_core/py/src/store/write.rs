//! Writing: one walk into a draft, one try under the append lock, and a wait without the interpreter only if needed.

use std::cell::Cell;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::{Draft, Fields, Kind, StateClass};
use spellkeep_core::store::{Batch, Op, Removed, StoreError};
use spellkeep_core::sync::Arc;

use super::failure::to_py;
use super::read::{live, value_of};
use super::{Shared, Ttl, Version};
use crate::correlation;
use crate::errors::raise;
use crate::hooks::{Point, before_batch, before_removal, before_set};

/// Drafts that grew beyond this are not kept for the next write.
const DRAFT_KEEP_BYTES: usize = 1 << 20;

thread_local! {
    /// Taken while in use, so a write from inside an encode function finds it empty and makes its own.
    static DRAFT: Cell<Option<Box<Draft>>> = const { Cell::new(None) };
}

/// What a write is asked to do besides the value.
#[derive(Clone, Copy)]
pub struct How {
    pub if_version: Option<Version>,
    pub class: StateClass,
    /// Whether nobody chose the class, so that it takes the place of no sealed value.
    pub keeps_seal: bool,
    /// How long the value is there; None: for ever.
    pub ttl: Option<Ttl>,
    /// Whether to wait for the acknowledgement that the durability asks for.
    pub acknowledge: bool,
}

/// Encodes `value` into `draft`. Its time to live begins now.
#[inline]
pub fn draft_value(
    shared: &Shared,
    draft: &mut Draft,
    map: &ScopeMap,
    key: &str,
    value: &Bound<'_, PyAny>,
    how: How,
) -> PyResult<()> {
    draft.begin(Kind::Set, how.class, map.scope());
    draft.keep_seal(how.keeps_seal);
    shared.encode(value, how.class, (map.scope(), key.as_bytes()), draft.value_buf())?;
    let current = correlation::current_writing(value.py())?;
    let expires_us = how.ttl.map(|ttl| shared.expires_us(ttl.us()));
    draft.end_with(key.as_bytes(), Fields { expires_us, origin: current.origin() });
    Ok(())
}

/// Stores a value; returns its version.
#[inline]
pub fn set(shared: &Arc<Shared>, map: &Arc<ScopeMap>, key: &str, value: &Bound<'_, PyAny>, how: How) -> PyResult<u64> {
    let py = value.py();
    let mut draft = DRAFT.take().unwrap_or_default();
    let done = draft_value(shared, &mut draft, map, key, value, how)
        .and_then(|()| hooked_commit(py, shared, map, &mut draft, how.if_version.map(Version::number)));
    draft.shrink(DRAFT_KEEP_BYTES);
    DRAFT.set(Some(draft));
    let lsn = done?;
    if how.acknowledge { acknowledge(py, shared, lsn) } else { Ok(lsn) }
}

#[inline]
fn hooked_commit(
    py: Python<'_>,
    shared: &Arc<Shared>,
    map: &Arc<ScopeMap>,
    draft: &mut Draft,
    if_version: Option<u64>,
) -> PyResult<u64> {
    if !shared.hooks.any(Point::Set) {
        return commit(py, shared, map, draft, if_version);
    }
    let ran = before_set(py, shared, map, draft, if_version)?;
    let done = commit(py, shared, map, draft, if_version);
    ran.done(|_| *done.as_ref().unwrap_or(&0));
    done
}

#[inline]
fn commit(
    py: Python<'_>,
    shared: &Shared,
    map: &Arc<ScopeMap>,
    draft: &mut Draft,
    if_version: Option<u64>,
) -> PyResult<u64> {
    match shared.try_set(map, draft, if_version) {
        Ok(lsn) => Ok(lsn),
        Err(StoreError::TooBig) => {
            let mut batch = Batch::default();
            batch.push(Op { map: Arc::clone(map), draft: std::mem::take(draft), if_version });
            Ok(commit_batch(py, shared, &mut batch)?[0])
        }
        Err(error) => {
            let bytes = draft.frame_len();
            wait_and_retry(py, shared, bytes, error, map, draft.key().to_vec(), || {
                shared.try_set(map, draft, if_version)
            })
        }
    }
}

/// After a first refusal: waits for room without the interpreter and tries again, until it is no longer `Busy`.
#[cold]
fn wait_and_retry<R>(
    py: Python<'_>,
    shared: &Shared,
    bytes: usize,
    mut error: StoreError,
    map: &ScopeMap,
    key: Vec<u8>,
    mut retry: impl FnMut() -> Result<R, StoreError>,
) -> PyResult<R> {
    while matches!(error, StoreError::Busy) {
        py.detach(|| shared.make_room(bytes)).map_err(|e| to_py(py, e))?;
        py.check_signals()?;
        match retry() {
            Ok(done) => return Ok(done),
            Err(again) => error = again,
        }
    }
    Err(refused(py, shared, error, map, &key))
}

/// Waits for what the durability asks for. Afterwards the write may be called acknowledged.
#[inline]
pub fn acknowledge(py: Python<'_>, shared: &Shared, lsn: u64) -> PyResult<u64> {
    if !shared.wal().acknowledges_at_once() {
        py.detach(|| shared.wal().acknowledge(lsn)).map_err(|e| to_py(py, e.into()))?;
    }
    Ok(lsn)
}

/// Commits a batch; returns a version per operation.
pub fn commit_batch(py: Python<'_>, shared: &Shared, batch: &mut Batch) -> PyResult<Vec<u64>> {
    let tried = match shared.try_batch(batch) {
        Err(StoreError::Busy | StoreError::TooBig) => py.detach(|| shared.batch(batch)),
        done => done,
    };
    tried.map_err(|error| match &error {
        StoreError::Conflict { index, .. } => {
            let op = &batch.ops()[*index];
            refused(py, shared, error, &op.map, op.draft.key())
        }
        _ => to_py(py, error),
    })
}

/// As [`commit_batch`], after the hooks.
pub fn hooked_batch(py: Python<'_>, shared: &Arc<Shared>, batch: &mut Batch) -> PyResult<Vec<u64>> {
    // It may have been filled elsewhere.
    correlation::current_writing(py)?;
    if !shared.hooks.any_at_all() {
        return commit_batch(py, shared, batch);
    }
    let ran = before_batch(py, shared, batch)?;
    let done = commit_batch(py, shared, batch);
    ran.done(|index| done.as_ref().map_or(0, |versions| versions[index]));
    done
}

/// Removes a key; returns the tombstone's version, or 0 when there was nothing.
pub fn delete(py: Python<'_>, shared: &Arc<Shared>, map: &Arc<ScopeMap>, key: &str, how: How) -> PyResult<u64> {
    let (current, if_version) = (correlation::current_writing(py)?, how.if_version.map(Version::number));
    let ran = match shared.hooks.any(Point::Delete) {
        true => Some(before_removal(py, shared, map, Some(key), if_version)?),
        false => None,
    };
    let removed = removal(py, shared, map, key, || shared.try_delete(map, key, if_version, current.origin()));
    if let Some(ran) = ran {
        ran.done(|_| removed.as_ref().map_or(0, |removed| removed.lsn));
    }
    let removed = removed?;
    if how.acknowledge && removed.count > 0 {
        acknowledge(py, shared, removed.lsn)?;
    }
    Ok(removed.lsn)
}

/// Removes every key of a scope.
pub fn clear(py: Python<'_>, shared: &Arc<Shared>, map: &Arc<ScopeMap>, acknowledged: bool) -> PyResult<Removed> {
    let current = correlation::current_writing(py)?;
    let origin = current.origin();
    let ran = match shared.hooks.any(Point::Clear) {
        true => Some(before_removal(py, shared, map, None, None)?),
        false => None,
    };
    let removed = removal(py, shared, map, "", || py.detach(|| shared.try_clear(map, origin)));
    if let Some(ran) = ran {
        ran.done(|_| removed.as_ref().map_or(0, |removed| removed.lsn));
    }
    let removed = removed?;
    if acknowledged && removed.count > 0 {
        acknowledge(py, shared, removed.lsn)?;
    }
    Ok(removed)
}

fn removal(
    py: Python<'_>,
    shared: &Shared,
    map: &ScopeMap,
    key: &str,
    mut attempt: impl FnMut() -> Result<Removed, StoreError>,
) -> PyResult<Removed> {
    match attempt() {
        Ok(removed) => Ok(removed),
        // A tombstone is a frame without a value: this is more than any of them takes.
        Err(error) => wait_and_retry(py, shared, 4096, error, map, key.as_bytes().to_vec(), attempt),
    }
}

/// The Python error for a refused write; a conflict shows what is stored now.
#[cold]
fn refused(py: Python<'_>, shared: &Shared, error: StoreError, map: &ScopeMap, key: &[u8]) -> PyErr {
    let StoreError::Conflict { expected, current, .. } = error else {
        return to_py(py, error);
    };
    let name = String::from_utf8_lossy(key);
    let mut detail = match (expected, current) {
        (0, _) => format!("{name:?} exists at version {current}, expected nothing: read it again, then decide"),
        (_, 0) => format!("{name:?} is gone, expected version {expected}: read it again, then decide"),
        _ => format!("{name:?} is at version {current}, expected {expected}: read it again, then try again"),
    };
    let mut build = || -> PyResult<PyErr> {
        let fields = PyDict::new(py);
        fields.set_item("expected_version", expected)?;
        fields.set_item("current_version", current)?;
        // The value as of now, which may have moved on since the check.
        let found = live(py, shared, map, key);
        match found
            .and_then(|entry| entry.map(|entry| value_of(py, shared.sealing_keys(), map.scope(), &entry)).transpose())
        {
            Ok(value) => fields.set_item("current", value)?,
            // It is a conflict all the same, and the caller tries again for conflicts only.
            Err(failure) => detail = format!("{detail}. The value stored now cannot be read: {failure}"),
        }
        Ok(raise(py, "Conflict", "cas.version_mismatch", &detail, Some(fields)))
    };
    build().unwrap_or_else(|failure| failure)
}

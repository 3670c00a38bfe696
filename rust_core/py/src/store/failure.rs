//! Errors of the engine as classes of `spellkeep.errors`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use spellkeep_core::env::IoError;
use spellkeep_core::error::Coded;
use spellkeep_core::store::StoreError;
use spellkeep_core::wal::{Damage, WalError};

use crate::errors::raise;

fn io_fields<'py>(py: Python<'py>, error: &IoError) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("errno", error.source.raw_os_error())?;
    fields.set_item("filename", &error.path)?;
    Ok(fields)
}

fn no_such<'py>(py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("errno", py.import("errno")?.getattr("ENOENT")?)?;
    fields.set_item("filename", path)?;
    Ok(fields)
}

fn damage_fields<'py>(py: Python<'py>, damage: &Damage) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("file", &damage.file)?;
    fields.set_item("offset", damage.offset)?;
    fields.set_item("length_bytes", damage.len_bytes)?;
    fields.set_item("last_good_version", damage.last_good_lsn)?;
    let next = Some(damage.next_good_lsn).filter(|lsn| *lsn != 0);
    fields.set_item("next_good_version", next)?;
    Ok(fields)
}

fn io_advice(error: &WalError, detail: &str) -> &'static str {
    match error.code() {
        "storage.full" if detail.contains("ring.tmp") => {
            "; free some space, or pass a smaller ring_bytes (from 65,536)"
        }
        "storage.full" => "; free some space and try again: what was acknowledged is kept",
        "storage.read_only" => "; the store needs a directory that it may write",
        "storage.not_a_directory" => "; give the path of a directory, or of nothing yet",
        _ => "",
    }
}

/// The Python error for a refusal of the store.
#[cold]
pub fn to_py(py: Python<'_>, error: StoreError) -> PyErr {
    let (code, detail) = (error.code(), error.to_string());
    let error = match error {
        StoreError::Wal(error) => error,
        StoreError::ViewEnded(_) => return raise(py, "ViewEnded", code, &detail, None),
        StoreError::Sealed => return raise(py, "AccessDenied", code, &detail, None),
        StoreError::TooManyViews => return raise(py, "LimitExceeded", code, &detail, None),
        StoreError::Conflict { .. } | StoreError::Busy | StoreError::TooBig => {
            return raise(py, "Conflict", code, &detail, None);
        }
    };
    let (class, fields) = match &error {
        WalError::Io(io) => ("StorageFailed", io_fields(py, io)),
        WalError::Damaged(damage) => ("Corrupted", damage_fields(py, damage)),
        WalError::Locked { pid, .. } => {
            let fields = PyDict::new(py);
            let set = fields.set_item("pid", pid);
            ("StoreLocked", set.map(|()| fields))
        }
        WalError::NotAStore(_) => ("Corrupted", Ok(PyDict::new(py))),
        WalError::BadOption(_) | WalError::Trimmed { .. } => ("LimitExceeded", Ok(PyDict::new(py))),
        WalError::Missing { path } => ("StorageFailed", no_such(py, path)),
        WalError::ReadOnly => ("ReadOnly", Ok(PyDict::new(py))),
        WalError::Poisoned(_) => ("Poisoned", Ok(PyDict::new(py))),
        WalError::Closed => ("Closed", Ok(PyDict::new(py))),
        WalError::Forked => ("Forked", Ok(PyDict::new(py))),
    };
    match fields {
        Ok(fields) => raise(py, class, code, &format!("{detail}{}", io_advice(&error, &detail)), Some(fields)),
        Err(failure) => failure,
    }
}

/// The error for a key without a live value.
#[cold]
pub fn missing(py: Python<'_>, key: &str) -> PyErr {
    let shown = PyString::new(py, key).repr().map_or_else(|_| key.to_owned(), |shown| shown.to_string());
    raise(py, "KeyMissing", "key.missing", &format!("nothing is stored under {shown}"), None)
}

//! Verification as dicts; `spellkeep.damage` makes its dataclasses of them.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use spellkeep_core::env::Env;
use spellkeep_core::store::{self, Verified};
use spellkeep_core::wal::{Damage, WalError};

use super::failure::to_py;

/// File, offset, length, what is wrong, last version before, first version behind.
pub type DamageRow = (String, u64, u64, String, u64, u64);

/// One damage as a row.
pub fn damage_row(damage: &Damage) -> DamageRow {
    let Damage { file, offset, last_good_lsn, next_good_lsn, len_bytes, what } = damage;
    (file.clone(), *offset, *len_bytes, what.clone(), *last_good_lsn, *next_good_lsn)
}

/// What a verification found, as a dict.
pub fn verified_dict<'py>(py: Python<'py>, verified: &Verified) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("file_count", verified.file_count)?;
    dict.set_item("byte_count", verified.byte_count)?;
    dict.set_item("record_count", verified.record_count)?;
    dict.set_item("row_count", verified.row_count)?;
    dict.set_item("last_version", verified.last_lsn)?;
    dict.set_item("duration_ms", verified.duration_ms)?;
    dict.set_item("damages", verified.damages.iter().map(damage_row).collect::<Vec<_>>())?;
    Ok(dict)
}

/// The directory of a store that is to be looked at; it must be there.
pub fn looked_at(path: &Path) -> Result<Env, WalError> {
    Env::existing(path).map_err(|e| match e.source.kind() {
        std::io::ErrorKind::NotFound => WalError::Missing { path: path.display().to_string() },
        _ => e.into(),
    })
}

/// Verify the store in a directory without changing anything, damaged or not.
#[pyfunction]
pub fn store_verify(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let done = py.detach(|| store::Store::verify_at(&looked_at(&path)?));
    verified_dict(py, &done.map_err(|e| to_py(py, e))?)
}

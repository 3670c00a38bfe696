//! Verification as dicts; `spellkeep.damage` makes its dataclasses of them.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use spellkeep_core::env::Env;
use spellkeep_core::store::{self, StoreOptions, Verified};
use spellkeep_core::wal::{Damage, Retention, WalError};

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

/// Write what is whole of the store in `path` into a new one in `new_path`; return what was found, as a dict.
#[pyfunction]
pub fn store_salvage(py: Python<'_>, path: PathBuf, new_path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let done = py.detach(|| {
        let from = looked_at(&path)?;
        // What cannot be looked at leaves no new directory behind.
        store::Store::verify_at(&from)?;
        let env = Env::real(&new_path).map_err(WalError::from)?;
        let into = store::Store::open(
            env,
            StoreOptions { keep: Retention { log_bytes: None, age_us: 0 }, ..StoreOptions::default() },
        )?;
        let salvaged = into.salvage(&from)?;
        let (_, key_count, _) = into.stats();
        let new_last = into.wal().last_lsn();
        into.close().map(|()| (salvaged, key_count, new_last))
    });
    let (salvaged, key_count, new_last) = done.map_err(|e| to_py(py, e))?;
    let dict = PyDict::new(py);
    dict.set_item("record_count", salvaged.record_count)?;
    dict.set_item("row_count", salvaged.row_count)?;
    dict.set_item("key_count", key_count)?;
    dict.set_item("last_version", salvaged.last_lsn)?;
    dict.set_item("new_last_version", new_last)?;
    dict.set_item("damages", salvaged.damages.iter().map(damage_row).collect::<Vec<_>>())?;
    Ok(dict)
}

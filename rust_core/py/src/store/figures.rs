//! Figures of an open store as dicts; `spellkeep.figures` makes its classes of them.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Shared;
use super::failure::to_py;

/// What the opening found.
pub fn recovery<'py>(py: Python<'py>, shared: &Shared) -> PyResult<Bound<'py, PyDict>> {
    let recovery = shared.recovery();
    let found = &recovery.log;
    let dict = PyDict::new(py);
    dict.set_item("clean", found.clean)?;
    dict.set_item("record_count", found.record_count)?;
    dict.set_item("ring_record_count", found.ring_record_count)?;
    dict.set_item("segment_count", found.segment_count)?;
    dict.set_item("last_version", found.last_lsn)?;
    dict.set_item("cut_bytes", found.cut_bytes)?;
    dict.set_item("cut_reason", found.cut_reason)?;
    dict.set_item("lost_count", found.lost_count)?;
    dict.set_item("skipped_count", found.skipped_count)?;
    dict.set_item("duration_ms", found.duration_ms)?;
    dict.set_item("snapshot_version", recovery.snapshot_lsn)?;
    dict.set_item("snapshot_row_count", recovery.snapshot_row_count)?;
    dict.set_item("snapshot_damage", &recovery.snapshot_damage)?;
    dict.set_item("live", recovery.live)?;
    Ok(dict)
}

/// Figures as of now.
pub fn stats<'py>(py: Python<'py>, shared: &Shared) -> PyResult<Bound<'py, PyDict>> {
    shared.check().map_err(|e| to_py(py, e))?;
    let (wal, key_count, scope_count) = shared.stats();
    let dict = PyDict::new(py);
    dict.set_item("key_count", key_count)?;
    dict.set_item("scope_count", scope_count)?;
    dict.set_item("last_version", wal.last_lsn)?;
    dict.set_item("durable_version", wal.synced_lsn)?;
    dict.set_item("log_bytes", wal.stream_bytes)?;
    dict.set_item("kept_log_bytes", wal.kept_bytes)?;
    dict.set_item("segment_count", wal.segment_count)?;
    dict.set_item("ring_bytes", wal.ring_bytes)?;
    dict.set_item("ring_used_bytes", wal.ring_used_bytes)?;
    dict.set_item("sync_count", wal.sync_count)?;
    dict.set_item("repair_count", wal.repair_count)?;
    let (count, version, failure) = shared.checkpoints();
    dict.set_item("checkpoint_count", count)?;
    dict.set_item("checkpoint_version", version)?;
    dict.set_item("checkpoint_failure", failure)?;
    dict.set_item("held_version", shared.held_lsn())?;
    let (view_count, view_bytes) = shared.view_figures();
    dict.set_item("resident_bytes", shared.resident_bytes())?;
    dict.set_item("view_count", view_count)?;
    dict.set_item("view_bytes", view_bytes)?;
    Ok(dict)
}

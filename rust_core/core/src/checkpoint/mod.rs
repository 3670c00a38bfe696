//! Snapshots: the last record of every key as of one version, so that the log before it can go and values need not stay in
//! memory. Derived from the log and disposable: there are two, and the log is kept back to the older one.
//!
//! The engine sees a trait; `redb` stands behind it. See `docs/format.md`, Snapshots.

mod backend;
mod redb_snapshot;
mod row;

use std::collections::BTreeMap;

use crate::env::IoError;
use crate::record::{Mark, Pos};

pub use redb_snapshot::{RedbSnapshot, SnapshotReader};
pub use row::Row;

/// Directory of the snapshots.
pub const SNAPSHOT_DIR: &str = "snapshots";
/// The two files, written in turn.
pub const SNAPSHOT_NAMES: [&str; 2] = ["snapshots/a.redb", "snapshots/b.redb"];

/// Why a snapshot did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] IoError),
    /// Its bytes are not what was written.
    #[error("{file}: {what}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong, in a few words.
        what: String,
    },
}

/// Records by place (encoded scope, then key), each as [`Row::encode`] gives it. A clear stands at its bare scope.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// One snapshot.
pub trait Snapshot: Send + Sync {
    /// The file, as a person would look for it.
    fn path(&self) -> String;

    /// It holds the effect of every record before this mark, and of none behind it.
    fn mark(&self) -> Mark;

    /// Calls `look` with every record, ordered by place: a scope's clear comes before its keys.
    ///
    /// # Errors
    /// Damage, or the system's.
    fn for_each(&self, seed: u64, look: &mut dyn FnMut(&Row<'_>)) -> Result<(), SnapshotError>;

    /// Applies records that go up to `mark`, and forgets tombstones before `log_start`, whose history is gone. Afterwards
    /// the snapshot is durable at `mark`; after a crash it is there or at the mark where it was.
    ///
    /// # Errors
    /// Damage, or the system's; then it is at the mark where it was.
    ///
    /// # Cost
    /// O(rows log n); two syncs.
    fn apply(&self, rows: &Rows, mark: Mark, log_start: Pos) -> Result<(), SnapshotError>;

    /// Bytes of its file.
    ///
    /// # Errors
    /// The system's.
    fn len_bytes(&self) -> Result<u64, SnapshotError>;
}

//! Snapshots: the last record of every key as of one version, so that the log before it can go and values need not stay in
//! memory. Derived from the log and disposable: there are two, and the log is kept back to the older one. See
//! `docs/format.md`, Snapshots.

mod block;
mod file;
mod former;
mod row;
mod run;

use std::collections::BTreeMap;

use crate::env::IoError;

pub use file::{SnapshotFile, SnapshotReader};
pub use former::{FORMER_NAMES, take_over_former};
pub use row::Row;

/// Directory of the snapshots.
pub const SNAPSHOT_DIR: &str = "snapshots";
/// The two files, written in turn.
pub const SNAPSHOT_NAMES: [&str; 2] = ["snapshots/a.rows", "snapshots/b.rows"];

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
    /// The store is being closed. The next checkpoint goes on.
    #[error("the checkpoint was ended")]
    Stopped,
}

/// Records by place (encoded scope, then key), each as [`Row::encode`] gives it. A clear stands at its bare scope.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Takes the place of a row and the row.
pub type Add<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), SnapshotError> + 'a;
/// Gives rows, in order of their places, to what it is called with.
pub type Fill<'a> = dyn FnMut(&mut Add<'_>) -> Result<(), SnapshotError> + 'a;

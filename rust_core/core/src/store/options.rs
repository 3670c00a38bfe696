//! How a store is set up.

use crate::limits::{CHECKPOINT_LOG_BYTES_RANGE, VIEW_BUDGET_BYTES, VIEW_BUDGET_BYTES_RANGE};
use crate::record::Lsn;
use crate::wal::{Retention, WalError, WalOptions};

/// Options of a store.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The log.
    pub wal: WalOptions,
    /// How much of the log is kept for histories.
    pub keep: Retention,
    /// A checkpoint is due when the log has grown by this much, or by half of what a snapshot holds if that is more.
    pub checkpoint_log_bytes: u64,
    /// Values beyond so many bytes leave memory and are read back from the log or a snapshot; their keys stay. None: all
    /// values stay.
    pub memory_budget_bytes: Option<u64>,
    /// Most bytes of replaced entries that are retained for read views; past it the oldest view ends.
    pub view_budget_bytes: usize,
    /// As [`super::Store::hold_log`], from the opening on: before the first checkpoint could let anything go.
    pub hold_lsn: Option<Lsn>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            wal: WalOptions::default(),
            keep: Retention::default(),
            checkpoint_log_bytes: 16 << 20,
            memory_budget_bytes: None,
            view_budget_bytes: VIEW_BUDGET_BYTES,
            hold_lsn: None,
        }
    }
}

impl From<WalOptions> for StoreOptions {
    fn from(wal: WalOptions) -> Self {
        Self { wal, ..Self::default() }
    }
}

impl StoreOptions {
    /// Whether every option is in the range that people may ask for.
    ///
    /// # Errors
    /// [`WalError::BadOption`] names the first that is not.
    pub fn check(&self) -> Result<(), WalError> {
        self.wal.check()?;
        for (name, in_range) in [
            ("checkpoint_log_bytes", CHECKPOINT_LOG_BYTES_RANGE.contains(&self.checkpoint_log_bytes)),
            ("view_budget_bytes", VIEW_BUDGET_BYTES_RANGE.contains(&self.view_budget_bytes)),
        ] {
            if !in_range {
                return Err(WalError::BadOption(format!("{name} must be from 65,536 to 1,099,511,627,776")));
            }
        }
        Ok(())
    }
}

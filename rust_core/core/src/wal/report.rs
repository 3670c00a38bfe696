//! What an opening says of what it found.

use crate::record::Lsn;

/// What an opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the last opening had closed the store.
    pub clean: bool,
    /// Records read back.
    pub record_count: u64,
    /// Of these, the ones that were only in the ring.
    pub ring_record_count: u64,
    /// Segment files read.
    pub segment_count: usize,
    /// Version of the last record.
    pub last_lsn: Lsn,
    /// Bytes behind the last whole commit that were cut.
    pub cut_bytes: u64,
    /// Why, when bytes were cut or versions lost.
    pub cut_reason: Option<&'static str>,
    /// Versions known to have existed, never durable, and lost with the power.
    pub lost_count: u64,
    /// Versions behind it that may have existed and been lost with the power: none of them is given again.
    pub skipped_count: u64,
    /// Milliseconds that the recovery took.
    pub duration_ms: u64,
}

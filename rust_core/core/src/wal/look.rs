//! Opening a log for looking only: everything that an opening changes stays in memory.

use super::append::Status;
use super::manifest::MANIFEST;
use super::open::{LOCK, RING};
use super::recover::Replay;
use super::report::RecoveryReport;
use super::segment::SEGMENT_DIR;
use super::{Wal, WalError, WalOptions, held};
use crate::env::Env;
use crate::env::disk::{Disk, read_file};
use crate::record::{Kind, Lsn, follows};
use crate::sync::Arc;
use crate::sync::Ordering;

/// Who opens a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opener {
    /// The one who writes.
    Writer,
    /// One who looks, while nobody writes.
    Reader,
    /// One who looks while another writes.
    Onlooker,
}

/// Size of the ring that nobody writes into, and of reserved space that nobody uses.
const RING_BYTES: u64 = 64 << 10;

impl Wal {
    /// As [`Wal::open`], on a [`crate::env::look::LookDisk`]; appends are refused. Nobody may be writing the directory
    /// behind it, unless the opener is [`Opener::Onlooker`].
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is no store; else as [`Wal::open`]. An onlooker may be told of damage, or of
    /// files that are missing, because they changed while it read: then it begins anew, on a new disk.
    pub fn look(env: Env, replay: &mut dyn Replay, opener: Opener) -> Result<(Arc<Self>, RecoveryReport), WalError> {
        if !holds_store(&*env.disk)? {
            return Err(WalError::Missing { path: env.disk.path_of("") });
        }
        let options = WalOptions { mapped_ring: Some(false), ring_bytes: RING_BYTES, ..WalOptions::default() };
        Self::open_as(env, options, replay, opener)
    }
}

impl Wal {
    /// Goes on with version `next`, for a log that was taken over with gaps. Such a log is in memory only: no recovery
    /// would take it.
    pub fn skip_versions(&self, next: Lsn) {
        let mut state = held(&self.append);
        state.next_lsn = state.next_lsn.max(next);
        self.has_gaps.store(true, Ordering::Release);
    }

    /// Takes no more appends, as one that was opened for looking.
    pub fn refuse_writes(&self) {
        held(&self.append).refuse_from_now_on(Status::ReadOnly);
    }

    /// Whether a record with this version, `prev_sum` and kind may follow one of version `lsn` with that checksum.
    pub(super) fn may_follow(&self, lsn: Lsn, sum: u32, next: (Lsn, u32, Kind)) -> bool {
        let in_gap = || next.0 > lsn && self.has_gaps.load(Ordering::Acquire);
        next.1 == sum && (follows(lsn, next.0, next.2) || in_gap())
    }
}

/// Whether there is anything of a store.
fn holds_store(disk: &dyn Disk) -> Result<bool, WalError> {
    Ok(disk.exists(MANIFEST)? || disk.exists(RING)? || !disk.list(SEGMENT_DIR)?.is_empty())
}

/// Whether somebody writes the store now.
///
/// # Errors
/// The system's.
pub fn is_written(disk: &dyn Disk) -> Result<bool, WalError> {
    Ok(disk.is_locked(LOCK)?)
}

/// The manifest as it stands, byte for byte; no bytes when there is none. Each opening and closing changes it.
///
/// # Errors
/// The system's.
pub fn manifest_bytes(disk: &dyn Disk) -> Result<Vec<u8>, WalError> {
    Ok(if disk.exists(MANIFEST)? { read_file(disk, MANIFEST)? } else { Vec::new() })
}

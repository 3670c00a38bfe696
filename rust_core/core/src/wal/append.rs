//! The append lock: versions are given out, frames go into the ring, and the index follows before anybody else looks.

use super::ring::RingWriter;
use super::{Durability, Wal, WalError, held};
use crate::record::{Draft, FLAG_BATCH, Lsn, Pos, Seal};
use crate::sync::WriteToken;
use crate::sync::{MutexGuard, Ordering};

/// Whether appends are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Yes.
    Open,
    /// Not now: a record larger than the ring is on its way to its segment.
    Gated,
    /// Never: opened for looking only.
    ReadOnly,
    /// Never again: closed.
    Closed,
    /// Never again: a write to disk failed.
    Poisoned,
}

/// What the append lock guards.
pub(super) struct AppendState {
    pub(super) writer: RingWriter,
    pub(super) next_lsn: Lsn,
    pub(super) prev_sum: u32,
    pub(super) status: Status,
    /// The background thread sleeps without a timeout; the first append wakes it.
    pub(super) thread_idle: bool,
    /// The background thread was already told that the ring fills up.
    pub(super) thread_told: bool,
    pub(super) token: WriteToken,
}

impl AppendState {
    pub(super) fn last_lsn(&self) -> Lsn {
        self.next_lsn - 1
    }

    /// Whether the ring is to be drained before the interval is over: early, so that writers find room until it has been.
    pub(super) fn is_filling(&self, ring_capacity: u64) -> bool {
        self.writer.used() > ring_capacity / 4
    }

    pub(super) fn refuse_from_now_on(&mut self, status: Status) {
        if self.status != Status::Closed {
            self.status = status;
        }
    }
}

/// Why an append was not taken.
#[derive(Debug)]
pub enum Refused {
    /// No room just now: call [`Wal::make_room`] without holding anything, then try again.
    Busy,
    /// Larger than what the ring takes: use [`Wal::append_big`].
    TooBig,
    /// It will not be taken.
    Failed(WalError),
}

impl<E: Into<WalError>> From<E> for Refused {
    fn from(e: E) -> Self {
        Self::Failed(e.into())
    }
}

/// The held append lock. Nothing that can block may happen while it lives.
pub struct Append<'w> {
    wal: &'w Wal,
    state: MutexGuard<'w, AppendState>,
    wake: bool,
}

impl Wal {
    /// The longest commit, in frame bytes, that goes through the ring.
    pub fn ring_commit_bytes_max(&self) -> u64 {
        self.ring_capacity / 2
    }

    /// Takes the append lock for a commit of `bytes` frame bytes.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    #[inline]
    pub fn append(&self, bytes: usize) -> Result<Append<'_>, Refused> {
        if self.is_forked() {
            return Err(WalError::Forked.into());
        }
        if bytes as u64 > self.ring_commit_bytes_max() {
            return Err(Refused::TooBig);
        }
        let state = held(&self.append);
        match state.status {
            Status::Open => {}
            Status::Gated => return Err(Refused::Busy),
            Status::ReadOnly => return Err(WalError::ReadOnly.into()),
            Status::Closed => return Err(WalError::Closed.into()),
            Status::Poisoned => {
                drop(state);
                return Err(self.poisoned().unwrap_or(WalError::Closed).into());
            }
        }
        let end = state.writer.head() + bytes as u64;
        if state.writer.room() < bytes as u64 || end > self.allocated_end.load(Ordering::Acquire) {
            return Err(Refused::Busy);
        }
        Ok(Append { wal: self, state, wake: false })
    }

    /// Takes the append lock for changes to the index that write no record.
    pub fn with_token<R>(&self, change: impl FnOnce(&mut WriteToken) -> R) -> R {
        change(&mut held(&self.append).token)
    }

    /// Calls `look` with the last version given out, while no other is: everything up to it is in the index, nothing else.
    pub fn with_last_lsn<R>(&self, look: impl FnOnce(Lsn) -> R) -> R {
        look(held(&self.append).last_lsn())
    }

    /// Whether the log takes no more appends because it was closed.
    pub(super) fn is_closed(&self) -> bool {
        held(&self.append).status == Status::Closed
    }

    /// Whether the log takes no appends because it was opened for looking only.
    pub(super) fn is_read_only(&self) -> bool {
        held(&self.append).status == Status::ReadOnly
    }

    /// Last version given out.
    pub fn last_lsn(&self) -> Lsn {
        held(&self.append).last_lsn()
    }
}

impl Append<'_> {
    /// Appends one record, giving it the next version. Afterwards it survives the process (with a mapped ring).
    #[inline]
    pub fn push(&mut self, draft: &mut Draft, time_us: u64, prev_pos: Pos, flags: u16) -> (Lsn, Pos) {
        let state = &mut *self.state;
        let (lsn, pos) = (state.next_lsn, state.writer.head());
        let unsynced = lsn - 1 - self.wal.synced_lsn.load(Ordering::Relaxed).min(lsn - 1);
        let (frame, sum) = draft.seal(&Seal {
            lsn,
            time_us,
            prev_pos,
            epoch: self.wal.epoch,
            prev_sum: state.prev_sum,
            unsynced_count: unsynced.min(u64::from(u32::MAX)) as u32,
            flags,
            seed: self.wal.seed,
        });
        state.writer.append(frame);
        if flags & FLAG_BATCH == 0 {
            state.writer.mark_last(lsn);
        }
        state.prev_sum = sum;
        state.next_lsn = lsn + 1;
        (lsn, pos)
    }

    /// What index changes need.
    #[inline]
    pub fn token(&mut self) -> &mut WriteToken {
        &mut self.state.token
    }

    /// Lets go of the lock, waking the background thread when it has something to do.
    #[inline]
    pub fn done(mut self) {
        let state = &mut *self.state;
        if state.thread_idle || (!state.thread_told && state.is_filling(self.wal.ring_capacity)) {
            state.thread_idle = false;
            state.thread_told = true;
            self.wake = true;
        }
        let (wal, wake) = (self.wal, self.wake);
        drop(self);
        if wake {
            wal.background.wake();
        }
    }
}

impl Wal {
    /// Waits until the acknowledgement of `lsn` may be given: at once, after the pwrite, or after the sync.
    ///
    /// # Errors
    /// The write or sync failed: the record must not be acknowledged.
    pub fn acknowledge(&self, lsn: Lsn) -> Result<(), WalError> {
        match self.options.durability {
            Durability::Sync => self.ensure_synced(lsn),
            _ if !self.mapped => self.ensure_written(lsn),
            _ => Ok(()),
        }
    }

    /// Whether [`Wal::acknowledge`] may wait at all.
    #[inline]
    pub fn acknowledges_at_once(&self) -> bool {
        self.mapped && self.options.durability != Durability::Sync
    }
}

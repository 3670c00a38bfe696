//! Commits larger than the ring: straight to the segment, synced, while other writers wait at the gate.

use super::append::Status;
use super::drain::{Drain, Head};
use super::{Durability, Wal, WalError, held};
use crate::record::{Draft, FLAG_BATCH, FLAG_BATCH_LAST, Lsn, Pos, Seal};
use crate::sync::WriteToken;
use crate::sync::{MutexGuard, Ordering};

/// The gate: while it lives no other commit is taken, and versions stand still.
pub struct Gate<'w> {
    wal: &'w Wal,
    opened: bool,
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        if !self.opened {
            let mut state = held(&self.wal.append);
            if state.status == Status::Gated {
                state.status = Status::Open;
            }
        }
    }
}

impl Wal {
    /// Shuts the gate; None when somebody else has it.
    ///
    /// # Errors
    /// Closed, poisoned or forked.
    pub fn gate(&self) -> Result<Option<Gate<'_>>, WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let mut state = held(&self.append);
        match state.status {
            Status::Open => state.status = Status::Gated,
            Status::Gated => return Ok(None),
            Status::ReadOnly => return Err(WalError::ReadOnly),
            Status::Closed => return Err(WalError::Closed),
            Status::Poisoned => {
                drop(state);
                return Err(self.poisoned().unwrap_or(WalError::Closed));
            }
        }
        Ok(Some(Gate { wal: self, opened: false }))
    }
}

impl Gate<'_> {
    /// Commits `drafts` as one, each with where its key's previous record stands, and then calls `apply` with the first
    /// version and the positions, under the append lock. Afterwards the records are in a segment, and durable unless
    /// the durability is `process`.
    ///
    /// # Errors
    /// Nothing was committed. Only a failure that could not be contained poisons the log.
    pub fn commit(
        mut self,
        drafts: &mut [Draft],
        prev: &[Pos],
        time_us: u64,
        apply: impl FnOnce(&mut WriteToken, Lsn, &[Pos], &[Draft]),
    ) -> Result<(), WalError> {
        let wal = self.wal;
        let mut drain = held(&wal.drain);
        if held(&wal.append).status == Status::Closed {
            return Err(WalError::Closed);
        }
        wal.drain_locked(&mut drain, true)?;
        // What had to go out is durable, but a rotation behind it may have left a segment that counts at the next opening.
        if let Some(poisoned) = wal.poisoned() {
            return Err(poisoned);
        }
        let before = wal.snapshot_head();
        let mut after = before;
        let mut positions = Vec::with_capacity(drafts.len());
        let last = drafts.len() - 1;
        let total: u64 = drafts.iter().map(|d| d.frame_len() as u64).sum();
        wal.reserve(&mut drain, before.pos + total);
        if wal.allocated_end.load(Ordering::Acquire) < before.pos + total {
            return Err(drain.refusal.take().unwrap_or(WalError::Closed));
        }
        for (i, (draft, prev_pos)) in drafts.iter_mut().zip(prev).enumerate() {
            let flags = if last == 0 {
                0
            } else if i == last {
                FLAG_BATCH_LAST
            } else {
                FLAG_BATCH
            };
            let seal = Seal {
                lsn: after.lsn + 1,
                time_us,
                prev_pos: *prev_pos,
                epoch: wal.epoch,
                prev_sum: after.sum,
                unsynced_count: i as u32,
                flags,
                seed: wal.seed,
            };
            positions.push(after.pos);
            let (frame, sum) = draft.seal(&seal);
            if let Err(e) = drain.current.write(frame, after.pos) {
                return Err(wal.contain(&mut drain, e));
            }
            after = Head { pos: after.pos + frame.len() as u64, lsn: seal.lsn, sum };
        }
        if wal.options.durability != Durability::Process
            && let Err(e) = drain.current.file.sync_named()
        {
            return Err(wal.contain(&mut drain, e.into()));
        }
        let mut state = held(&wal.append);
        state.writer.skip_to(&mut drain.reader, after.pos, after.lsn);
        state.next_lsn = after.lsn + 1;
        state.prev_sum = after.sum;
        apply(&mut state.token, before.lsn + 1, &positions, drafts);
        if state.status == Status::Gated {
            state.status = Status::Open;
        }
        self.opened = true;
        drop(state);
        if wal.options.durability == Durability::Process {
            drain.written = after.pos;
            wal.written_lsn.store(after.lsn, Ordering::Release);
        } else {
            wal.publish_synced(&mut drain, after);
        }
        wal.note_growth(after);
        Ok(())
    }
}

impl Wal {
    /// After a failed big write the segment's tail is unknown: the log goes on in a fresh segment from where it was.
    fn contain(&self, drain: &mut MutexGuard<'_, Drain>, first: WalError) -> WalError {
        match self.fresh_segment(drain, self.ring_capacity.min(1 << 16), [&[], &[]]) {
            Ok(fresh) => {
                self.adopt(drain, fresh, 0);
                let wanted = drain.synced + self.ring_capacity;
                self.reserve(drain, wanted);
                first
            }
            Err(second) => self.set_poison(&format!("{first}; then {}", second.error)),
        }
    }
}

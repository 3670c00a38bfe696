//! The drain: ring to segment, segment to disk, ring space freed. Under a lock that no writer needs.

use super::ahead::Ahead;
use super::append::Status;
use super::ring::RingReader;
use super::segment::{NotMade, SEGMENT_VERSION, Segment, SegmentHeader};
use super::{Durability, Wal, WalError, held};
use crate::record::{Lsn, Pos};
use crate::sync::{Arc, MutexGuard, Ordering};

/// What the drain lock guards.
pub(super) struct Drain {
    pub(super) reader: RingReader,
    pub(super) current: Arc<Segment>,
    pub(super) written: Pos,
    pub(super) synced: Pos,
    /// Version and checksum at `synced`: what a fresh segment that starts there says of itself.
    pub(super) synced_lsn: Lsn,
    pub(super) synced_sum: u32,
    pub(super) ahead: Ahead,
    pub(super) store_id: [u8; 16],
    /// Why space could not be reserved, when the last attempt failed.
    pub(super) refusal: Option<WalError>,
}

/// How far the stream had come at one moment.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) pos: Pos,
    pub(super) lsn: Lsn,
    pub(super) sum: u32,
}

/// Whoever syncs for all; others wait until it is dropped.
struct SyncLeader<'w>(&'w Wal);

impl Drop for SyncLeader<'_> {
    fn drop(&mut self) {
        *held(&self.0.sync_leading) = false;
        self.0.sync_done.notify_all();
    }
}

/// Segment space is reserved in steps of this, or less where segments are smaller or less is left.
const RESERVE_STEP_BYTES: u64 = 1 << 20;
const RESERVE_LEAST_BYTES: u64 = 4096;
/// Reserved behind what appends may use, and given back before the manifest is replaced: a store on a full disk can be
/// closed and opened.
const RESERVE_SPARE_BYTES: u64 = 16 << 10;

impl Wal {
    pub(super) fn snapshot_head(&self) -> Head {
        let mut state = held(&self.append);
        state.thread_told = false;
        Head { pos: state.writer.head(), lsn: state.last_lsn(), sum: state.prev_sum }
    }

    /// Moves everything appended so far to the segment, and syncs it when asked. Then makes room for what comes.
    ///
    /// # Errors
    /// The log is poisoned: a write or sync failed and so did the repair.
    pub fn drain(&self, sync: bool) -> Result<(), WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let mut drain = held(&self.drain);
        self.drain_locked(&mut drain, sync)
    }

    pub(super) fn drain_locked(&self, drain: &mut MutexGuard<'_, Drain>, sync: bool) -> Result<(), WalError> {
        if let Some(poisoned) = self.poisoned() {
            return Err(poisoned);
        }
        let head = self.snapshot_head();
        let header = &drain.current.header;
        // What is written now may be more than a former version of the format knows.
        let full = head.pos - header.start >= self.options.segment_bytes || header.version < SEGMENT_VERSION;
        let synced = |drain: &mut Drain| if sync || full { self.sync(drain, head) } else { Ok(()) };
        let done = self.write_pending(drain, head).and_then(|()| synced(drain));
        if let Err(first) = done {
            self.repair(drain, head).map_err(|second| self.set_poison(&format!("{first}; then {second}")))?;
        }
        if full {
            self.rotate(drain);
        }
        self.reserve(drain, head.pos + self.ring_capacity);
        self.note_growth(head);
        Ok(())
    }

    fn write_pending(&self, drain: &mut Drain, head: Head) -> Result<(), WalError> {
        if head.pos > drain.written {
            let (first, second) = drain.reader.pending(drain.written, head.pos);
            drain.current.write(first, drain.written)?;
            drain.current.write(second, drain.written + first.len() as u64)?;
            drain.written = head.pos;
            self.written_lsn.store(head.lsn, Ordering::Release);
        }
        if self.options.durability == Durability::Process {
            drain.reader.release(drain.written);
        }
        Ok(())
    }

    fn sync(&self, drain: &mut Drain, head: Head) -> Result<(), WalError> {
        if head.pos > drain.synced {
            self.zero_ahead(drain, head.pos);
            drain.current.file.sync_named()?;
            self.sync_count.fetch_add(1, Ordering::Relaxed);
            self.publish_synced(drain, head);
        }
        Ok(())
    }

    pub(super) fn publish_synced(&self, drain: &mut Drain, head: Head) {
        drain.written = head.pos;
        drain.synced = head.pos;
        drain.synced_lsn = head.lsn;
        drain.synced_sum = head.sum;
        drain.reader.release(head.pos);
        drain.reader.mark_synced(head.lsn);
        self.written_lsn.store(head.lsn, Ordering::Release);
        self.synced_lsn.store(head.lsn, Ordering::Release);
        self.wake_loops();
    }

    /// A failed write or sync leaves the file's page cache lying, so what is not durable goes, from the ring, into a
    /// fresh segment. In `process` mode the ring may have been freed already; then there is nothing to repair with.
    fn repair(&self, drain: &mut MutexGuard<'_, Drain>, head: Head) -> Result<(), WalError> {
        if drain.reader.tail() > drain.synced {
            return Err(WalError::Poisoned("the ring no longer holds what was not synced".into()));
        }
        let ahead_bytes = (head.pos - drain.synced).max(RESERVE_LEAST_BYTES);
        let (first, second) = drain.reader.pending(drain.synced, head.pos);
        let fresh = self.fresh_segment(drain, ahead_bytes, [first, second])?;
        self.adopt(drain, fresh, 0);
        self.publish_synced(drain, head);
        self.repair_count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a segment that starts where the log is durable; a former one from there on no longer counts.
    pub(super) fn fresh_segment(
        &self,
        drain: &Drain,
        ahead_bytes: u64,
        contents: [&[u8]; 2],
    ) -> Result<Arc<Segment>, NotMade> {
        let replaces = drain.current.header.start == drain.synced;
        let header = SegmentHeader {
            store_id: drain.store_id,
            start: drain.synced,
            first_lsn: drain.synced_lsn + 1,
            generation: if replaces { drain.current.header.generation + 1 } else { 0 },
            prev_sum: drain.synced_sum,
            version: SEGMENT_VERSION,
        };
        Ok(Arc::new(Segment::create(&*self.env.disk, header, ahead_bytes, contents)?))
    }

    /// Goes on in `fresh`, of whose space appends may use `room_bytes`.
    pub(super) fn adopt(&self, drain: &mut Drain, fresh: Arc<Segment>, room_bytes: u64) {
        self.catalog.adopt(Arc::clone(&fresh));
        self.allocated_end.store(fresh.header.start + room_bytes, Ordering::Release);
        drain.ahead.begin(fresh.header.start);
        drain.current = fresh;
    }

    /// Goes on in a new segment; the current one is synced and stays as it is. When no new one can be made (a full
    /// disk), the current one grows on, unless the new one might still count at the next opening.
    pub(super) fn rotate(&self, drain: &mut Drain) {
        match self.fresh_segment(drain, self.ring_capacity + RESERVE_SPARE_BYTES, [&[], &[]]) {
            Ok(fresh) => {
                let sealed = Arc::clone(&drain.current);
                // Writers go on at once: the ring lets none of them further than this.
                self.adopt(drain, fresh, self.ring_capacity);
                // The space that was reserved and not needed. Where it cannot be given back it is only wasted.
                if let Err(e) = sealed.file.set_len_named(sealed.offset(drain.synced)) {
                    drain.refusal = Some(e.into());
                }
            }
            Err(refused) => {
                if refused.may_be_found {
                    self.set_poison(&refused.error);
                }
                drain.refusal = Some(refused.error);
            }
        }
    }

    /// Reserves segment space up to `wanted`, or as much as there is.
    pub(super) fn reserve(&self, drain: &mut Drain, wanted: Pos) {
        let mut have = self.allocated_end.load(Ordering::Acquire);
        let unit = RESERVE_STEP_BYTES.min(self.options.segment_bytes.next_multiple_of(RESERVE_LEAST_BYTES));
        let mut step = wanted.saturating_sub(have).next_multiple_of(unit);
        while have < wanted {
            match drain.current.file.allocate_named(drain.current.offset(have + step) + RESERVE_SPARE_BYTES) {
                Ok(()) => {
                    have += step;
                    self.allocated_end.store(have, Ordering::Release);
                    drain.refusal = None;
                }
                Err(e) if step <= RESERVE_LEAST_BYTES => {
                    drain.refusal = Some(e.into());
                    return;
                }
                Err(_) => step = (step / 2).next_multiple_of(RESERVE_LEAST_BYTES),
            }
        }
    }

    /// Waits until a commit of `bytes` may be tried again after [`super::Refused::Busy`].
    ///
    /// # Errors
    /// The disk is full, or the log is closed or poisoned.
    pub fn make_room(&self, bytes: usize) -> Result<(), WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let mut drain = held(&self.drain);
        let (end, room, status) = {
            let state = held(&self.append);
            (state.writer.head() + bytes as u64, state.writer.room(), state.status)
        };
        match status {
            Status::ReadOnly => return Err(WalError::ReadOnly),
            Status::Closed => return Err(WalError::Closed),
            Status::Gated => return Ok(()),
            Status::Open | Status::Poisoned => {}
        }
        if room < bytes as u64 {
            self.drain_locked(&mut drain, self.options.durability != Durability::Process)?;
        }
        if self.allocated_end.load(Ordering::Acquire) < end {
            self.reserve(&mut drain, end + RESERVE_LEAST_BYTES);
            if self.allocated_end.load(Ordering::Acquire) < end {
                return Err(drain.refusal.take().unwrap_or(WalError::Closed));
            }
        }
        Ok(())
    }

    /// Afterwards the record `lsn` and all before it are durable. One sync serves everybody who waits.
    ///
    /// # Errors
    /// They are not, and the log is poisoned.
    pub fn ensure_synced(&self, lsn: Lsn) -> Result<(), WalError> {
        if self.synced_lsn() >= lsn {
            return Ok(());
        }
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        // One of those who wait syncs for all. They wait here and not for the drain lock, which would let them go one
        // by one, the first of them into the next sync before the others have written.
        let mut leading = held(&self.sync_leading);
        while *leading {
            leading = self.sync_done.wait(leading).unwrap_or_else(|p| p.into_inner());
            if self.synced_lsn() >= lsn {
                return Ok(());
            }
        }
        *leading = true;
        drop(leading);
        let _leader = SyncLeader(self);
        self.ensure(lsn, true)
    }

    /// Afterwards the record `lsn` and all before it are in a segment: they survive the process.
    ///
    /// # Errors
    /// They may not, and the log is poisoned.
    pub fn ensure_written(&self, lsn: Lsn) -> Result<(), WalError> {
        self.ensure(lsn, false)
    }

    fn ensure(&self, lsn: Lsn, sync: bool) -> Result<(), WalError> {
        let reached = || if sync { self.synced_lsn() } else { self.written_lsn.load(Ordering::Acquire) } >= lsn;
        if reached() {
            return Ok(());
        }
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let mut drain = held(&self.drain);
        if reached() {
            return Ok(());
        }
        self.drain_locked(&mut drain, sync)
    }

    /// Makes everything appended so far durable; returns the last version that is.
    ///
    /// # Errors
    /// It is not, and the log is poisoned; or the log is closed.
    pub fn flush(&self) -> Result<Lsn, WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let lsn = {
            let state = held(&self.append);
            match state.status {
                Status::ReadOnly => return Err(WalError::ReadOnly),
                Status::Closed => return Err(WalError::Closed),
                Status::Open | Status::Gated | Status::Poisoned => state.last_lsn(),
            }
        };
        self.ensure_synced(lsn)?;
        Ok(self.synced_lsn())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::env::{Env, clock::SystemClock, mem::MemDisk};
    use crate::record::{Draft, Frame, Kind, Mark, StateClass};
    use crate::wal::{Refused, Replay, WalOptions};

    /// Of a log in which there is nothing yet.
    pub(in crate::wal) struct Empty;

    impl Replay for Empty {
        fn begin(&mut self, _: &[u8; 16], _: Pos) -> Result<Mark, WalError> {
            Ok(Mark::START)
        }

        fn apply(&mut self, _: &Frame<'_>, _: Pos) {}
    }

    fn opened(options: WalOptions) -> Arc<Wal> {
        let disk = Arc::new(MemDisk::new());
        let env = Env { disk, clock: Arc::new(SystemClock), threads: false, lasting: true };
        Wal::open(env, WalOptions { mapped_ring: Some(true), ..options }, &mut Empty).unwrap().0
    }

    #[test]
    fn small_segments_reserve_little() {
        let wal = opened(WalOptions { ring_bytes: 64 << 10, segment_bytes: 64 << 10, ..WalOptions::default() });
        let mut drain = held(&wal.drain);
        wal.drain_locked(&mut drain, true).unwrap();
        wal.rotate(&mut drain);
        let wanted = wal.allocated_end.load(Ordering::Acquire) + 1;
        wal.reserve(&mut drain, wanted);
        assert_eq!(wal.allocated_end.load(Ordering::Acquire) - drain.current.header.start, 128 << 10);
    }

    #[test]
    fn writers_go_on_at_once_behind_a_rotation_until_the_ring_is_full() {
        let wal = opened(WalOptions::default());
        let mut draft = Draft::of(Kind::Set, StateClass::Standard, b"s", b"key", &[7; 1000]);
        let bytes = draft.frame_len();
        let mut append = || {
            wal.append(bytes).map(|mut append| {
                append.push(&mut draft, 1, 0, 0);
                append.done();
            })
        };
        append().unwrap();
        let mut drain = held(&wal.drain);
        wal.drain_locked(&mut drain, true).unwrap();
        wal.rotate(&mut drain);
        // Nobody has reserved more yet: whoever asks has to wait for the one who holds the lock.
        let refused = std::iter::repeat_with(&mut append).find_map(Result::err);
        assert!(matches!(refused, Some(Refused::Busy)), "{refused:?}");
        assert!(held(&wal.append).writer.room() < bytes as u64);
        drop(drain);
        wal.make_room(bytes).unwrap();
        append().unwrap();
    }
}

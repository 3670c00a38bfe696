//! The checkpoint: snapshots are brought up to the durable end of the log, and the log before them goes.

use super::pins::Pins;
use super::{StoreError, StoreOptions};
use crate::checkpoint::{RedbSnapshot, Row, Rows, SNAPSHOT_DIR, SNAPSHOT_NAMES, Snapshot, SnapshotError};
use crate::env::{Disk, fork};
use crate::record::{Lsn, Mark, Pos};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, RwLock};
use crate::wal::{Retention, Wal, WalError};

/// Rows that go into a snapshot in one transaction. They are in memory meanwhile; fewer at a time make each page of the
/// file be written more often.
const ROWS_BYTES: usize = 8 << 20;
/// A segment with less than this is not worth a new one.
const SEAL_BYTES: u64 = 64 << 10;

/// The two snapshots, where they are open.
type Slots = [Option<Arc<RedbSnapshot>>; 2];

/// The two snapshots of a store.
pub(super) struct Snapshots {
    disk: Arc<dyn Disk>,
    lasting: bool,
    store_id: [u8; 16],
    fork_generation: u32,
    /// Held during a checkpoint: there is one at a time.
    slots: Mutex<Slots>,
    /// The newest.
    current: RwLock<Option<Arc<RedbSnapshot>>>,
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        if self.fork_generation != fork::generation() {
            // They are the parent's, whose threads may have held their locks.
            let slots = std::mem::take(self.slots.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()));
            let current = self.current.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            std::mem::forget((slots, current));
        }
    }
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to this version is in the snapshots.
    pub lsn: Lsn,
    /// Segments of the log that were removed.
    pub segment_count: usize,
}

impl Snapshots {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        lasting: bool,
        store_id: [u8; 16],
        chosen: Option<(usize, Arc<RedbSnapshot>)>,
    ) -> Self {
        let mut slots = [None, None];
        let current = chosen.as_ref().map(|(_, snapshot)| Arc::clone(snapshot));
        if let Some((slot, snapshot)) = chosen {
            slots[slot] = Some(snapshot);
        }
        Self {
            disk,
            lasting,
            store_id,
            fork_generation: fork::generation(),
            slots: Mutex::new(slots),
            current: RwLock::new(current),
        }
    }

    /// The newest snapshot.
    pub(super) fn current(&self) -> Option<Arc<RedbSnapshot>> {
        self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set_current(&self, snapshot: Option<Arc<RedbSnapshot>>) {
        *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = snapshot;
    }

    /// Until the guard is dropped no checkpoint is made, and nothing of the log is removed.
    pub(super) fn held(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Lets go of the files, after the checkpoint that is under way.
    pub(super) fn close(&self) {
        *self.held() = [None, None];
        self.set_current(None);
    }

    /// Opens what is there; one that does not hold goes, and a new one is made.
    fn ready(&self, slot: usize) -> Result<Arc<RedbSnapshot>, SnapshotError> {
        let (disk, name) = (&*self.disk, SNAPSHOT_NAMES[slot]);
        disk.create_dir(SNAPSHOT_DIR)?;
        if disk.exists(name)? {
            match RedbSnapshot::open(disk, name, self.store_id, false) {
                Err(SnapshotError::Damaged { .. }) => {}
                opened => return opened.map(Arc::new),
            }
        }
        self.anew(slot)
    }

    /// Whether the file holds what was written up to `mark`, every page and row of it. The bytes of its rows.
    fn verify(&self, slot: usize, mark: Mark, seed: u64) -> Result<u64, SnapshotError> {
        let name = SNAPSHOT_NAMES[slot];
        if !self.disk.exists(name)? {
            return Err(SnapshotError::Damaged { file: self.disk.path_of(name), what: "it is gone".into() });
        }
        let there = RedbSnapshot::open(&*self.disk, name, self.store_id, true)?;
        if there.mark() != mark {
            return Err(SnapshotError::Damaged { file: there.path(), what: "its last commit does not hold".into() });
        }
        let mut bytes = 0;
        there.for_each(seed, &mut |row| bytes += row.frame.bytes().len() as u64)?;
        Ok(bytes)
    }

    /// Makes an empty one in place of whatever is there.
    fn anew(&self, slot: usize) -> Result<Arc<RedbSnapshot>, SnapshotError> {
        let (disk, name) = (&*self.disk, SNAPSHOT_NAMES[slot]);
        if disk.exists(name)? {
            disk.remove(name)?;
        }
        RedbSnapshot::create(disk, name, self.store_id).map(Arc::new)
    }
}

/// Makes checkpoints of one store.
pub(super) struct Checkpointer {
    pub(super) wal: Arc<Wal>,
    pub(super) pins: Arc<Pins>,
    keep: Retention,
    /// A checkpoint is due when the log has grown by this much, or by half of what a snapshot holds if that is more.
    log_bytes: u64,
    /// What a snapshot holds: counted when it is verified, and until then no more than its file. The file alone does not
    /// tell: pages that are free keep it long, and with a longer wait for the next checkpoint it grows longer still.
    held_bytes: AtomicU64,
    pub(super) snapshots: Snapshots,
    /// Set once and for all by `close`: what is under way ends after its next transaction.
    closing: AtomicBool,
    count: AtomicU64,
    lsn: AtomicU64,
    /// How far the log had come when the last one was made.
    reached: AtomicU64,
}

impl Checkpointer {
    pub(super) fn new(wal: &Arc<Wal>, options: &StoreOptions, snapshots: Snapshots) -> Self {
        let lsn = snapshots.current().map_or(0, |snapshot| snapshot.mark().lsn);
        // Of a file that does not say how long it is the next checkpoint will say what is wrong.
        let held_bytes = snapshots.current().map_or(0, |snapshot| snapshot.len_bytes().unwrap_or(0));
        Self {
            wal: Arc::clone(wal),
            pins: Arc::new(Pins::holding(options.hold_lsn)),
            keep: options.keep,
            log_bytes: options.checkpoint_log_bytes,
            held_bytes: AtomicU64::new(held_bytes),
            snapshots,
            closing: AtomicBool::new(false),
            count: AtomicU64::new(0),
            lsn: AtomicU64::new(lsn),
            reached: AtomicU64::new(0),
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.wal.is_forked() {
            return Err(WalError::Forked.into());
        }
        if self.closing.load(Ordering::Acquire) { Err(WalError::Closed.into()) } else { Ok(()) }
    }

    /// Where in the log the next one is due.
    pub(super) fn due(&self) -> Pos {
        let mark = self.snapshots.current().map_or(Mark::START, |snapshot| snapshot.mark());
        let from = if self.snapshots.lasting {
            mark.pos
        } else {
            // The log goes a segment at a time: another attempt at what the last one could not let go is no use.
            let kept_to = self.wal.log_start() + self.keep.log_bytes.unwrap_or(0);
            kept_to.max(self.reached.load(Ordering::Relaxed))
        };
        from.saturating_add(self.log_bytes.max(self.held_bytes.load(Ordering::Relaxed) / 2))
    }

    /// Ends what is under way, waits for it and lets go of the files.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.snapshots.close();
    }

    /// How many were made since opening, and the version of the last one, of an earlier opening too.
    pub(super) fn figures(&self) -> (u64, Lsn) {
        (self.count.load(Ordering::Relaxed), self.lsn.load(Ordering::Relaxed))
    }

    /// See [`Store::checkpoint`].
    pub(super) fn run(&self) -> Result<Checkpoint, StoreError> {
        self.check()?;
        let mut slots = self.snapshots.held();
        self.check()?;
        let lsn = self.wal.seal(SEAL_BYTES)?;
        let reached = self.wal.end();
        let needed = if self.snapshots.lasting { self.bring_up(&mut slots, lsn)? } else { reached };
        let start = self.wal.start_for(needed, &self.keep)?;
        if self.snapshots.lasting && start > self.wal.log_start() {
            self.verify(&mut slots)?;
        }
        let segment_count = self.wal.trim(self.pins.let_go(start, &self.wal))?;
        self.reached.store(reached, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.lsn.store(lsn, Ordering::Relaxed);
        Ok(Checkpoint { lsn, segment_count })
    }

    /// Reads both snapshots back as an opening would: what is let go of the log is then nowhere else. One that does not
    /// hold is made anew the next time, from the other one.
    fn verify(&self, slots: &mut Slots) -> Result<(), StoreError> {
        let mut damage = None;
        for (slot, held) in slots.iter_mut().enumerate() {
            let Some(mark) = held.as_ref().map(|snapshot| snapshot.mark()) else { continue };
            match self.snapshots.verify(slot, mark, self.wal.seed()) {
                Ok(bytes) => {
                    self.held_bytes.store(bytes, Ordering::Relaxed);
                    self.snapshots.set_current(held.clone());
                }
                Err(e @ SnapshotError::Damaged { .. }) => (*held, damage) = (None, Some(e)),
                Err(e) => return Err(e.into()),
            }
        }
        damage.map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// Brings both snapshots up to version `target`; from where on the log is needed then. With one reading of the log where
    /// they are equally far, as they are unless a checkpoint was cut short or a file was lost.
    fn bring_up(&self, slots: &mut Slots, target: Lsn) -> Result<Pos, StoreError> {
        for slot in 0..slots.len() {
            self.make_ready(slots, slot)?;
        }
        let [a, b] = [0, 1].map(|slot| slots[slot].as_ref().map(|snapshot| snapshot.mark()));
        // The older one first: should it fail, the newer one is as good as before.
        let order = if a.map(|mark| mark.lsn) <= b.map(|mark| mark.lsn) { [0, 1] } else { [1, 0] };
        let done = if a == b {
            self.catch_up(slots, &order, target)
        } else {
            order.iter().try_for_each(|slot| self.catch_up(slots, &[*slot], target))
        };
        if let Some(newest) = slots.iter().flatten().max_by_key(|snapshot| snapshot.mark().lsn) {
            self.snapshots.set_current(Some(Arc::clone(newest)));
        }
        done?;
        let log_start = self.wal.log_start();
        let [a, b] = [0, 1].map(|slot| slots[slot].as_ref().map_or(log_start, |snapshot| snapshot.mark().pos));
        Ok(a.min(b))
    }

    /// Opens one that is not open. Afterwards the log goes on where it ends.
    fn make_ready(&self, slots: &mut Slots, slot: usize) -> Result<(), StoreError> {
        let snapshot = match slots[slot].take() {
            Some(snapshot) => snapshot,
            None => self.snapshots.ready(slot)?,
        };
        if snapshot.mark().pos >= self.wal.log_start() {
            slots[slot] = Some(snapshot);
            return Ok(());
        }
        // New or left behind. Of one that was left behind nothing may stay: what it has may have been removed since.
        drop(snapshot);
        let snapshot = self.snapshots.anew(slot)?;
        self.copy_current(&*snapshot)?;
        slots[slot] = Some(snapshot);
        Ok(())
    }

    /// Fills a new snapshot from the other one, where the log alone is not enough.
    fn copy_current(&self, to: &dyn Snapshot) -> Result<(), StoreError> {
        let Some(from) = self.snapshots.current() else {
            return Err(
                SnapshotError::Damaged { file: to.path(), what: "there is no other to fill it from".into() }.into()
            );
        };
        let (mut rows, mut bytes, log_start) = (Rows::new(), 0, self.wal.log_start());
        let mut filled: Result<(), StoreError> = Ok(());
        from.for_each(self.wal.seed(), &mut |row| {
            if filled.is_err() {
                return;
            }
            bytes += Row::put(&mut rows, row.pos, &row.frame);
            if bytes >= ROWS_BYTES {
                // It goes on counting as empty until all of it is there.
                let applied = to.apply(&std::mem::take(&mut rows), to.mark(), log_start);
                filled = applied.map_err(StoreError::from).and_then(|()| self.check());
                bytes = 0;
            }
        })?;
        filled?;
        Ok(to.apply(&rows, from.mark(), log_start)?)
    }

    /// Applies the log up to `target` to those of the snapshots that `which` names, which are equally far, in parts that
    /// each end with a commit. One that fails is opened anew the next time.
    fn catch_up(&self, slots: &mut Slots, which: &[usize], target: Lsn) -> Result<(), StoreError> {
        let Some(mut mark) = which.first().and_then(|slot| slots[*slot].as_ref()).map(|s| s.mark()) else {
            return Ok(());
        };
        let mut scan = self.wal.scan_from(&mark);
        let log_start: Pos = self.wal.log_start();
        let (mut rows, mut bytes) = (Rows::new(), 0);
        let mut checked = mark.pos;
        while mark.lsn < target {
            if mark.pos - checked >= ROWS_BYTES as u64 {
                // Few keys, changed again and again, fill no transaction, and a close need not wait for all of them.
                self.check()?;
                checked = mark.pos;
            }
            let ended = scan.next(|frame, pos| {
                if frame.kind.changes_entries() {
                    bytes += Row::put(&mut rows, pos, frame);
                }
                mark.pass(frame);
                frame.ends_commit()
            })?;
            match ended {
                Some(true) if bytes >= ROWS_BYTES || mark.lsn >= target => {
                    for slot in which {
                        let Some(snapshot) = slots[*slot].take() else { continue };
                        snapshot.apply(&rows, mark, log_start)?;
                        slots[*slot] = Some(snapshot);
                        self.check()?;
                    }
                    rows.clear();
                    bytes = 0;
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Env, mem::MemDisk};
    use crate::record::{Draft, Kind, StateClass};
    use crate::store::{Batch, Op, Store};

    fn write(store: &Store, value_bytes: usize) {
        for n in 0..200 {
            let key = format!("key{n}");
            let draft = Draft::of(Kind::Set, StateClass::Standard, b"s", key.as_bytes(), &vec![7; value_bytes]);
            let mut batch = Batch::default();
            batch.push(Op { map: store.scope(b"s"), draft, if_version: None });
            while store.batch(&mut batch).is_err() {
                store.make_room(value_bytes + 1000).unwrap();
            }
        }
    }

    /// By the length of the file, which free pages keep long, checkpoints became rarer for ever, and the log longer.
    #[test]
    fn the_next_checkpoint_is_due_by_what_a_snapshot_holds_and_not_by_how_long_its_file_is() {
        let env = Env { threads: false, lasting: true, disk: Arc::new(MemDisk::new()), ..Env::memory() };
        let log_bytes = 128 << 10;
        let keep = Retention { log_bytes: Some(0), age_us: 0 };
        let options = StoreOptions { keep, checkpoint_log_bytes: log_bytes, ..StoreOptions::default() };
        let store = Store::open(env, options).unwrap();
        let checkpointer = &store.keeper.checkpointer;
        let wait_bytes = || checkpointer.due() - checkpointer.snapshots.current().unwrap().mark().pos;
        write(&store, 10 << 10);
        store.checkpoint().unwrap();
        assert!((1_000_000..1_100_000).contains(&wait_bytes()), "{}: half of two megabytes", wait_bytes());
        write(&store, 1000);
        store.checkpoint().unwrap();
        assert!(checkpointer.snapshots.current().unwrap().len_bytes().unwrap() > 2 << 20, "the file is as long");
        assert_eq!(wait_bytes(), log_bytes);
    }

    #[test]
    fn a_close_waits_for_a_part_of_the_log_only_when_few_keys_fill_no_transaction() {
        let env = Env { threads: false, lasting: true, disk: Arc::new(MemDisk::new()), ..Env::memory() };
        let options = StoreOptions { checkpoint_log_bytes: 1 << 30, ..StoreOptions::default() };
        let store = Store::open(env, options).unwrap();
        for _ in 0..3 {
            write(&store, 30 << 10);
        }
        let checkpointer = &store.keeper.checkpointer;
        let lsn = store.wal.seal(SEAL_BYTES).unwrap();
        checkpointer.closing.store(true, Ordering::Release);
        let mut slots = checkpointer.snapshots.held();
        let refused = checkpointer.bring_up(&mut slots, lsn).map_err(|e| e.to_string());
        assert_eq!(refused, Err(WalError::Closed.to_string()));
        assert!(slots.iter().flatten().all(|snapshot| snapshot.mark() == Mark::START), "a transaction was made first");
    }
}

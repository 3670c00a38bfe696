//! The checkpoint: snapshots are brought up to the durable end of the log, and the log before them goes.

use super::pins::Pins;
use super::{StoreError, StoreOptions};
use crate::checkpoint::{Add, FORMER_NAMES, Row, Rows, SNAPSHOT_DIR, SNAPSHOT_NAMES, SnapshotError, SnapshotFile};
use crate::env::Disk;
use crate::record::{Lsn, Mark, Pos};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering, RwLock};
use crate::wal::{Retention, Wal, WalError};

/// Rows that go into a snapshot at once. They are in memory meanwhile; fewer at a time make more runs.
const ROWS_BYTES: usize = 8 << 20;
/// A segment with less than this is not worth a new one.
const SEAL_BYTES: u64 = 64 << 10;

/// The two snapshots, where they are open.
type Slots = [Option<Arc<SnapshotFile>>; 2];

/// The two snapshots of a store.
pub(super) struct Snapshots {
    disk: Arc<dyn Disk>,
    lasting: bool,
    store_id: [u8; 16],
    /// Held during a checkpoint: there is one at a time.
    slots: Mutex<Slots>,
    /// The newest.
    current: RwLock<Option<Arc<SnapshotFile>>>,
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
        chosen: Option<(usize, Arc<SnapshotFile>)>,
    ) -> Self {
        let mut slots = [None, None];
        let current = chosen.as_ref().map(|(_, snapshot)| Arc::clone(snapshot));
        if let Some((slot, snapshot)) = chosen {
            slots[slot] = Some(snapshot);
        }
        Self { disk, lasting, store_id, slots: Mutex::new(slots), current: RwLock::new(current) }
    }

    /// The newest snapshot.
    pub(super) fn current(&self) -> Option<Arc<SnapshotFile>> {
        self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn set_current(&self, snapshot: Option<Arc<SnapshotFile>>) {
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

    /// Opens what is there, if every row of it holds and it goes as far as the log begins; else nothing of it may stay: what
    /// it has may have been removed since. A new one has what the newest has.
    fn ready(&self, slot: usize, log_start: Pos, go_on: &dyn Fn() -> bool) -> Result<Arc<SnapshotFile>, SnapshotError> {
        let (disk, name, id) = (&*self.disk, SNAPSHOT_NAMES[slot], self.store_id);
        disk.create_dir(SNAPSHOT_DIR)?;
        if disk.exists(name)? {
            match SnapshotFile::open(disk, name, id, true) {
                Ok(there) if there.mark().pos >= log_start => return Ok(Arc::new(there)),
                Ok(_) | Err(SnapshotError::Damaged { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        let made = match self.current() {
            Some(from) => {
                let mut fill = |add: &mut Add<'_>| from.pour(&Rows::new(), log_start, add);
                SnapshotFile::create_from(disk, name, id, from.mark(), &mut fill, go_on)?
            }
            None if log_start == Mark::START.pos => SnapshotFile::create(disk, name, id)?,
            None => {
                let what = "there is no other to fill it from".into();
                return Err(SnapshotError::Damaged { file: disk.path_of(name), what });
            }
        };
        if disk.exists(FORMER_NAMES[slot])? {
            disk.remove(FORMER_NAMES[slot])?;
        }
        Ok(Arc::new(made))
    }

    /// Whether the file holds what was written up to `mark`, every row of it.
    fn verify(&self, slot: usize, mark: Mark) -> Result<(), SnapshotError> {
        let damage = |what: &str| {
            let file = self.disk.path_of(SNAPSHOT_NAMES[slot]);
            Err(SnapshotError::Damaged { file, what: what.into() })
        };
        if !self.disk.exists(SNAPSHOT_NAMES[slot])? {
            return damage("it is gone");
        }
        match SnapshotFile::verify(&*self.disk, SNAPSHOT_NAMES[slot], self.store_id)? == mark {
            true => Ok(()),
            false => damage("its last run does not hold"),
        }
    }
}

/// Makes checkpoints of one store.
pub(super) struct Checkpointer {
    pub(super) wal: Arc<Wal>,
    pub(super) pins: Arc<Pins>,
    keep: Retention,
    /// A checkpoint is due when the log has grown by this much, or by half of what a snapshot holds if that is more.
    log_bytes: u64,
    pub(super) snapshots: Snapshots,
    /// Set once and for all by `close`: what is under way ends at its next write.
    closing: AtomicBool,
    count: AtomicU64,
    lsn: AtomicU64,
    /// How far the log had come when the last one was made.
    reached: AtomicU64,
}

impl Checkpointer {
    pub(super) fn new(wal: &Arc<Wal>, options: &StoreOptions, snapshots: Snapshots) -> Self {
        let lsn = snapshots.current().map_or(0, |snapshot| snapshot.mark().lsn);
        Self {
            wal: Arc::clone(wal),
            pins: Arc::new(Pins::holding(options.hold_lsn)),
            keep: options.keep,
            log_bytes: options.checkpoint_log_bytes,
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
        let (mark, held_bytes) =
            self.snapshots.current().map_or((Mark::START, 0), |snapshot| (snapshot.mark(), snapshot.held_bytes()));
        let from = if self.snapshots.lasting {
            mark.pos
        } else {
            // The log goes a segment at a time: another attempt at what the last one could not let go is no use.
            let kept_to = self.wal.log_start() + self.keep.log_bytes.unwrap_or(0);
            kept_to.max(self.reached.load(Ordering::Relaxed))
        };
        from.saturating_add(self.log_bytes.max(held_bytes / 2))
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
            match self.snapshots.verify(slot, mark) {
                Ok(()) => self.snapshots.set_current(held.clone()),
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

    /// Opens one that is not open, or makes it. Afterwards the log goes on where it ends.
    fn make_ready(&self, slots: &mut Slots, slot: usize) -> Result<(), StoreError> {
        let log_start = self.wal.log_start();
        let is_ready = slots[slot].as_ref().is_some_and(|snapshot| snapshot.mark().pos >= log_start);
        if !is_ready {
            slots[slot] = Some(self.snapshots.ready(slot, log_start, &|| self.check().is_ok())?);
        }
        Ok(())
    }

    /// Applies the log up to `target` to those of the snapshots that `which` names, which are equally far, in parts that
    /// each end with a commit. One that turns out to be damaged is made anew the next time.
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
                // Few keys, changed again and again, are no rows to write for long, and a close need not wait for all of them.
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
                        let go_on = || self.check().is_ok();
                        let applied = snapshot.apply(&*self.snapshots.disk, &rows, mark, log_start, &go_on);
                        if !matches!(applied, Err(SnapshotError::Damaged { .. })) {
                            slots[*slot] = Some(snapshot);
                        }
                        applied?;
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
    use crate::wal::WalOptions;

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

    /// And a snapshot holds at most half as much again as there is.
    #[test]
    fn the_next_checkpoint_is_due_by_what_a_snapshot_holds() {
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
        for _ in 0..5 {
            write(&store, 1000);
            store.checkpoint().unwrap();
            assert!(wait_bytes() < 1_600_000, "{}: half as much again", wait_bytes());
        }
        assert_eq!(wait_bytes(), log_bytes);
    }

    #[test]
    fn a_close_waits_for_a_part_of_the_log_only_when_few_keys_are_set_again_and_again() {
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
        assert!(slots.iter().flatten().all(|snapshot| snapshot.mark() == Mark::START), "something was written first");
    }
    /// A snapshot that was filled from the other one was filled to its end, however large, before a close came back.
    #[test]
    fn a_close_does_not_wait_for_a_whole_snapshot() {
        let env = Env { threads: false, lasting: true, disk: Arc::new(MemDisk::new()), ..Env::memory() };
        let keep = Retention { log_bytes: Some(0), age_us: 0 };
        let wal = WalOptions { segment_bytes: 1 << 20, ..WalOptions::default() };
        let store = Store::open(env, StoreOptions { keep, ..wal.into() }).unwrap();
        write(&store, 30 << 10);
        store.checkpoint().unwrap();
        let checkpointer = &store.keeper.checkpointer;
        let snapshots = &checkpointer.snapshots;
        snapshots.disk.remove(SNAPSHOT_NAMES[1]).unwrap();
        checkpointer.closing.store(true, Ordering::Release);
        let mut slots = [snapshots.held()[0].clone(), None];
        let refused = checkpointer.make_ready(&mut slots, 1).map_err(|e| e.to_string());
        assert_eq!(refused, Err(WalError::Closed.to_string()));
        assert!(slots[1].is_none());
        let names = snapshots.disk.list(SNAPSHOT_DIR).unwrap();
        assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
    }
}

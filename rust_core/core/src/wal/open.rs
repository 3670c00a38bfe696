//! Opening and closing: lock, manifest, recovery, ring, background thread, and the way back.

use super::ahead::Ahead;
use super::append::{AppendState, Status};
use super::catalog::Catalog;
use super::drain::Drain;
use super::look::Opener;
use super::manifest::{MANIFEST, Manifest};
use super::recover::{Replay, recover};
use super::report::RecoveryReport;
use super::ring::{RING_HEADER_BYTES, Ring, ring_header};
use super::segment::{SEGMENT_DIR, Segment};
use super::skip::skip_lost;
use super::{Damage, Durability, Wal, WalError, WalOptions, background, held};
use crate::env::disk::closed_file;
use crate::env::map::HeapRegion;
use crate::env::thread::monotonic_ms;
use crate::env::{Disk, Env, OpenHow, fork};
use crate::record::LOG_START;
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, OnceLock, WriteToken};

pub(super) const RING: &str = "ring";
pub(super) const LOCK: &str = "LOCK";
/// Least size of the ring and of a segment that people may ask for.
const LEAST_BYTES: u64 = 64 << 10;
/// Least size of both that the engine can do with; simulations go around and over sooner with it.
const POSSIBLE_BYTES: u64 = 4096;

impl WalOptions {
    /// Whether every option is in the range that people may ask for.
    ///
    /// # Errors
    /// [`WalError::BadOption`] names the first that is not.
    pub fn check(&self) -> Result<(), WalError> {
        self.check_from(LEAST_BYTES)
    }

    fn check_from(&self, least_bytes: u64) -> Result<(), WalError> {
        let bad = |what: &str| Err(WalError::BadOption(what.to_owned()));
        if self.ring_bytes < least_bytes || self.ring_bytes > 1 << 30 || !self.ring_bytes.is_multiple_of(4096) {
            return bad("ring_bytes must be a multiple of 4096 from 65,536 to 1,073,741,824");
        }
        if self.segment_bytes < least_bytes || self.segment_bytes > 1 << 40 {
            return bad("segment_bytes must be from 65,536 to 1,099,511,627,776");
        }
        if !(1..=60_000).contains(&self.interval_ms) {
            return bad("interval_ms must be from 1 to 60,000");
        }
        Ok(())
    }
}

fn load_or_found(env: &Env) -> Result<Manifest, WalError> {
    let disk = &*env.disk;
    if let Some(manifest) = Manifest::load(disk)? {
        if manifest.epoch == 0 {
            // A founding that was killed may have named it without having synced the directory, and segments follow.
            disk.sync_dir("")?;
        }
        return Ok(manifest);
    }
    // The manifest is the first thing that a store has, so a log without one has lost it.
    if disk.exists(RING)? || !disk.list(SEGMENT_DIR)?.is_empty() {
        return Err(Damage::new(&disk.path_of(MANIFEST), 0, 0, "the manifest is missing").into());
    }
    let manifest = Manifest {
        store_id: disk.unique_id()?,
        epoch: 0,
        clean: true,
        mapped: false,
        end: LOG_START,
        end_lsn: 0,
        incarnation: disk.incarnation()?,
        created_us: env.clock.now_us(),
        log_start: LOG_START,
        unsynced_max: 0,
    };
    manifest.store(disk)?;
    Ok(manifest)
}

/// The ring that the last opening left, when it may hold records.
fn former_ring(disk: &dyn Disk, known: &Manifest) -> Result<Option<Ring>, WalError> {
    if !known.mapped {
        return Ok(None);
    }
    let lost = |what: &str| -> WalError { Damage::new(&disk.path_of(RING), 0, known.end_lsn, what).into() };
    if !disk.exists(RING)? {
        return if known.clean { Ok(None) } else { Err(lost("the ring is missing")) };
    }
    let len = disk.open(RING, OpenHow::Read)?.len_named()?;
    let opened = if len > RING_HEADER_BYTES as u64 {
        Ring::open(disk.map(RING, len as usize)?, &known.store_id)
    } else {
        Err("the ring is cut off")
    };
    match opened {
        Ok(ring) => Ok(Some(ring)),
        // After a clean close the ring holds nothing that the segments do not.
        Err(_) if known.clean => Ok(None),
        Err(what) => Err(lost(what)),
    }
}

/// A ring of the wanted size, the former one where it fits.
fn ready_ring(disk: &dyn Disk, known: &Manifest, former: Option<Ring>, options: &WalOptions) -> Result<Ring, WalError> {
    // Of an opening that was interrupted, also where this one makes no ring.
    let temporary = format!("{RING}.tmp");
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    if !known.mapped {
        let mut memory = ring_header(&known.store_id, options.ring_bytes);
        memory.resize(RING_HEADER_BYTES + options.ring_bytes as usize, 0);
        let region = HeapRegion::from_bytes(&memory, memory.len());
        return Ring::open(Box::new(region), &known.store_id).map_err(|e| WalError::NotAStore(e.to_owned()));
    }
    if let Some(ring) = former.filter(|ring| ring.capacity() == options.ring_bytes) {
        return Ok(ring);
    }
    let file = disk.open(&temporary, OpenHow::Create)?;
    let len = RING_HEADER_BYTES as u64 + options.ring_bytes;
    let made = file.allocate_named(len).and_then(|()| {
        // In 4 KiB writes: one large write would leave large page-cache folios behind that make small stores slow.
        for at in (0..len).step_by(4096) {
            file.write_all_at(&[0; 4096], at)?;
        }
        file.write_all_at(&ring_header(&known.store_id, options.ring_bytes), 0)?;
        file.sync_named()
    });
    if let Err(e) = made {
        // The space is wanted back at once; should this fail too, the next opening removes the file.
        disk.remove(&temporary).ok();
        return Err(e.into());
    }
    disk.rename(&temporary, RING)?;
    disk.sync_dir("")?;
    let region = disk.map(RING, len as usize)?;
    Ring::open(region, &known.store_id).map_err(|e| WalError::NotAStore(e.to_owned()))
}

impl Wal {
    /// Opens the log of a directory, making it when there is none, and hands each record to `replay`, in order, from where
    /// it says.
    ///
    /// Afterwards the directory is locked, everything recovered is durable, and appends are taken.
    ///
    /// # Errors
    /// Locked, damaged, refused by the system, or options out of range.
    ///
    /// # Cost
    /// One sequential read of the log, four syncs.
    pub fn open(
        env: Env,
        options: WalOptions,
        replay: &mut dyn Replay,
    ) -> Result<(Arc<Self>, RecoveryReport), WalError> {
        Self::open_as(env, options, replay, Opener::Writer)
    }

    pub(super) fn open_as(
        env: Env,
        options: WalOptions,
        replay: &mut dyn Replay,
        opener: Opener,
    ) -> Result<(Arc<Self>, RecoveryReport), WalError> {
        options.check_from(POSSIBLE_BYTES)?;
        fork::watch();
        let started_ms = monotonic_ms();
        let disk = Arc::clone(&env.disk);
        let lock = disk.lock(LOCK).map_err(|refused| WalError::from_lock(disk.path_of(""), refused))?;
        let known = load_or_found(&env)?;
        let no_more = || Damage::new(&disk.path_of(MANIFEST), 12, known.end_lsn, "no opening can come after this one");
        let epoch = known.epoch.checked_add(1).ok_or_else(no_more)?;
        disk.create_dir(SEGMENT_DIR)?;
        let mut former = former_ring(&*disk, &known)?;
        let mut recovered = recover(&*disk, &known, former.as_mut(), replay, opener)?;
        if opener == Opener::Writer {
            skip_lost(&env, &known, &mut recovered)?;
        }
        let end = recovered.end;
        let manifest = Manifest {
            epoch,
            clean: false,
            mapped: options.mapped_ring.map_or_else(|| disk.maps_are_trusted(), Ok)?,
            end: end.pos,
            end_lsn: end.lsn,
            incarnation: disk.incarnation()?,
            unsynced_max: options.unsynced_max(),
            ..known
        };
        let mut ring = ready_ring(&*disk, &manifest, former, &options)?;
        manifest.store(&*disk)?;
        ring.begin_marks(manifest.epoch, end.lsn);
        let ring_capacity = ring.capacity();
        let (writer, reader) = ring.split(end.pos);
        let current = Arc::new(recovered.last);
        let append = AppendState {
            writer,
            next_lsn: end.lsn + 1,
            prev_sum: end.sum,
            status: if opener == Opener::Writer { Status::Open } else { Status::ReadOnly },
            thread_idle: false,
            thread_told: false,
            token: WriteToken::new(),
        };
        let drain = Drain {
            reader,
            current: Arc::clone(&current),
            written: end.pos,
            synced: end.pos,
            synced_lsn: end.lsn,
            synced_sum: end.sum,
            ahead: Ahead::default(),
            store_id: manifest.store_id,
            refusal: None,
        };
        let wal = Arc::new(Self {
            options,
            mapped: manifest.mapped,
            seed: manifest.seed(),
            epoch: manifest.epoch,
            fork_generation: fork::generation(),
            manifest: Mutex::new(manifest),
            ring_capacity,
            append: Mutex::new(append),
            drain: Mutex::new(drain),
            catalog: Catalog::new(recovered.headers, current),
            allocated_end: AtomicU64::new(end.pos),
            written_lsn: AtomicU64::new(end.lsn),
            synced_lsn: AtomicU64::new(end.lsn),
            sync_count: AtomicU64::new(0),
            repair_count: AtomicU64::new(0),
            sync_leading: Mutex::new(false),
            sync_done: Condvar::new(),
            poison: OnceLock::new(),
            wakers: Mutex::default(),
            background: background::Slot::default(),
            feed: Default::default(),
            growth_alarm: OnceLock::new(),
            ring_at: AtomicU64::new(u64::MAX),
            lock: Mutex::new(Some(lock)),
            has_gaps: AtomicBool::new(false),
            env,
        });
        // A first drain of nothing seals a full last segment and reserves space.
        wal.drain(false)?;
        if wal.env.threads {
            wal.start_background().map_err(|source| crate::env::IoError {
                op: "start a thread for",
                path: disk.path_of(""),
                source,
            })?;
        }
        let report = RecoveryReport { duration_ms: monotonic_ms() - started_ms, ..recovered.report };
        Ok((wal, report))
    }

    /// Takes no more appends, makes everything durable, gives the directory up. Closing twice is nothing; whoever closes
    /// while another thread does waits until that is done.
    ///
    /// # Errors
    /// Something could not be made durable: the log was, or now is, poisoned. The directory is given up all the same.
    pub fn close(&self) -> Result<(), WalError> {
        if self.is_forked() {
            return Ok(());
        }
        // Held all the while, so that a second closer does not return before the first is done.
        let mut lock = held(&self.lock);
        {
            let mut state = held(&self.append);
            if state.status == Status::Closed {
                return Ok(());
            }
            state.status = Status::Closed;
        }
        let thread_was_well = self.background.stop();
        let mut drain = held(&self.drain);
        let closed = self.drain_locked(&mut drain, true).and_then(|()| self.leave_clean(&drain));
        self.let_go(&mut drain);
        lock.take();
        closed?;
        if thread_was_well { Ok(()) } else { Err(WalError::Poisoned("the background thread panicked".into())) }
    }

    /// Unmaps the ring and closes every file: whoever still holds the log holds memory only.
    fn let_go(&self, drain: &mut Drain) {
        {
            let mut state = held(&self.append);
            (state.writer, drain.reader) = Ring::gone(state.writer.head());
        }
        let header = drain.current.header;
        drain.current = Arc::new(Segment { header, file: closed_file(drain.current.file.path()) });
        self.catalog.clear();
        held(&self.wakers).clear();
    }

    /// Gives reserved space back and notes in the manifest that the log ends here.
    fn leave_clean(&self, drain: &Drain) -> Result<(), WalError> {
        drain.current.file.set_len_named(drain.current.offset(drain.written))?;
        drain.current.file.sync_named()?;
        let mut manifest = held(&self.manifest);
        *manifest = Manifest { clean: true, end: drain.synced, end_lsn: drain.synced_lsn, ..*manifest };
        manifest.store(&*self.env.disk)
    }
}

/// Whether the durability needs a sync before each acknowledgement.
impl Durability {
    /// The word, as users write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Interval => "interval",
            Self::Sync => "sync",
        }
    }

    /// The durability that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Process, Self::Interval, Self::Sync].into_iter().find(|d| d.word() == word)
    }
}

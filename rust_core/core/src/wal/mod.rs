//! The log: the only write. An acknowledged record is in the ring, then in a segment, then durable in it.
//!
//! `append` gives out versions under the append lock and copies frames into the ring; `drain` moves them to segments
//! and syncs under a lock of its own, so no writer ever waits for a sync that it did not ask for; `open` and `recover`
//! rebuild everything from the files; `read` gets single records back. See `docs/format.md` for the bytes.

mod ahead;
mod append;
mod background;
mod big;
mod catalog;
mod damage;
mod drain;
mod feed;
mod findings;
mod look;
mod manifest;
mod open;
mod read;
mod recover;
mod report;
mod retention;
mod ring;
mod segment;
mod skip;
mod survey;

use std::fmt;

use crate::env::thread::Alarm;
use crate::env::wake::Waker;
use crate::env::{Env, fork};
use crate::record::{Lsn, Pos};
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard, OnceLock, Ordering};

pub use append::{Append, Refused};
pub use damage::{Damage, WalError};
pub use look::{Opener, is_written, manifest_bytes};
pub use read::Scan;
pub use recover::Replay;
pub use report::RecoveryReport;
pub use retention::Retention;
pub use survey::{Reach, Survey, store_id, survey};

/// When a write is acknowledged, and what it then survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// In the ring: survives the process. After a power loss, what the kernel had written back.
    Process,
    /// In the ring: survives the process. After a power loss, all but the last interval, always a prefix.
    Interval,
    /// After the sync that covers it: survives a power loss.
    Sync,
}

/// How a log is set up.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// When writes are acknowledged.
    pub durability: Durability,
    /// Longest time between syncs for [`Durability::Interval`]; also how often the ring is drained otherwise.
    pub interval_ms: u64,
    /// Data bytes of the ring; a multiple of 4096.
    pub ring_bytes: u64,
    /// A segment is sealed once it is at least this long.
    pub segment_bytes: u64,
    /// Whether to acknowledge from a mapped ring; None asks the file system. Without, each write is one pwrite.
    pub mapped_ring: Option<bool>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Interval,
            interval_ms: 20,
            ring_bytes: 4 << 20,
            segment_bytes: 64 << 20,
            mapped_ring: None,
        }
    }
}

/// The open log of one store.
pub struct Wal {
    env: Env,
    options: WalOptions,
    /// Whether the ring survives the process, so that a write is acknowledged from there.
    mapped: bool,
    seed: u64,
    epoch: u32,
    fork_generation: u32,
    manifest: Mutex<manifest::Manifest>,
    ring_capacity: u64,
    append: Mutex<append::AppendState>,
    drain: Mutex<drain::Drain>,
    catalog: catalog::Catalog,
    /// Stream position up to which segment space is certain.
    allocated_end: AtomicU64,
    written_lsn: AtomicU64,
    synced_lsn: AtomicU64,
    sync_count: AtomicU64,
    repair_count: AtomicU64,
    /// Whether one of those who wait for a sync is doing it.
    sync_leading: Mutex<bool>,
    sync_done: Condvar,
    poison: OnceLock<Arc<str>>,
    wakers: Mutex<Vec<Waker>>,
    background: background::Slot,
    feed: feed::Feed,
    /// Rung once the stream has reached `ring_at`.
    growth_alarm: OnceLock<Alarm>,
    ring_at: AtomicU64,
    lock: Mutex<Option<Box<dyn Send + Sync>>>,
    /// Whether versions may be missing between records.
    has_gaps: AtomicBool,
}

/// Figures of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Last version given out.
    pub last_lsn: Lsn,
    /// Last version known durable.
    pub synced_lsn: Lsn,
    /// Stream bytes ever written.
    pub stream_bytes: u64,
    /// Of these, the ones that segments still hold.
    pub kept_bytes: u64,
    /// Segment files.
    pub segment_count: usize,
    /// Bytes in the ring that are not freed yet.
    pub ring_used_bytes: u64,
    /// Size of the ring.
    pub ring_bytes: u64,
    /// Syncs since opening.
    pub sync_count: u64,
    /// Failed syncs repaired by writing the records to a fresh segment.
    pub repair_count: u64,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a lock was held leaves the counters as they were: every change to them is a plain store at the end.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Wal {
    /// Last version known durable.
    pub fn synced_lsn(&self) -> Lsn {
        self.synced_lsn.load(Ordering::Acquire)
    }

    /// The options in force.
    pub fn options(&self) -> &WalOptions {
        &self.options
    }

    /// The store's id.
    pub fn store_id(&self) -> [u8; 16] {
        held(&self.manifest).store_id
    }

    /// What its frames are seeded with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The environment that it runs on.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Whether this process is a fork of the one that opened the log. Cost: one relaxed load.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.fork_generation != fork::generation()
    }

    /// Why nothing more is acknowledged, when that is so.
    pub fn poisoned(&self) -> Option<WalError> {
        self.poison.get().map(|why| WalError::Poisoned(Arc::clone(why)))
    }

    fn set_poison(&self, why: &dyn fmt::Display) -> WalError {
        let why = self.poison.get_or_init(|| why.to_string().into());
        held(&self.append).refuse_from_now_on(append::Status::Poisoned);
        self.wake_loops();
        self.feed.wake();
        WalError::Poisoned(Arc::clone(why))
    }

    /// Figures.
    pub fn stats(&self) -> WalStats {
        // The durable version first: read later it might be above the last one.
        let synced_lsn = self.synced_lsn();
        let (head, ring_used_bytes, last_lsn) = {
            let state = held(&self.append);
            (state.writer.head(), state.writer.used(), state.last_lsn())
        };
        let start = self.catalog.first().map_or(head, |first| first.start);
        WalStats {
            last_lsn,
            synced_lsn,
            stream_bytes: head - crate::record::LOG_START,
            kept_bytes: head.saturating_sub(start),
            segment_count: self.catalog.len(),
            ring_used_bytes,
            ring_bytes: self.ring_capacity,
            sync_count: self.sync_count.load(Ordering::Relaxed),
            repair_count: self.repair_count.load(Ordering::Relaxed),
        }
    }

    /// Where the stream ends now.
    pub fn end(&self) -> Pos {
        held(&self.append).writer.head()
    }

    /// Adds a descriptor to be made readable after each sync and when the log is poisoned.
    pub fn add_waker(&self, waker: Waker) {
        held(&self.wakers).push(waker);
    }

    /// Whom to ring when the log has grown. Set once.
    pub fn set_growth_alarm(&self, alarm: Alarm) {
        self.growth_alarm.get_or_init(|| alarm);
    }

    /// Rings the growth alarm once a drain finds the stream at `pos` or beyond.
    pub fn ring_at(&self, pos: Pos) {
        self.ring_at.store(pos, Ordering::SeqCst);
    }

    /// Rings it now.
    pub fn ring_growth_alarm(&self) {
        if let Some(alarm) = self.growth_alarm.get() {
            alarm.ring();
        }
    }

    fn note_growth(&self, head: drain::Head) {
        self.feed.note(head);
        let pos = head.pos;
        if pos >= self.ring_at.load(Ordering::SeqCst) {
            self.ring_at.store(Pos::MAX, Ordering::SeqCst);
            self.ring_growth_alarm();
        }
    }

    fn wake_loops(&self) {
        held(&self.wakers).retain(Waker::wake);
    }
}

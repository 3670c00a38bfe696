//! The thread that gives expired entries their record. It starts with the first entry that expires and sleeps without a
//! timer while there is none.

use super::StoreError;
use super::expire::{Step, step};
use crate::env::thread::{Alarm, Background, park, park_ms};
use crate::index::Index;
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, OnceLock, Ordering, Weak};
use crate::wal::{Wal, WalError};

/// Least time between two looks, so that what expires at about the same time is done in one go.
const PACE_US: u64 = 20_000;
/// Longest sleep while something is going to expire: the wall clock may be set forward meanwhile.
const LONGEST_SLEEP_US: u64 = 60_000_000;
/// How long after a failure (a full disk) it tries again.
const RETRY_MS: u64 = 1000;

/// The thread's owner: the store, alone. The thread holds it weakly, so that a dropped store ends it.
pub(super) struct Reaper {
    wal: Arc<Wal>,
    index: Arc<Index>,
    alarm: OnceLock<Alarm>,
    thread: Mutex<Option<Background>>,
    stop: AtomicBool,
    /// By when the thread looks at the schedule by itself.
    looks_us: AtomicU64,
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.ring();
    }
}

impl Reaper {
    pub(super) fn new(wal: &Arc<Wal>, index: &Arc<Index>) -> Arc<Self> {
        Arc::new(Self {
            wal: Arc::clone(wal),
            index: Arc::clone(index),
            alarm: OnceLock::new(),
            thread: Mutex::default(),
            stop: AtomicBool::new(false),
            looks_us: AtomicU64::new(u64::MAX),
        })
    }

    fn thread(&self) -> MutexGuard<'_, Option<Background>> {
        self.thread.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn ring(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.ring();
        }
    }

    /// Sees to it that the thread wakes in time for the first entry to expire. Called after an entry that expires came.
    pub(super) fn note(self: &Arc<Self>) {
        let Some(first_us) = self.index.schedule().first_us() else { return };
        if first_us.saturating_add(PACE_US) >= self.looks_us.load(Ordering::SeqCst) || !self.wal.env().threads {
            return;
        }
        if self.alarm.get().is_none() {
            self.start();
        }
        self.ring();
    }

    fn start(self: &Arc<Self>) {
        let mut thread = self.thread();
        if thread.is_some() || self.stop.load(Ordering::Acquire) {
            return;
        }
        let weak = Arc::downgrade(self);
        // When the system refuses another thread, the next entry that expires tries again. Readers see no difference.
        if let Ok(started) = Background::start("spellkeep-expire", move || run(&weak)) {
            self.alarm.get_or_init(|| started.alarm());
            *thread = Some(started);
        }
    }

    /// Ends the thread and waits for it. False when it had panicked.
    pub(super) fn stop(&self) -> bool {
        let thread = {
            let mut thread = self.thread();
            self.stop.store(true, Ordering::Release);
            thread.take()
        };
        thread.is_none_or(Background::join)
    }

    /// Does what is due; how long to sleep then, in milliseconds. None: until rung.
    fn turn(&self) -> Option<u64> {
        match step(&self.wal, &self.index) {
            Ok(Step::Wrote(_)) => return Some(0),
            Ok(Step::Busy) => return Some(1),
            Ok(Step::Idle) => {}
            // Every caller is told so; there is nothing more to write.
            Err(StoreError::Wal(WalError::Closed | WalError::Forked | WalError::Poisoned(_))) => return None,
            // A full disk: nobody else will say when there is space again.
            Err(_) => return Some(RETRY_MS),
        }
        let now_us = self.index.clock().now_us();
        let first_us = self.index.schedule().first_us();
        let looks_us =
            first_us.map_or(u64::MAX, |first_us| first_us.clamp(now_us + PACE_US, now_us + LONGEST_SLEEP_US));
        self.looks_us.store(looks_us, Ordering::SeqCst);
        // Whoever noted an earlier one before that store did not ring.
        if self.index.schedule().first_us() != first_us {
            return Some(0);
        }
        first_us.map(|_| (looks_us - now_us).div_ceil(1000))
    }
}

fn run(weak: &Weak<Reaper>) {
    loop {
        let Some(reaper) = weak.upgrade() else { return };
        if reaper.stop.load(Ordering::Acquire) || reaper.wal.is_forked() {
            return;
        }
        // While it is at work it looks again before it sleeps.
        reaper.looks_us.store(0, Ordering::SeqCst);
        let sleep_ms = reaper.turn();
        drop(reaper);
        match sleep_ms {
            Some(0) => {}
            Some(sleep_ms) => park_ms(sleep_ms),
            None => park(),
        }
    }
}

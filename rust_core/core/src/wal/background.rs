//! The background thread: syncs every interval while there is something to sync, sleeps while there is not.

use super::append::Status;
use super::{Durability, Wal, held};
use crate::env::thread::{Alarm, Background, monotonic_ms, park, park_ms};
use crate::sync::{Arc, AtomicBool, Mutex, OnceLock, Ordering, Weak};

/// The thread of a log, once started.
#[derive(Default)]
pub(super) struct Slot {
    alarm: OnceLock<Alarm>,
    thread: Mutex<Option<Background>>,
    stop: AtomicBool,
    sync_requested: AtomicBool,
}

impl Slot {
    pub(super) fn wake(&self) {
        if let Some(alarm) = self.alarm.get() {
            alarm.ring();
        }
    }

    /// Ends the thread and waits for it. False when it had panicked.
    pub(super) fn stop(&self) -> bool {
        self.stop.store(true, Ordering::Release);
        self.wake();
        held(&self.thread).take().is_none_or(Background::join)
    }
}

impl Drop for Slot {
    /// The log is gone by now, so that the thread, once awake, ends. It is not joined: it may be the one that drops.
    fn drop(&mut self) {
        self.wake();
    }
}

impl Wal {
    /// Starts the thread. It holds the log weakly, so that a dropped log ends it.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start_background(self: &Arc<Self>) -> std::io::Result<()> {
        let weak = Arc::downgrade(self);
        let thread = Background::start("spellkeep-drain", move || run(&weak))?;
        // Nobody else sets it: the log is opened once.
        self.background.alarm.get_or_init(|| thread.alarm());
        *held(&self.background.thread) = Some(thread);
        Ok(())
    }

    /// Asks the thread for a sync as soon as it can; wakers tell when it is done.
    pub fn request_sync(&self) {
        self.background.sync_requested.store(true, Ordering::Release);
        self.background.wake();
    }

    /// Whether there is nothing to drain; then the next append wakes the thread.
    fn rest(&self) -> bool {
        let mut state = held(&self.append);
        let done = match self.options.durability {
            Durability::Process => self.written_lsn.load(Ordering::Acquire),
            _ => self.synced_lsn(),
        };
        state.thread_idle = state.last_lsn() == done || state.status == Status::Poisoned;
        state.thread_idle
    }

    /// Whether the ring is filling up. If not, an append tells the thread once it is: also when one has told it during the
    /// last drain, which then freed the ring.
    fn is_filling(&self) -> bool {
        let mut state = held(&self.append);
        let filling = state.is_filling(self.ring_capacity);
        state.thread_told = filling;
        filling
    }
}

fn run(weak: &Weak<Wal>) {
    let mut due_ms = monotonic_ms();
    loop {
        let Some(wal) = weak.upgrade() else { return };
        if wal.background.stop.load(Ordering::Acquire) || wal.is_forked() {
            return;
        }
        let interval_ms = wal.options.interval_ms;
        let requested = wal.background.sync_requested.swap(false, Ordering::AcqRel);
        if !requested && wal.rest() {
            drop(wal);
            park();
            due_ms = monotonic_ms() + interval_ms;
            continue;
        }
        let now_ms = monotonic_ms();
        if now_ms < due_ms && !wal.is_filling() && !requested {
            drop(wal);
            park_ms(due_ms - now_ms);
            continue;
        }
        due_ms = now_ms + interval_ms;
        // An error has poisoned the log, which every later call reports; the thread has nobody to tell.
        if wal.drain(requested || wal.options.durability != Durability::Process).is_err() {
            due_ms = now_ms + 1000;
        }
    }
}

//! The background thread: syncs every interval while there is something to sync, sleeps while there is not.
//!
//! It goes on looking once an interval for a second after it last found something to sync, since to wake it costs the writer
//! a system call, and under a hypervisor an interrupt of another processor: more than the write itself. An agent writes now
//! and then.

use super::append::Status;
use super::{Durability, Wal, held};
use crate::env::thread::{Alarm, Background, monotonic_ms, park, park_ms};
use crate::sync::{Arc, AtomicBool, Mutex, OnceLock, Ordering, Weak};

/// For how long the thread looks for more before it has to be woken.
const LOOKS_MS: u64 = 1000;

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

    /// Whether there is nothing to drain. If so and `sleeps`, the next append wakes the thread.
    fn rest(&self, sleeps: bool) -> bool {
        let mut state = held(&self.append);
        let done = match self.options.durability {
            Durability::Process => self.written_lsn.load(Ordering::Acquire),
            _ => self.synced_lsn(),
        };
        let rests = state.last_lsn() == done || state.status == Status::Poisoned;
        state.thread_idle = rests && sleeps;
        rests
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
    let mut busy_ms = due_ms;
    loop {
        let Some(wal) = weak.upgrade() else { return };
        if wal.background.stop.load(Ordering::Acquire) || wal.is_forked() {
            return;
        }
        let interval_ms = wal.options.interval_ms;
        let requested = wal.background.sync_requested.swap(false, Ordering::AcqRel);
        let now_ms = monotonic_ms();
        let sleeps = now_ms - busy_ms >= LOOKS_MS;
        if !requested && wal.rest(sleeps) {
            drop(wal);
            if sleeps {
                park();
                busy_ms = monotonic_ms();
                due_ms = busy_ms + interval_ms;
            } else {
                park_ms(interval_ms);
            }
            continue;
        }
        busy_ms = now_ms;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::env::Env;
    use crate::record::{Draft, Kind, Lsn, StateClass};
    use crate::wal::WalOptions;
    use crate::wal::drain::tests::Empty;

    fn until(mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to that");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_writer_wakes_the_thread_only_after_a_second_without_writes() {
        let env = Env { threads: true, ..Env::memory() };
        let options = WalOptions { interval_ms: 5, mapped_ring: Some(true), ..WalOptions::default() };
        let (wal, _) = Wal::open(env, options, &mut Empty).unwrap();
        let idle = || held(&wal.append).thread_idle;
        let append = || -> Lsn {
            let mut draft = Draft::of(Kind::Set, StateClass::Standard, b"s", b"key", b"value");
            let mut append = wal.append(draft.frame_len()).unwrap();
            let (lsn, _) = append.push(&mut draft, 1, 0, 0);
            append.done();
            lsn
        };
        for _ in 0..2 {
            let begun = Instant::now();
            let first = append();
            until(|| wal.synced_lsn() >= first);
            let looked = !idle();
            // It has not been asked in time where the machine stood still.
            assert!(looked || begun.elapsed() >= Duration::from_millis(LOOKS_MS));
            let second = append();
            until(|| wal.synced_lsn() >= second);
            until(idle);
            assert!(begun.elapsed() >= Duration::from_millis(LOOKS_MS));
        }
    }
}

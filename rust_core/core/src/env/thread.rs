//! Background threads: named, parked and woken. They never touch Python.

use std::panic::resume_unwind;
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use crate::sync::{Condvar, MutexGuard};

/// A running background thread.
pub struct Background {
    handle: JoinHandle<()>,
}

impl Background {
    /// Starts `body` on a thread called `name`.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub fn start(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        Ok(Self { handle: thread::Builder::new().name(name.to_owned()).spawn(body)? })
    }

    /// A handle that wakes the thread from [`park`] or [`park_ms`]; a wake before the park is not lost.
    pub fn alarm(&self) -> Alarm {
        Alarm(self.handle.thread().clone())
    }

    /// Waits until the body has returned. A panic of the body is reported as `false`.
    pub fn join(self) -> bool {
        self.handle.thread().unpark();
        self.handle.join().is_ok()
    }
}

/// Wakes a background thread.
pub struct Alarm(Thread);

impl Alarm {
    /// Ends the thread's sleep, or its next one.
    pub fn ring(&self) {
        self.0.unpark();
    }
}

/// Sleeps until woken. May wake early.
pub fn park() {
    thread::park();
}

/// Sleeps until woken or until `timeout_ms` has passed. May wake early.
pub fn park_ms(timeout_ms: u64) {
    thread::park_timeout(Duration::from_millis(timeout_ms));
}

/// Waits until notified, or until `timeout_ms` has passed. May wake early.
pub fn wait_ms<'a, T>(condition: &Condvar, held: MutexGuard<'a, T>, timeout_ms: u64) -> MutexGuard<'a, T> {
    condition.wait_timeout(held, Duration::from_millis(timeout_ms)).unwrap_or_else(|poisoned| poisoned.into_inner()).0
}

/// The answers of both, which run at the same time where the system has another thread to give.
pub fn both<T: Send>(one: impl FnOnce() -> T, other: impl Fn() -> T + Sync) -> [T; 2] {
    thread::scope(|scope| {
        let beside = thread::Builder::new().spawn_scoped(scope, &other);
        let one = one();
        let other = beside.map_or_else(|_| other(), |beside| beside.join().unwrap_or_else(|p| resume_unwind(p)));
        [one, other]
    })
}

/// A monotonic millisecond counter for pacing; its zero means nothing.
pub fn monotonic_ms() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_millis() as u64
}

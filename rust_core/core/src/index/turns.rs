//! A lock for what writers change in no time and others go through in many turns: between two turns, writers go first.

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering};

#[derive(Default)]
pub(super) struct Turns<T> {
    value: Mutex<T>,
    /// Writers that wait; they hold the append lock meanwhile, and all other writers wait for that.
    writers: AtomicUsize,
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl<T> Turns<T> {
    /// For the holder of the append lock.
    pub(super) fn change(&self) -> MutexGuard<'_, T> {
        if let Ok(value) = self.value.try_lock() {
            return value;
        }
        self.writers.fetch_add(1, Ordering::Relaxed);
        let value = held(&self.value);
        self.writers.fetch_sub(1, Ordering::Relaxed);
        value
    }

    /// For everybody else, for a short while.
    pub(super) fn turn(&self) -> MutexGuard<'_, T> {
        held(&self.value)
    }

    /// Between two turns: a plain mutex would be taken again before whoever waits has woken up.
    pub(super) fn give_way(&self) {
        while self.writers.load(Ordering::Relaxed) > 0 {
            std::hint::spin_loop();
        }
    }
}

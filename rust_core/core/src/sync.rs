//! The only door to locks and atomics, so that a model checker can stand behind it.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// Proof that the caller holds the append lock: there is one per store, inside that lock.
#[derive(Debug)]
pub struct WriteToken(());

impl WriteToken {
    /// For the owner of the lock, once.
    pub(crate) fn new() -> Self {
        Self(())
    }
}

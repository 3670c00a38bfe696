//! The only door to locks and atomics, so that a model checker can stand behind it.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, Weak};

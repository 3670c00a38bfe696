//! Notices `fork`. A child shares its parent's mapping and lock but has none of its threads, so it must not go on.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use crate::sync::{AtomicU32, AtomicUsize, OnceLock, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);
/// Descriptors of held locks (0 = free slot, else fd + 1), closed in a child so that it does not keep a lock alive.
static LOCK_FDS: [AtomicUsize; 1024] = [const { AtomicUsize::new(0) }; 1024];
static INSTALLED: OnceLock<()> = OnceLock::new();

/// How many forks lie between the first process and this one. Cost: one relaxed load.
#[inline]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// The number of this process.
pub fn pid() -> u32 {
    std::process::id()
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    for slot in &LOCK_FDS {
        let fd = slot.swap(0, Ordering::Relaxed);
        if fd != 0 {
            // SAFETY: the slot owned this descriptor in the parent, and only here and in `FdSlot::drop` is it taken out.
            // `close` is async-signal-safe, which is all that may run between fork and exec.
            #[allow(unsafe_code)]
            drop(unsafe { OwnedFd::from_raw_fd(fd as i32 - 1) });
        }
    }
}

/// Starts noticing forks. Idempotent.
pub fn watch() {
    INSTALLED.get_or_init(|| {
        // SAFETY: the handler only touches atomics and closes descriptors.
        #[allow(unsafe_code)]
        // Failure (out of memory at start) leaves forks unnoticed, which must not pass silently.
        let refused = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        assert!(refused == 0, "pthread_atfork: error {refused}");
    });
}

/// A descriptor that a forked child closes.
#[derive(Debug)]
pub struct FdSlot(usize);

impl FdSlot {
    /// Takes over `fd`; None when 1,024 are already held.
    pub fn hold(fd: OwnedFd) -> Option<Self> {
        let raw = fd.into_raw_fd();
        let free = |slot: &&AtomicUsize| {
            slot.compare_exchange(0, raw as usize + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        let index = LOCK_FDS.iter().position(|slot| free(&slot));
        if index.is_none() {
            // SAFETY: `raw` came out of `fd` above and went nowhere else.
            #[allow(unsafe_code)]
            drop(unsafe { OwnedFd::from_raw_fd(raw) });
        }
        index.map(Self)
    }
}

impl Drop for FdSlot {
    fn drop(&mut self) {
        let fd = LOCK_FDS[self.0].swap(0, Ordering::Relaxed);
        if fd != 0 {
            // SAFETY: as in `in_child`; the swap makes one taker the owner.
            #[allow(unsafe_code)]
            let fd = unsafe { OwnedFd::from_raw_fd(fd as i32 - 1) };
            // A process that another thread is just starting has the descriptor until its `exec`, and the lock with it.
            // When this is refused, closing gives the lock up, if later.
            rustix::fs::flock(&fd, rustix::fs::FlockOperation::Unlock).ok();
        }
    }
}

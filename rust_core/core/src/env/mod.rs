//! Everything nondeterministic that the engine touches: disk, clock, threads, process identity.
//!
//! The engine sees only these traits, so that one seed can replay a failure and a simulated disk can stand in.

pub mod clock;
pub mod disk;
pub mod fault;
pub mod fork;
mod lock;
pub mod look;
pub mod map;
pub mod mem;
pub mod os;
pub mod thread;
pub mod wake;

use crate::sync::Arc;

pub use clock::{Clock, ExpiryClock};
pub use disk::{Disk, DiskFile, IoError, LockFailed, OpenHow};
pub use map::Region;

/// What one store runs on.
#[derive(Clone)]
pub struct Env {
    /// The directory of the store.
    pub disk: Arc<dyn Disk>,
    /// Wall clock and steady clock.
    pub clock: Arc<dyn Clock>,
    /// Whether background threads may be started. Without, whoever waits does the work; a simulation wants that.
    pub threads: bool,
    /// Whether the disk outlives the process. Where it does not, nothing will ever be recovered from it.
    pub lasting: bool,
}

impl Env {
    /// Real files below `path`, the system clock, threads.
    ///
    /// # Errors
    /// Whatever the operating system says when `path` cannot be made or opened as a directory.
    pub fn real(path: &std::path::Path) -> Result<Self, IoError> {
        Ok(Self {
            disk: Arc::new(os::OsDisk::open(path)?),
            clock: Arc::new(clock::SystemClock),
            threads: true,
            lasting: true,
        })
    }

    /// A directory that is there already, to be looked at only: see [`look::LookDisk`].
    ///
    /// # Errors
    /// Whatever the operating system says when `path` cannot be opened as a directory.
    pub fn existing(path: &std::path::Path) -> Result<Self, IoError> {
        let disk = Arc::new(os::OsDisk::existing(path)?);
        Ok(Self { disk, clock: Arc::new(clock::SystemClock), threads: false, lasting: true })
    }

    /// No files at all: a disk in memory, gone with the process.
    pub fn memory() -> Self {
        Self { disk: Arc::new(mem::MemDisk::new()), clock: Arc::new(clock::SystemClock), threads: true, lasting: false }
    }
}

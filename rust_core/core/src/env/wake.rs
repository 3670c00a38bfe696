//! Wakes an event loop: one 8-byte write into a descriptor that the loop watches, once per group commit.

use std::os::fd::OwnedFd;

/// The writing end of an eventfd, pipe or socket.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// Takes over a non-blocking descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Makes the descriptor readable. Returns false when the other end is gone; a full pipe is already readable.
    pub fn wake(&self) -> bool {
        match rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            Ok(_) => true,
            Err(e) => e == rustix::io::Errno::AGAIN,
        }
    }
}

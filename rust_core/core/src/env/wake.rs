//! Wakes an event loop: one byte into a socket that the loop watches, once per group commit.

use std::os::fd::OwnedFd;

use rustix::net::SendFlags;

/// The writing end of a socket pair.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// Takes over a non-blocking socket.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Makes the other end readable. Returns false when it is gone; a full buffer is readable already.
    pub fn wake(&self) -> bool {
        match rustix::net::send(&self.0, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => true,
            Err(e) => e == rustix::io::Errno::AGAIN,
        }
    }
}

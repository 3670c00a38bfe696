//! One opener per directory: `flock` on a file that names the owner.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::disk::{IoError, LockFailed};
use super::fork::FdSlot;
use super::thread::park_ms;

fn owner_of(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// How often a held lock is tried again, a millisecond later each time.
const LOOKS_MAX: u32 = 5;

/// Whether somebody holds the lock on `path`. It is let go at once when nobody does.
///
/// # Errors
/// The system's. A missing file is held by nobody.
pub(super) fn is_locked(path: &Path) -> Result<bool, IoError> {
    let fault = |op: &'static str, source| IoError { op, path: path.display().to_string(), source };
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(|e| fault("open", e))?,
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(fault("lock", e.into())),
        // Not left to the closing: a child that was forked in between would keep it.
        Ok(()) => match rustix::fs::flock(&file, FlockOperation::Unlock) {
            Ok(()) => Ok(false),
            Err(e) => Err(fault("unlock", e.into())),
        },
    }
}

/// Locks `path` for this opener, writing the process id into it.
///
/// # Errors
/// [`LockFailed::Held`] with the owner's pid; it may be this very process.
pub(super) fn lock(path: &Path) -> Result<Box<dyn Send + Sync>, LockFailed> {
    let fault = |op: &'static str, source| LockFailed::Io(IoError { op, path: path.display().to_string(), source });
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|e| fault("open", e))?;
    let mut looks = 0;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            // Perhaps somebody only looks whether it is held.
            Err(Errno::WOULDBLOCK) if looks < LOOKS_MAX => looks += 1,
            Err(Errno::WOULDBLOCK) => return Err(LockFailed::Held(owner_of(&mut file))),
            Err(e) => return Err(fault("lock", e.into())),
        }
        park_ms(1);
    }
    let pid = std::process::id();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{pid}"))
        .map_err(|e| fault("write", e))?;
    match FdSlot::hold(file.into()) {
        Some(slot) => Ok(Box::new(slot)),
        None => Err(fault("lock", std::io::Error::other("1,024 stores are open in this process"))),
    }
}

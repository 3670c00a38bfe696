//! The disk as the engine sees it: one directory of named files. Names are relative, with `/` for subdirectories.

use std::io;

use super::map::Region;
use crate::sync::Arc;

/// A refused disk operation: what was attempted, on which file, and the system's reason.
#[derive(Debug, thiserror::Error)]
#[error("{op} {path}: {source}")]
pub struct IoError {
    /// What was attempted: `open`, `write`, `sync`, ...
    pub op: &'static str,
    /// The file, as a person would look for it.
    pub path: String,
    /// The operating system's answer.
    pub source: io::Error,
}

/// Why the directory's lock was not given.
#[derive(Debug)]
pub enum LockFailed {
    /// Somebody else holds it; the process id is what the owner wrote down.
    Held(Option<u32>),
    /// The lock file could not be made or read.
    Io(IoError),
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// It must exist; reads only.
    Read,
    /// It must exist; reads and writes.
    Write,
    /// It must not exist yet; reads and writes.
    Create,
}

/// One directory. Symbolic links inside it are refused.
pub trait Disk: Send + Sync {
    /// The name as a person would look for it, for error messages.
    fn path_of(&self, name: &str) -> String;
    /// Makes a directory unless it is there.
    fn create_dir(&self, name: &str) -> Result<(), IoError>;
    /// The names in a directory, sorted; empty when the directory is missing.
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError>;
    /// Opens a file.
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError>;
    /// Whether the name is there.
    fn exists(&self, name: &str) -> Result<bool, IoError>;
    /// Renames over whatever has the new name. Durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<(), IoError>;
    /// Makes creations, renames and removals in a directory durable.
    fn sync_dir(&self, dir: &str) -> Result<(), IoError>;
    /// Maps an existing file of exactly `len_bytes`, shared: what is stored is there after a SIGKILL.
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError>;
    /// The bytes of a file that somebody may have mapped, as they are there.
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError>;
    /// Whether [`Disk::map`] can be trusted on this file system (not on network or copy-on-write ones).
    fn maps_are_trusted(&self) -> Result<bool, IoError>;
    /// Takes the directory for this opener until the guard is dropped.
    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockFailed>;
    /// Whether some opener has the directory now. Nothing is made or written.
    fn is_locked(&self, name: &str) -> Result<bool, IoError>;
    /// Changes whenever unsynced writes may have been lost: a boot, a remount. Equal: the page cache was never dropped.
    fn incarnation(&self) -> Result<u64, IoError>;
    /// 16 bytes that no other store has.
    fn unique_id(&self) -> Result<[u8; 16], IoError>;
}

/// An open file. Positions and lengths are bytes.
pub trait DiskFile: Send + Sync {
    /// The file as a person would look for it.
    fn path(&self) -> String;
    /// Reads up to `buf.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes up to `bytes.len()` bytes; may write fewer.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the contents durable (fdatasync). After a failure nothing may be assumed of what was written before.
    fn sync(&self) -> io::Result<()>;
    /// Length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Makes sure that writes below `len_bytes` find space, extending the file with zeros.
    fn allocate(&self, len_bytes: u64) -> io::Result<()>;
    /// Cuts or extends.
    fn set_len(&self, len_bytes: u64) -> io::Result<()>;
}

/// A file that was let go: every call fails.
struct ClosedFile(String);

/// Stands in for a file that was let go while somebody may still hold what contains it.
pub fn closed_file(path: String) -> Arc<dyn DiskFile> {
    Arc::new(ClosedFile(path))
}

fn was_closed<T>() -> io::Result<T> {
    Err(io::Error::other("the file was closed with its store"))
}

impl DiskFile for ClosedFile {
    fn path(&self) -> String {
        self.0.clone()
    }
    fn read_at(&self, _buf: &mut [u8], _offset: u64) -> io::Result<usize> {
        was_closed()
    }
    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        was_closed()
    }
    fn sync(&self) -> io::Result<()> {
        was_closed()
    }
    fn len(&self) -> io::Result<u64> {
        was_closed()
    }
    fn allocate(&self, _len_bytes: u64) -> io::Result<()> {
        was_closed()
    }
    fn set_len(&self, _len_bytes: u64) -> io::Result<()> {
        was_closed()
    }
}

impl dyn DiskFile + '_ {
    fn fault(&self, op: &'static str, source: io::Error) -> IoError {
        IoError { op, path: self.path(), source }
    }

    /// Writes all of `bytes`. After an error the caller must take everything from `offset` on as unwritten.
    ///
    /// # Errors
    /// The system's; a write of 0 bytes is `WriteZero`.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> Result<(), IoError> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(self.fault("write", io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    bytes = &bytes[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fault("write", e)),
            }
        }
        Ok(())
    }

    /// Fills `buf` from `offset`, as far as the file goes; returns the bytes read.
    ///
    /// # Errors
    /// The system's.
    pub fn read_full_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, IoError> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fault("read", e)),
            }
        }
        Ok(done)
    }

    /// [`DiskFile::sync`] with the file's name in the error.
    pub fn sync_named(&self) -> Result<(), IoError> {
        self.sync().map_err(|e| self.fault("sync", e))
    }

    /// [`DiskFile::allocate`] with the file's name in the error.
    pub fn allocate_named(&self, len_bytes: u64) -> Result<(), IoError> {
        self.allocate(len_bytes).map_err(|e| self.fault("allocate", e))
    }

    /// [`DiskFile::set_len`] with the file's name in the error.
    pub fn set_len_named(&self, len_bytes: u64) -> Result<(), IoError> {
        self.set_len(len_bytes).map_err(|e| self.fault("truncate", e))
    }

    /// [`DiskFile::len`] with the file's name in the error.
    pub fn len_named(&self) -> Result<u64, IoError> {
        self.len().map_err(|e| self.fault("stat", e))
    }
}

/// The directory that holds `name`: what must be synced after it was created, renamed or removed.
pub fn parent(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..slash])
}

/// Replaces the file `name` by `bytes` so that after a crash it holds the old contents or the new, whole.
///
/// Afterwards the new contents are durable: temporary file in the same directory, sync, rename, sync of the directory.
///
/// # Errors
/// The system's; the old file is then still in place, or the new one, whole.
pub fn durable_replace(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), IoError> {
    let temporary = format!("{name}.tmp");
    if disk.exists(&temporary)? {
        disk.remove(&temporary)?;
    }
    let file = disk.open(&temporary, OpenHow::Create)?;
    file.write_all_at(bytes, 0)?;
    file.sync_named()?;
    disk.rename(&temporary, name)?;
    disk.sync_dir(parent(name))
}

/// The whole file.
///
/// # Errors
/// The system's.
pub fn read_file(disk: &dyn Disk, name: &str) -> Result<Vec<u8>, IoError> {
    let file = disk.open(name, OpenHow::Read)?;
    let mut bytes = vec![0; file.len_named()? as usize];
    let read = file.read_full_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

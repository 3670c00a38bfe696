//! A disk that refuses on command, in front of any other disk: what the engine does then is what the tests are about.

use std::io;

use super::disk::{Disk, DiskFile, IoError, LockFailed, OpenHow};
use super::map::Region;
use crate::sync::{Arc, Mutex};

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Operation: `open create write sync allocate set_len rename remove sync_dir map`.
    pub op: &'static str,
    /// Part of the file's name.
    pub name: &'static str,
    /// How many matching calls succeed before the first failure.
    pub after_count: u32,
    /// How many calls fail; `u32::MAX` for all from then on.
    pub fail_count: u32,
    /// The error number. For `write`, 0 means a short write of half the bytes instead of an error.
    pub errno: i32,
}

/// The faults in force, shared between a test and its disk.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds one.
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).push(fault);
    }

    /// Removes all.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).clear();
    }

    /// The error number that this call must fail with, counting it; for disks that bring their own failures.
    pub fn strike(&self, op: &str, name: &str) -> Option<i32> {
        let mut faults = self.0.lock().unwrap_or_else(|p| p.into_inner());
        let fault = faults.iter_mut().find(|f| f.op == op && name.contains(f.name) && f.fail_count > 0)?;
        if fault.after_count > 0 {
            fault.after_count -= 1;
            return None;
        }
        if fault.fail_count != u32::MAX {
            fault.fail_count -= 1;
        }
        Some(fault.errno)
    }

    fn check(&self, op: &'static str, name: &str) -> io::Result<()> {
        self.strike(op, name).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

/// `inner`, seen through the faults.
pub struct FaultDisk {
    /// The disk that does the work.
    pub inner: Arc<dyn Disk>,
    /// What goes wrong.
    pub faults: Faults,
}

impl FaultDisk {
    fn check(&self, op: &'static str, name: &str) -> Result<(), IoError> {
        self.faults.check(op, name).map_err(|source| IoError { op, path: self.inner.path_of(name), source })
    }
}

impl Disk for FaultDisk {
    fn path_of(&self, name: &str) -> String {
        self.inner.path_of(name)
    }
    fn create_dir(&self, name: &str) -> Result<(), IoError> {
        self.inner.create_dir(name)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        self.inner.list(dir)
    }
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        self.check(if how == OpenHow::Create { "create" } else { "open" }, name)?;
        let inner = self.inner.open(name, how)?;
        Ok(Arc::new(FaultFile { inner, name: name.to_owned(), faults: self.faults.clone() }))
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        self.inner.exists(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        self.check("rename", to)?;
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        self.check("remove", name)?;
        self.inner.remove(name)
    }
    fn sync_dir(&self, dir: &str) -> Result<(), IoError> {
        self.check("sync_dir", dir)?;
        self.inner.sync_dir(dir)
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        self.check("map", name)?;
        self.inner.map(name, len_bytes)
    }
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        self.inner.copy_map(name)
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        self.inner.maps_are_trusted()
    }
    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        self.inner.lock(name)
    }
    fn is_locked(&self, name: &str) -> Result<bool, IoError> {
        self.inner.is_locked(name)
    }
    fn incarnation(&self) -> Result<u64, IoError> {
        self.inner.incarnation()
    }
    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        self.inner.unique_id()
    }
}

struct FaultFile {
    inner: Arc<dyn DiskFile>,
    name: String,
    faults: Faults,
}

impl DiskFile for FaultFile {
    fn path(&self) -> String {
        self.inner.path()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.check("read", &self.name)?;
        self.inner.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.faults.strike("write", &self.name) {
            None => self.inner.write_at(bytes, offset),
            Some(0) => self.inner.write_at(&bytes[..bytes.len().div_ceil(2)], offset),
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
    fn sync(&self) -> io::Result<()> {
        self.faults.check("sync", &self.name)?;
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.faults.check("allocate", &self.name)?;
        self.inner.allocate(len_bytes)
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.faults.check("set_len", &self.name)?;
        self.inner.set_len(len_bytes)
    }
}

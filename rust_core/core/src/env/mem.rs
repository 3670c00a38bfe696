//! A disk in memory: the home of `memory:` stores, and of tests that reopen what an earlier engine left behind.

use std::collections::BTreeMap;
use std::io;

use super::disk::{Disk, DiskFile, IoError, LockFailed, OpenHow};
use super::map::{HeapRegion, Region, copy_of};
use crate::sync::{Arc, AtomicBool, AtomicU64, Mutex, MutexGuard, Ordering};

/// Files as byte vectors. Clones share the files; the lock is held per disk, not per clone.
#[derive(Clone, Default)]
pub struct MemDisk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Arc<MemFile>>>,
    locked: Arc<AtomicBool>,
    incarnation: AtomicU64,
}

struct MemFile {
    name: String,
    bytes: Mutex<Vec<u8>>,
    region: Mutex<Option<Arc<HeapRegion>>>,
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on [`Disk::incarnation`] differs, as after a power loss.
    pub fn lose_power(&self) {
        self.0.incarnation.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets go of the lock as the system does when a process dies.
    pub fn break_lock(&self) {
        self.0.locked.store(false, Ordering::Release);
    }

    /// Changes the stored bytes of a file, for tests of damage. Mapped memory is not touched; see [`MemDisk::region`].
    pub fn alter(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = held(&self.0.files).get(name) {
            change(&mut held(&file.bytes));
        }
    }

    /// The mapped memory behind a file, when it was mapped.
    pub fn region(&self, name: &str) -> Option<Arc<HeapRegion>> {
        held(&self.0.files).get(name).and_then(|file| held(&file.region).clone())
    }

    fn missing(&self, op: &'static str, name: &str) -> IoError {
        IoError { op, path: self.path_of(name), source: io::ErrorKind::NotFound.into() }
    }

    fn find(&self, op: &'static str, name: &str) -> Result<Arc<MemFile>, IoError> {
        held(&self.0.files).get(name).cloned().ok_or_else(|| self.missing(op, name))
    }
}

impl Disk for MemDisk {
    fn path_of(&self, name: &str) -> String {
        format!("memory:{name}")
    }
    fn create_dir(&self, _name: &str) -> Result<(), IoError> {
        Ok(())
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let files = held(&self.0.files);
        Ok(files.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        if how != OpenHow::Create {
            return Ok(self.find("open", name)?);
        }
        let mut files = held(&self.0.files);
        if files.contains_key(name) {
            return Err(IoError { op: "open", path: self.path_of(name), source: io::ErrorKind::AlreadyExists.into() });
        }
        let file = Arc::new(MemFile { name: self.path_of(name), bytes: Mutex::default(), region: Mutex::default() });
        files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        Ok(held(&self.0.files).contains_key(name))
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        let mut files = held(&self.0.files);
        let file = files.remove(from).ok_or_else(|| self.missing("rename", from))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        held(&self.0.files).remove(name).map(drop).ok_or_else(|| self.missing("remove", name))
    }
    fn sync_dir(&self, _dir: &str) -> Result<(), IoError> {
        Ok(())
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        let file = self.find("map", name)?;
        let mut region = held(&file.region);
        let shared = region.get_or_insert_with(|| Arc::new(HeapRegion::from_bytes(&held(&file.bytes), len_bytes)));
        Ok(Box::new(Arc::clone(shared)))
    }
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        let file = self.find("map", name)?;
        let region = held(&file.region).clone();
        Ok(region.map_or_else(|| held(&file.bytes).clone(), |region| copy_of(&*region)))
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        Ok(true)
    }
    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        if self.0.locked.swap(true, Ordering::Acquire) {
            return Err(LockFailed::Held(Some(std::process::id())));
        }
        Ok(Box::new(Unlock(Arc::clone(&self.0.locked))))
    }
    fn is_locked(&self, _name: &str) -> Result<bool, IoError> {
        Ok(self.0.locked.load(Ordering::Acquire))
    }
    fn incarnation(&self) -> Result<u64, IoError> {
        Ok(self.0.incarnation.load(Ordering::Relaxed))
    }
    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        Ok((Arc::as_ptr(&self.0) as usize as u128).to_le_bytes())
    }
}

impl DiskFile for MemFile {
    fn path(&self) -> String {
        self.name.clone()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = held(&self.bytes);
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut file = held(&self.bytes);
        let end = offset as usize + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.bytes).len() as u64)
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let mut bytes = held(&self.bytes);
        if (bytes.len() as u64) < len_bytes {
            bytes.resize(len_bytes as usize, 0);
        }
        Ok(())
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        held(&self.bytes).resize(len_bytes as usize, 0);
        Ok(())
    }
}

//! A disk that forgets: a power loss keeps, of what was not synced, any pages; a failed sync loses them for good.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use spellkeep_core::env::disk::parent;
use spellkeep_core::env::fault::Faults;
use spellkeep_core::env::map::HeapRegion;
use spellkeep_core::env::{Disk, DiskFile, IoError, LockFailed, OpenHow, Region};

use super::Rng;

const PAGE: usize = 4096;

#[derive(Default)]
struct Pages {
    now: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    region: Option<Arc<HeapRegion>>,
}

struct SimFile {
    name: Mutex<String>,
    pages: Mutex<Pages>,
    faults: Faults,
    sync_time: Duration,
}

#[derive(Default)]
struct Names {
    now: BTreeMap<String, Arc<SimFile>>,
    durable: BTreeMap<String, Arc<SimFile>>,
    locked: bool,
    incarnation: u64,
}

/// Clones share the files.
#[derive(Clone, Default)]
pub struct SimDisk {
    names: Arc<Mutex<Names>>,
    pub faults: Faults,
    pub sync_time: Duration,
}

struct Shared(Arc<HeapRegion>);

// SAFETY: forwards to a heap region that the `Arc` keeps in place.
unsafe impl Region for Shared {
    fn base(&self) -> *mut u8 {
        self.0.base()
    }
    fn len(&self) -> usize {
        self.0.len()
    }
}

struct Unlock(SimDisk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.held().locked = false;
    }
}

/// A copy of a region that nobody writes to meanwhile.
pub fn region_bytes(region: &HeapRegion) -> Vec<u8> {
    // SAFETY: the region holds `len` bytes from `base`, and the tests read only when no engine runs.
    unsafe { std::slice::from_raw_parts(region.base(), region.len()) }.to_vec()
}

/// Changes a region that nobody uses meanwhile.
pub fn alter_region(region: &HeapRegion, change: impl FnOnce(&mut [u8])) {
    // SAFETY: as in `region_bytes`.
    change(unsafe { std::slice::from_raw_parts_mut(region.base(), region.len()) });
}

impl SimFile {
    fn held(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(|p| p.into_inner())
    }
    fn strike(&self, op: &str) -> io::Result<()> {
        let name = self.path();
        self.faults.strike(op, &name).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}

impl Pages {
    fn resize(&mut self, len: usize) {
        // What a file grows by reads as zeros, durable or not; what is cut off is gone only once that is synced.
        if len < self.now.len() {
            self.dirty.extend(len / PAGE..self.now.len().div_ceil(PAGE));
        }
        self.now.resize(len, 0);
    }

    /// What the disk holds after the power came back.
    fn lose(&mut self, rng: &mut Rng) {
        if let Some(region) = self.region.take() {
            self.now = region_bytes(&region);
            self.dirty = (0..self.now.len().div_ceil(PAGE)).collect();
        }
        let mut after = self.durable.clone();
        after.resize(self.now.len(), 0);
        let keep = rng.below(101);
        for page in std::mem::take(&mut self.dirty) {
            let span = page * PAGE..((page + 1) * PAGE).min(after.len());
            if rng.chance(keep) && span.start < span.end {
                after[span.clone()].copy_from_slice(&self.now[span]);
            }
        }
        self.now = after.clone();
        self.durable = after;
    }
}

impl SimDisk {
    fn held(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(|p| p.into_inner())
    }

    fn check(&self, op: &'static str, name: &str) -> Result<(), IoError> {
        match self.faults.strike(op, name) {
            None => Ok(()),
            Some(errno) => Err(IoError { op, path: name.into(), source: io::Error::from_raw_os_error(errno) }),
        }
    }

    fn find(&self, op: &'static str, name: &str) -> Result<Arc<SimFile>, IoError> {
        let missing = || IoError { op, path: name.into(), source: io::ErrorKind::NotFound.into() };
        self.held().now.get(name).cloned().ok_or_else(missing)
    }

    /// The process dies; the page cache lives.
    pub fn kill(&self) {
        self.held().locked = false;
    }

    /// The machine dies. Directories go back to what was synced or stay, each as a whole; pages as `Pages::lose` says.
    pub fn lose_power(&self, rng: &mut Rng) {
        let mut names = self.held();
        names.locked = false;
        names.incarnation += 1;
        for dir in ["", "segments"] {
            if rng.chance(50) {
                let old: Vec<_> = names
                    .durable
                    .iter()
                    .filter(|(n, _)| parent(n) == dir)
                    .map(|(n, f)| (n.clone(), f.clone()))
                    .collect();
                names.now.retain(|name, _| parent(name) != dir);
                names.now.extend(old);
            }
        }
        names.durable = names.now.clone();
        for (name, file) in &names.now {
            *file.name.lock().unwrap_or_else(|p| p.into_inner()) = name.clone();
            file.held().lose(rng);
        }
    }
}

impl Disk for SimDisk {
    fn path_of(&self, name: &str) -> String {
        name.to_owned()
    }
    fn create_dir(&self, _name: &str) -> Result<(), IoError> {
        Ok(())
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        Ok(self.held().now.keys().filter_map(|n| n.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        self.check(if how == OpenHow::Create { "create" } else { "open" }, name)?;
        if how != OpenHow::Create {
            return Ok(self.find("open", name)?);
        }
        let (name_now, pages) = (Mutex::new(name.to_owned()), Mutex::default());
        let file = SimFile { name: name_now, pages, faults: self.faults.clone(), sync_time: self.sync_time };
        let file = Arc::new(file);
        assert!(self.held().now.insert(name.to_owned(), Arc::clone(&file)).is_none(), "{name} was there");
        Ok(file)
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        Ok(self.held().now.contains_key(name))
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        self.check("rename", to)?;
        let file = self.find("rename", from)?;
        *file.name.lock().unwrap_or_else(|p| p.into_inner()) = to.into();
        let mut names = self.held();
        names.now.remove(from);
        names.now.insert(to.to_owned(), file);
        Ok(())
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        self.check("remove", name)?;
        self.find("remove", name)?;
        self.held().now.remove(name);
        Ok(())
    }
    fn sync_dir(&self, dir: &str) -> Result<(), IoError> {
        self.check("sync_dir", dir)?;
        let mut names = self.held();
        let now: Vec<_> =
            names.now.iter().filter(|(n, _)| parent(n) == dir).map(|(n, f)| (n.clone(), f.clone())).collect();
        names.durable.retain(|name, _| parent(name) != dir);
        names.durable.extend(now);
        Ok(())
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        self.check("map", name)?;
        let file = self.find("map", name)?;
        let mut pages = file.held();
        let bytes = pages.now.clone();
        let region = pages.region.get_or_insert_with(|| Arc::new(HeapRegion::from_bytes(&bytes, len_bytes)));
        Ok(Box::new(Shared(Arc::clone(region))))
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        Ok(true)
    }
    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        let mut names = self.held();
        if std::mem::replace(&mut names.locked, true) {
            return Err(LockFailed::Held(None));
        }
        Ok(Box::new(Unlock(self.clone())))
    }
    fn incarnation(&self) -> Result<u64, IoError> {
        Ok(self.held().incarnation)
    }
    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        Ok([7; 16])
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> String {
        self.name.lock().unwrap_or_else(|p| p.into_inner()).clone()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let pages = self.held();
        let rest = pages.now.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let take = match self.faults.strike("write", &self.path()) {
            None => bytes.len(),
            Some(0) => bytes.len().div_ceil(2),
            Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
        };
        let (start, end) = (offset as usize, offset as usize + take);
        let mut pages = self.held();
        if pages.now.len() < end {
            pages.resize(end);
        }
        pages.now[start..end].copy_from_slice(&bytes[..take]);
        pages.dirty.extend(start / PAGE..end.div_ceil(PAGE));
        Ok(take)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.sync_time.is_zero() {
            std::thread::sleep(self.sync_time);
        }
        let refused = self.strike("sync");
        let mut pages = self.held();
        let dirty = std::mem::take(&mut pages.dirty);
        // As Linux does it: after a failed write-back the pages count as clean and the disk does not have them.
        refused?;
        let Pages { now, durable, .. } = &mut *pages;
        durable.resize(now.len(), 0);
        for page in dirty {
            let span = page * PAGE..((page + 1) * PAGE).min(now.len());
            if span.start < span.end {
                durable[span.clone()].copy_from_slice(&now[span]);
            }
        }
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.held().now.len() as u64)
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.strike("allocate")?;
        let mut pages = self.held();
        if (pages.now.len() as u64) < len_bytes {
            pages.resize(len_bytes as usize);
        }
        Ok(())
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.strike("set_len")?;
        self.held().resize(len_bytes as usize);
        Ok(())
    }
}

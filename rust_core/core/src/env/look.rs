//! Another disk, for looking only: what is changed here stays in memory, and the disk behind it is read and nothing else.

use std::collections::BTreeMap;
use std::io;

use super::disk::{Disk, DiskFile, IoError, LockFailed, OpenHow, read_file};
use super::map::{HeapRegion, Region};
use crate::sync::{Arc, Mutex, MutexGuard};

const BLOCK_BYTES: u64 = 4096;

/// `inner` as it is, and changes that stay in memory.
pub struct LookDisk {
    inner: Arc<dyn Disk>,
    /// What was opened to be changed, made or (None) removed here. What was only read is closed by whoever read it.
    files: Mutex<BTreeMap<String, Option<Arc<LookFile>>>>,
}

/// One file, and what was changed of it here.
struct LookFile {
    path: String,
    behind: Behind,
    changed: Mutex<Changed>,
}

/// Where unchanged bytes come from.
enum Behind {
    Bytes(Vec<u8>),
    File(Arc<dyn DiskFile>),
}

impl Behind {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read_at(buf, offset),
            Self::Bytes(bytes) => {
                let rest = bytes.get(offset as usize..).unwrap_or_default();
                let count = rest.len().min(buf.len());
                buf[..count].copy_from_slice(&rest[..count]);
                Ok(count)
            }
        }
    }
}

struct Changed {
    len: u64,
    /// Bytes of the file behind from here on were cut off here, or came later, and read as zeros.
    behind_len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl LookDisk {
    /// Looks at a disk.
    pub fn new(inner: Arc<dyn Disk>) -> Self {
        Self { inner, files: Mutex::default() }
    }

    fn fault(&self, op: &'static str, name: &str, kind: io::ErrorKind) -> IoError {
        IoError { op, path: self.path_of(name), source: kind.into() }
    }

    fn file_of(&self, name: &str, bytes: Vec<u8>) -> Arc<LookFile> {
        let len = bytes.len() as u64;
        let changed = Mutex::new(Changed { len, behind_len: len, blocks: BTreeMap::new() });
        Arc::new(LookFile { path: self.path_of(name), behind: Behind::Bytes(bytes), changed })
    }
}

impl Disk for LookDisk {
    fn path_of(&self, name: &str) -> String {
        self.inner.path_of(name)
    }
    fn create_dir(&self, _name: &str) -> Result<(), IoError> {
        Ok(())
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        let mut names = self.inner.list(dir)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        for (name, file) in &*held(&self.files) {
            let Some(name) = name.strip_prefix(&prefix).filter(|name| !name.contains('/')) else { continue };
            names.retain(|known| known != name);
            if file.is_some() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        let mut files = held(&self.files);
        let known = files.get(name).cloned();
        let file = match (known, how) {
            (Some(Some(_)), OpenHow::Create) => return Err(self.fault("open", name, io::ErrorKind::AlreadyExists)),
            (Some(Some(file)), _) => return Ok(file),
            (_, OpenHow::Create) => self.file_of(name, Vec::new()),
            (Some(None), _) => return Err(self.fault("open", name, io::ErrorKind::NotFound)),
            (None, OpenHow::Read) => return Ok(Arc::new(LookFile::over(self.inner.open(name, how)?)?)),
            (None, _) => Arc::new(LookFile::over(self.inner.open(name, OpenHow::Read)?)?),
        };
        files.insert(name.to_owned(), Some(Arc::clone(&file)));
        Ok(file)
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        match held(&self.files).get(name) {
            Some(file) => Ok(file.is_some()),
            None => self.inner.exists(name),
        }
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        let mut files = held(&self.files);
        match files.insert(from.to_owned(), None) {
            Some(Some(file)) => drop(files.insert(to.to_owned(), Some(file))),
            _ => return Err(self.fault("rename", from, io::ErrorKind::NotFound)),
        }
        Ok(())
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        held(&self.files).insert(name.to_owned(), None);
        Ok(())
    }
    fn sync_dir(&self, _dir: &str) -> Result<(), IoError> {
        Ok(())
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        let mut bytes = self.inner.copy_map(name)?;
        // A region is whole words: of a file that is cut off within one, what is left is shorter still and not longer.
        bytes.truncate(len_bytes.min(bytes.len()) / 8 * 8);
        Ok(Box::new(HeapRegion::from_bytes(&bytes, bytes.len())))
    }
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        match held(&self.files).get(name) {
            Some(Some(_)) => {}
            _ => return self.inner.copy_map(name),
        }
        read_file(self, name)
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        Ok(false)
    }
    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        Ok(Box::new(()))
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

/// A file of any disk, for looking only.
///
/// # Errors
/// The system's.
pub fn look_at(disk: &dyn Disk, name: &str) -> Result<Arc<dyn DiskFile>, IoError> {
    Ok(Arc::new(LookFile::over(disk.open(name, OpenHow::Read)?)?))
}

impl LookFile {
    fn over(file: Arc<dyn DiskFile>) -> Result<Self, IoError> {
        let len = file.len_named()?;
        let changed = Changed { len, behind_len: len, blocks: BTreeMap::new() };
        Ok(Self { path: file.path(), behind: Behind::File(file), changed: Mutex::new(changed) })
    }

    fn block(&self, changed: &Changed, index: u64) -> io::Result<Box<[u8]>> {
        if let Some(block) = changed.blocks.get(&index) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        let there = changed.behind_len.saturating_sub(index * BLOCK_BYTES).min(BLOCK_BYTES) as usize;
        let mut done = 0;
        while done < there {
            match self.behind.read_at(&mut block[done..there], index * BLOCK_BYTES + done as u64)? {
                0 => break,
                read => done += read,
            }
        }
        Ok(block.into())
    }
}

impl DiskFile for LookFile {
    fn path(&self) -> String {
        self.path.clone()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let changed = held(&self.changed);
        let want = (buf.len() as u64).min(changed.len.saturating_sub(offset));
        // As far as nothing was changed the file behind is read in one go.
        let untouched = changed.blocks.range(offset / BLOCK_BYTES..).next().map_or(u64::MAX, |(i, _)| i * BLOCK_BYTES);
        let straight = want.min(untouched.min(changed.behind_len).saturating_sub(offset));
        if straight > 0 {
            return self.behind.read_at(&mut buf[..straight as usize], offset);
        }
        let skip = offset % BLOCK_BYTES;
        let want = want.min(BLOCK_BYTES - skip) as usize;
        if want > 0 {
            let block = self.block(&changed, offset / BLOCK_BYTES)?;
            buf[..want].copy_from_slice(&block[skip as usize..skip as usize + want]);
        }
        Ok(want)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut changed = held(&self.changed);
        let (index, skip) = (offset / BLOCK_BYTES, (offset % BLOCK_BYTES) as usize);
        let take = bytes.len().min(BLOCK_BYTES as usize - skip);
        let mut block = self.block(&changed, index)?;
        block[skip..skip + take].copy_from_slice(&bytes[..take]);
        changed.blocks.insert(index, block);
        changed.len = changed.len.max(offset + take as u64);
        Ok(take)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn len(&self) -> io::Result<u64> {
        Ok(held(&self.changed).len)
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let mut changed = held(&self.changed);
        changed.len = changed.len.max(len_bytes);
        Ok(())
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut changed = held(&self.changed);
        if len_bytes < changed.len {
            drop(changed.blocks.split_off(&len_bytes.div_ceil(BLOCK_BYTES)));
            let skip = (len_bytes % BLOCK_BYTES) as usize;
            if let Some(block) = changed.blocks.get_mut(&(len_bytes / BLOCK_BYTES)) {
                block[skip..].fill(0);
            }
            changed.behind_len = changed.behind_len.min(len_bytes);
        }
        changed.len = len_bytes;
        Ok(())
    }
}

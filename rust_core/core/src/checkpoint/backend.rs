//! A file of the store's disk as redb wants it: so snapshots run on every disk that the engine runs on.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use redb::StorageBackend;

use crate::env::{DiskFile, fork};
use crate::sync::{Arc, Mutex};

const BLOCK_BYTES: u64 = 4096;

/// The file itself. In a forked child nothing of it can be reached: the parent goes on writing.
pub(super) struct FileBackend {
    file: Arc<dyn DiskFile>,
    fork_generation: u32,
}

/// The file as it is, and changes that stay in memory: for looking only.
pub(super) struct OverlayBackend {
    file: Arc<dyn DiskFile>,
    changed: Mutex<Overlay>,
}

struct Overlay {
    len: u64,
    /// What lies behind this in the file was cut off once and reads as zeros.
    file_len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

fn read_exact(file: &dyn DiskFile, offset: u64, out: &mut [u8]) -> io::Result<()> {
    match file.read_full_at(out, offset) {
        Ok(read) if read == out.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(e) => Err(e.source),
    }
}

impl FileBackend {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> Self {
        Self { file, fork_generation: fork::generation() }
    }

    fn file(&self) -> io::Result<&dyn DiskFile> {
        if self.fork_generation == fork::generation() {
            Ok(&*self.file)
        } else {
            Err(io::Error::other("the file belongs to the parent of this process"))
        }
    }
}

impl fmt::Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBackend({})", self.file.path())
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        read_exact(self.file()?, offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file()?.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file()?.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file()?.write_all_at(data, offset).map_err(|e| e.source)
    }
}

impl OverlayBackend {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, changed: Mutex::new(Overlay { len, file_len: len, blocks: BTreeMap::new() }) })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Overlay> {
        self.changed.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn block(&self, overlay: &Overlay, index: u64) -> io::Result<Box<[u8]>> {
        if let Some(block) = overlay.blocks.get(&index) {
            return Ok(block.clone());
        }
        let mut block = vec![0; BLOCK_BYTES as usize];
        let there = overlay.file_len.saturating_sub(index * BLOCK_BYTES).min(BLOCK_BYTES);
        read_exact(&*self.file, index * BLOCK_BYTES, &mut block[..there as usize])?;
        Ok(block.into())
    }
}

impl fmt::Debug for OverlayBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OverlayBackend({})", self.file.path())
    }
}

/// The pieces of `offset..offset + len` by block: block, offset in it, range of the whole.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let skip = (at % BLOCK_BYTES) as usize;
        let take = (BLOCK_BYTES as usize - skip).min(len - done);
        done += take;
        (take > 0).then(|| (at / BLOCK_BYTES, skip, done - take..done))
    })
}

impl StorageBackend for OverlayBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.held().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = self.held();
        if offset + out.len() as u64 > overlay.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (index, skip, range) in pieces(offset, out.len()) {
            let block = self.block(&overlay, index)?;
            let len = range.len();
            out[range].copy_from_slice(&block[skip..skip + len]);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut overlay = self.held();
        if len < overlay.len {
            overlay.blocks.split_off(&len.div_ceil(BLOCK_BYTES));
            overlay.file_len = overlay.file_len.min(len);
        }
        overlay.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut overlay = self.held();
        for (index, skip, range) in pieces(offset, data.len()) {
            let mut block = self.block(&overlay, index)?;
            block[skip..skip + range.len()].copy_from_slice(&data[range]);
            overlay.blocks.insert(index, block);
        }
        Ok(())
    }
}

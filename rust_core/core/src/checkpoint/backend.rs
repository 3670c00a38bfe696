//! A file of the store's disk as redb wants it: so snapshots run on every disk that the engine runs on.

use std::fmt;
use std::io;

use redb::StorageBackend;

use crate::env::{DiskFile, fork};
use crate::sync::Arc;

/// The file itself. In a forked child nothing of it can be reached: the parent goes on writing.
pub(super) struct FileBackend {
    file: Arc<dyn DiskFile>,
    fork_generation: u32,
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

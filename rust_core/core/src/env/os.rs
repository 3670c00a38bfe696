//! Real files below one directory. Files are 0600, directories 0700, symbolic links are refused.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FallocateFlags, StatxFlags};
use rustix::io::Errno;

use super::disk::{Disk, DiskFile, IoError, LockFailed, OpenHow};
use super::fork;
use super::map::{MappedRegion, Region};
use crate::sync::Arc;

/// `STATX_MNT_ID_UNIQUE` (Linux 6.8): never reused, unlike the plain mount id.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
/// File systems on which a shared mapping is not known to survive a SIGKILL whole, or copies pages when written:
/// NFS, SMB, CIFS, SMB2, btrfs, ZFS, FUSE, 9p, Ceph (`f_type` of statfs(2), linux/magic.h).
const UNTRUSTED_MAPS: [u64; 9] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x9123_683e, 0x2fc1_2fc1, 0x6573_5546, 0x0102_1997, 0x00c3_6400];

/// A signal makes some file systems give up an allocation and all that it had done. Where signals come faster than that
/// takes, trying again would never end; writes get on in between.
const ALLOCATE_TRIES: u32 = 3;

/// One directory of the operating system.
pub struct OsDisk {
    root: PathBuf,
}

fn fault(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IoError {
    let path = path.display().to_string();
    move |source| IoError { op, path, source }
}

/// A directory, and not a link to one.
fn is_own_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_dir())
}

/// Makes a directory and its missing parents, each durable in its own parent: a synced file in a directory whose name
/// a power loss takes away is lost too.
fn create_durably(dir: &Path) -> Result<(), IoError> {
    let parent = dir.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        create_durably(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        made => made.map_err(fault("create directory", dir))?,
    }
    File::open(parent).and_then(|d| d.sync_all()).map_err(fault("sync directory", parent))
}

impl OsDisk {
    /// Opens the directory, making it (and its parents) when missing.
    ///
    /// # Errors
    /// The system's: not a directory, no permission, read-only file system.
    pub fn open(root: &Path) -> Result<Self, IoError> {
        fork::watch();
        if !root.is_dir() {
            create_durably(root)?;
        }
        let root = root.canonicalize().map_err(fault("open", root))?;
        Ok(Self { root })
    }

    /// Opens a directory that is there already, and makes nothing.
    ///
    /// # Errors
    /// The system's.
    pub fn existing(root: &Path) -> Result<Self, IoError> {
        fork::watch();
        fs::read_dir(root).map_err(fault("open directory", root))?;
        Ok(Self { root: root.canonicalize().map_err(fault("open", root))? })
    }

    fn at(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn dir(&self, name: &str) -> Result<File, IoError> {
        let path = self.at(name);
        File::open(&path).map_err(fault("open directory", &path))
    }
}

impl Disk for OsDisk {
    fn path_of(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn create_dir(&self, name: &str) -> Result<(), IoError> {
        let path = self.at(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && is_own_dir(&path) => Ok(()),
            done => done.map_err(fault("create directory", &path)),
        }
    }

    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        let path = self.at(dir);
        let entries = match fs::read_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fault("list", &path))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(fault("list", &path))?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        let path = self.at(name);
        let file = OpenOptions::new()
            .read(true)
            .write(how != OpenHow::Read)
            .create_new(how == OpenHow::Create)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(fault("open", &path))?;
        Ok(Arc::new(OsFile { path, file }))
    }

    fn exists(&self, name: &str) -> Result<bool, IoError> {
        let path = self.at(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(fault("stat", &path)(e)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        fs::rename(self.at(from), self.at(to)).map_err(fault("rename to", &self.at(to)))
    }

    fn remove(&self, name: &str) -> Result<(), IoError> {
        let path = self.at(name);
        fs::remove_file(&path).map_err(fault("remove", &path))
    }

    fn sync_dir(&self, dir: &str) -> Result<(), IoError> {
        self.dir(dir)?.sync_all().map_err(fault("sync directory", &self.at(dir)))
    }

    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        let path = self.at(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(fault("open", &path))?;
        Ok(Box::new(MappedRegion::new(&file, len_bytes).map_err(fault("map", &path))?))
    }

    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        super::disk::read_file(self, name)
    }

    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        let stat = rustix::fs::fstatfs(self.dir("")?).map_err(|e| fault("statfs", &self.root)(e.into()))?;
        Ok(!UNTRUSTED_MAPS.contains(&(stat.f_type as u64)))
    }

    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        super::lock::lock(&self.at(name))
    }

    fn is_locked(&self, name: &str) -> Result<bool, IoError> {
        super::lock::is_locked(&self.at(name))
    }

    fn incarnation(&self) -> Result<u64, IoError> {
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let wanted = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE) | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(self.dir("")?, "", AtFlags::EMPTY_PATH, wanted)
            .map_err(|e| fault("statx", &self.root)(e.into()))?;
        let mut identity = boot;
        for number in [u64::from(stat.stx_dev_major), u64::from(stat.stx_dev_minor), stat.stx_mnt_id] {
            identity.extend_from_slice(&number.to_le_bytes());
        }
        Ok(crate::checksum::xxh3_64(&identity))
    }

    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        let mut id = [0; 16];
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())
            .map_err(|e| fault("getrandom for", &self.root)(e.into()))?;
        Ok(id)
    }
}

struct OsFile {
    path: PathBuf,
    file: File,
}

impl DiskFile for OsFile {
    fn path(&self) -> String {
        self.path.display().to_string()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let len = self.len()?;
        if len >= len_bytes {
            return Ok(());
        }
        for _ in 0..ALLOCATE_TRIES {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), len, len_bytes - len) {
                Ok(()) => return Ok(()),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Err(e) => {
                    // A failed call may leave the file longer without the blocks behind it.
                    self.file.set_len(len)?;
                    if e != Errno::INTR {
                        return Err(e.into());
                    }
                }
            }
        }
        self.zero_fill(len, len_bytes)
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
}

impl OsFile {
    /// Allocation where the call does not get there: written zeros take up space.
    fn zero_fill(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = [0u8; 4096];
        let mut at = from;
        while at < to {
            let take = (to - at).min(4096) as usize;
            if let Err(e) = FileExt::write_all_at(&self.file, &zeros[..take], at) {
                self.file.set_len(from)?;
                return Err(e);
            }
            at += take as u64;
        }
        Ok(())
    }
}

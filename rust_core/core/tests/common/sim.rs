//! A disk that forgets: a power loss keeps, of what was not synced, any sectors and names; a failed sync loses them for
//! good. It can note its state before every change, for an explorer to go on from.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use spellkeep_core::env::fault::Faults;
use spellkeep_core::env::map::HeapRegion;
use spellkeep_core::env::{Disk, DiskFile, IoError, LockFailed, OpenHow, Region};

use super::Rng;
pub use super::tree::Tree;
use super::tree::region_bytes;

const ENOSPC: i32 = 28;

/// The state just before a change.
pub struct Point {
    pub tree: Tree,
    /// The change that did not come.
    pub op: &'static str,
    pub name: String,
    /// When it is a write: file, place and bytes.
    pub write: Option<(u64, usize, Vec<u8>)>,
}

impl Point {
    /// The same, when the process died in the middle of the write: the system stops between pages, and here, for more
    /// to happen in small files, between words.
    pub fn torn(&self, rng: &mut Rng) -> Option<Tree> {
        let (id, offset, bytes) = self.write.as_ref().filter(|(_, _, bytes)| !bytes.is_empty())?;
        let mut tree = self.tree.clone();
        let done = rng.below(bytes.len().div_ceil(8)) * 8;
        tree.files.get_mut(id)?.contents.write(&bytes[..done], *offset, true);
        Some(tree)
    }
}

#[derive(Default)]
struct State {
    tree: Tree,
    locked: bool,
    points: Option<Vec<Point>>,
    /// No call fails or is counted while a test looks at what there is.
    looking: bool,
    /// Calls of each operation that may fail, in order.
    calls: Option<Vec<&'static str>>,
}

/// Clones share the files.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    pub faults: Faults,
    pub sync_time: Duration,
    /// Longest extension that is granted at once: an engine that reserves little leaves little to read back.
    pub grant: Option<usize>,
}

struct SimFile {
    disk: SimDisk,
    id: u64,
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

/// Changes a region that nobody uses meanwhile.
pub fn alter_region(region: &HeapRegion, change: impl FnOnce(&mut [u8])) {
    // SAFETY: the region holds `len` bytes from `base`.
    change(unsafe { std::slice::from_raw_parts_mut(region.base(), region.len()) });
}

fn refusal(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl State {
    /// Notes the state before a change.
    fn before(&mut self, op: &'static str, name: &str, write: Option<(u64, usize, &[u8])>) {
        if let Some(points) = &mut self.points {
            let write = write.map(|(id, offset, bytes)| (id, offset, bytes.to_vec()));
            points.push(Point { tree: self.tree.copy(), op, name: name.to_owned(), write });
        }
    }
}

impl SimDisk {
    fn held(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }

    pub fn of(tree: Tree) -> Self {
        let state = State { tree, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), ..Self::default() }
    }

    /// From now on every change is preceded by a [`Point`].
    pub fn note_points(&self) {
        let mut state = self.held();
        state.points = Some(Vec::new());
        state.tree.keep = true;
    }

    /// How many were noted and not taken.
    pub fn point_count(&self) -> usize {
        self.held().points.as_ref().map_or(0, Vec::len)
    }

    /// What was noted since the last time.
    pub fn take_points(&self) -> Vec<Point> {
        self.held().points.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub fn stop_noting(&self) {
        self.held().points = None;
    }

    /// Notes the state between two changes.
    pub fn note_rest(&self) {
        self.held().before("rest", "", None);
    }

    /// Counts calls that may fail from now on.
    pub fn note_calls(&self) {
        self.held().calls = Some(Vec::new());
    }

    /// Looks at what there is, without faults.
    pub fn look<R>(&self, look: impl FnOnce() -> R) -> R {
        self.held().looking = true;
        let seen = look();
        self.held().looking = false;
        seen
    }

    pub fn take_calls(&self) -> Vec<&'static str> {
        self.held().calls.take().unwrap_or_default()
    }

    /// The present state, by itself.
    pub fn tree(&self) -> Tree {
        self.held().tree.copy()
    }

    fn strike(&self, op: &'static str, name: &str) -> Option<i32> {
        let mut state = self.held();
        if state.looking {
            return None;
        }
        if let Some(calls) = &mut state.calls {
            calls.push(op);
        }
        self.faults.strike(op, name)
    }

    fn check(&self, op: &'static str, name: &str) -> Result<(), IoError> {
        let refused = |errno| IoError { op, path: name.into(), source: refusal(errno) };
        self.strike(op, name).map_or(Ok(()), |errno| Err(refused(errno)))
    }

    fn find(&self, op: &'static str, name: &str) -> Result<u64, IoError> {
        let missing = || IoError { op, path: name.into(), source: io::ErrorKind::NotFound.into() };
        self.held().tree.names.get(name).copied().ok_or_else(missing)
    }

    /// The process dies; the page cache lives.
    pub fn kill(&self) {
        let mut state = self.held();
        state.locked = false;
        state.tree.forget_mappings();
    }

    /// Changes the bytes of a file that nobody uses meanwhile.
    pub fn alter(&self, name: &str, at: usize, bytes: &[u8]) {
        let id = self.find("alter", name).unwrap();
        self.held().tree.files.get_mut(&id).unwrap().contents.write(bytes, at, false);
    }

    /// The machine dies, and everything had been written back.
    pub fn lose_power_of_nothing(&self) {
        self.held().tree.incarnation += 1;
    }

    /// The machine dies; see [`Tree::lose_power`].
    pub fn lose_power(&self, rng: &mut Rng) {
        let mut state = self.held();
        state.locked = false;
        state.tree.lose_power(rng);
    }
}

impl Disk for SimDisk {
    fn path_of(&self, name: &str) -> String {
        name.to_owned()
    }
    fn create_dir(&self, name: &str) -> Result<(), IoError> {
        self.check("create_dir", name)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        self.check("list", dir)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        Ok(self.held().tree.names.keys().filter_map(|n| n.strip_prefix(&prefix)).map(str::to_owned).collect())
    }
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        self.check(if how == OpenHow::Create { "create" } else { "open" }, name)?;
        let id = if how == OpenHow::Create {
            let mut state = self.held();
            state.before("create", name, None);
            state.tree.create(name)
        } else {
            self.find("open", name)?
        };
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        self.check("exists", name)?;
        Ok(self.held().tree.names.contains_key(name))
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        self.check("rename", to)?;
        self.find("rename", from)?;
        let mut state = self.held();
        state.before("rename", to, None);
        state.tree.rename(from, to);
        Ok(())
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        self.check("remove", name)?;
        self.find("remove", name)?;
        let mut state = self.held();
        state.before("remove", name, None);
        state.tree.remove(name);
        Ok(())
    }
    fn sync_dir(&self, dir: &str) -> Result<(), IoError> {
        self.check("sync_dir", dir)?;
        let mut state = self.held();
        state.before("sync_dir", dir, None);
        state.tree.sync_dir(dir);
        Ok(())
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        self.check("map", name)?;
        let id = self.find("map", name)?;
        let mut state = self.held();
        let Some(file) = state.tree.files.get_mut(&id) else { return Err(self.find("map", "").unwrap_err()) };
        let now = &file.contents.now;
        let region = file.region.get_or_insert_with(|| Arc::new(HeapRegion::from_bytes(&now.bytes(), len_bytes)));
        Ok(Box::new(Shared(Arc::clone(region))))
    }
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        self.check("copy_map", name)?;
        let id = self.find("map", name)?;
        let state = self.held();
        let Some(file) = state.tree.files.get(&id) else { return Err(self.find("map", "").unwrap_err()) };
        Ok(file.region.as_ref().map_or_else(|| file.contents.now.bytes(), |region| region_bytes(region)))
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        Ok(true)
    }
    fn lock(&self, _name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        let mut state = self.held();
        if std::mem::replace(&mut state.locked, true) {
            return Err(LockFailed::Held(None));
        }
        Ok(Box::new(Unlock(self.clone())))
    }
    fn is_locked(&self, _name: &str) -> Result<bool, IoError> {
        Ok(self.held().locked)
    }
    fn incarnation(&self) -> Result<u64, IoError> {
        self.check("incarnation", "")?;
        Ok(self.held().tree.incarnation)
    }
    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        Ok([7; 16])
    }
}

impl SimFile {
    fn with<R>(&self, act: impl FnOnce(&mut State, &str) -> R) -> R {
        let name = self.path();
        act(&mut self.disk.held(), &name)
    }

    /// Files that were removed take their changes with them.
    fn change(
        &self,
        op: &'static str,
        write: Option<(usize, &[u8])>,
        change: impl FnOnce(&mut super::image::Contents, bool),
    ) {
        self.with(|state, name| {
            state.before(op, name, write.map(|(offset, bytes)| (self.id, offset, bytes)));
            let keep = state.tree.keep;
            if let Some(file) = state.tree.files.get_mut(&self.id) {
                change(&mut file.contents, keep);
            }
        });
    }

    fn strike(&self, op: &'static str) -> Option<i32> {
        self.disk.strike(op, &self.path())
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> String {
        let state = self.disk.held();
        state.tree.names.iter().find(|(_, id)| **id == self.id).map_or_else(String::new, |(name, _)| name.clone())
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(errno) = self.strike("read") {
            return Err(refusal(errno));
        }
        Ok(self
            .with(|state, _| state.tree.files.get(&self.id).map_or(0, |f| f.contents.now.read(buf, offset as usize))))
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let take = match self.strike("write") {
            None => bytes.len(),
            Some(0) => bytes.len().div_ceil(2),
            Some(errno) => return Err(refusal(errno)),
        };
        let (offset, bytes) = (offset as usize, &bytes[..take]);
        self.change("write", Some((offset, bytes)), |contents, keep| contents.write(bytes, offset, keep));
        Ok(take)
    }
    fn sync(&self) -> io::Result<()> {
        if !self.disk.sync_time.is_zero() {
            std::thread::sleep(self.disk.sync_time);
        }
        let refused = self.strike("sync");
        self.change("sync", None, |contents, _| contents.sync(refused.is_some()));
        refused.map_or(Ok(()), |errno| Err(refusal(errno)))
    }
    fn len(&self) -> io::Result<u64> {
        if let Some(errno) = self.strike("len") {
            return Err(refusal(errno));
        }
        Ok(self.with(|state, _| state.tree.files.get(&self.id).map_or(0, |f| f.contents.now.len() as u64)))
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        let have = self.with(|state, _| state.tree.files.get(&self.id).map_or(0, |f| f.contents.now.len()));
        let wanted = len_bytes as usize;
        let refused = self.strike("allocate");
        if let Some(errno) = refused.or(self.disk.grant.filter(|grant| wanted > have + grant).map(|_| ENOSPC)) {
            return Err(refusal(errno));
        }
        if have < wanted {
            self.change("allocate", None, |contents, keep| contents.resize(wanted, keep));
        }
        Ok(())
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        if let Some(errno) = self.strike("set_len") {
            return Err(refusal(errno));
        }
        self.change("set_len", None, |contents, keep| contents.resize(len_bytes as usize, keep));
        Ok(())
    }
}

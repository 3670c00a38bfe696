//! The files and names of a simulated disk, as the system sees them and as the disk has them. Copies are cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

use spellkeep_core::env::Region;
use spellkeep_core::env::disk::parent;
use spellkeep_core::env::map::HeapRegion;

use super::Rng;
use super::image::Contents;

/// A change of a directory.
#[derive(Clone)]
enum Change {
    Made(String, u64),
    Renamed(String, String, u64),
    Removed(String, u64),
}

impl Change {
    fn dir(&self) -> &str {
        match self {
            Self::Made(name, _) | Self::Renamed(name, ..) | Self::Removed(name, _) => parent(name),
        }
    }

    /// A name is taken away only from the file that had it: changes are of files, even where some of them got lost.
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        let mut forget = |name: &String, id: u64| {
            if names.get(name) == Some(&id) {
                names.remove(name);
            }
        };
        match self {
            Self::Made(name, id) => drop(names.insert(name, id)),
            Self::Renamed(from, to, id) => {
                forget(&from, id);
                names.insert(to, id);
            }
            Self::Removed(name, id) => forget(&name, id),
        }
    }
}

#[derive(Clone, Default)]
pub struct File {
    pub contents: Contents,
    pub region: Option<Arc<HeapRegion>>,
}

#[derive(Clone, Default)]
pub struct Tree {
    pub files: BTreeMap<u64, File>,
    pub names: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Since the last sync of their directory, in order.
    changes: Vec<Change>,
    pub incarnation: u64,
    next_id: u64,
    /// Whether contents between two syncs are remembered.
    pub keep: bool,
}

/// A copy of a region that nobody writes to meanwhile.
pub fn region_bytes(region: &HeapRegion) -> Vec<u8> {
    view(region).to_vec()
}

fn view(region: &HeapRegion) -> &[u8] {
    // SAFETY: the region holds `len` bytes from `base`, and the tests read only when no engine runs.
    unsafe { std::slice::from_raw_parts(region.base(), region.len()) }
}

impl Tree {
    pub fn create(&mut self, name: &str) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        self.files.insert(id, File::default());
        assert!(!self.names.contains_key(name), "{name} was there");
        self.change(Change::Made(name.to_owned(), id));
        id
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.changes.push(change);
    }

    pub fn rename(&mut self, from: &str, to: &str) {
        let id = self.names[from];
        self.change(Change::Renamed(from.to_owned(), to.to_owned(), id));
    }

    pub fn remove(&mut self, name: &str) {
        let id = self.names[name];
        self.change(Change::Removed(name.to_owned(), id));
    }

    pub fn sync_dir(&mut self, dir: &str) {
        let (synced, open) = std::mem::take(&mut self.changes).into_iter().partition(|c| c.dir() == dir);
        self.changes = open;
        let synced: Vec<Change> = synced;
        synced.into_iter().for_each(|change| change.apply(&mut self.durable));
    }

    /// Takes over what was stored into mapped memory so far.
    pub fn absorb(&mut self) {
        for file in self.files.values_mut() {
            if let Some(region) = &file.region {
                file.contents.absorb(view(region), self.keep);
            }
        }
    }

    /// The tree by itself: mapped memory is not shared with the original.
    pub fn copy(&mut self) -> Self {
        self.absorb();
        let mut twin = self.clone();
        twin.forget_mappings();
        twin
    }

    /// What a process leaves behind: the page cache, and mapped memory in it.
    pub fn forget_mappings(&mut self) {
        self.absorb();
        self.files.values_mut().for_each(|file| file.region = None);
    }

    /// The machine dies. Of each directory's changes since its last sync none, all, the first few or any are there.
    pub fn lose_power(&mut self, rng: &mut Rng) {
        self.forget_mappings();
        self.incarnation += 1;
        let changes = std::mem::take(&mut self.changes);
        for dir in ["", "segments", "snapshots"] {
            let own: Vec<_> = changes.iter().filter(|c| c.dir() == dir).cloned().collect();
            let (way, first) = (rng.below(4), rng.below(own.len() + 1));
            for (i, change) in own.into_iter().enumerate() {
                if way == 1 || (way == 2 && i < first) || (way == 3 && rng.chance(50)) {
                    change.apply(&mut self.durable);
                }
            }
        }
        self.names = self.durable.clone();
        let names = &self.names;
        self.files.retain(|id, _| names.values().any(|known| known == id));
        self.files.values_mut().for_each(|file| file.contents.lose(rng));
    }
}

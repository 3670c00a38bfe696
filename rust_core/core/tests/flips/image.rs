//! The store that is harmed: every kind of record, several openings and segments, ended in each way that there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use spellkeep_core::env::Disk;
use spellkeep_core::env::disk::read_file;
use spellkeep_core::record::{Draft, Kind, Lsn, OriginBuf, StateClass};
use spellkeep_core::store::{Batch, Op, Store, StoreError};
use spellkeep_core::wal::{Durability, WalOptions};

use super::view::{Truth, View};
use crate::common::sim::{SimDisk, Tree};
use crate::common::{clear, delete, env_on, small};

/// How the store was left, and where it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub mapped: bool,
    /// Closed, or killed with records that no segment holds durably.
    pub closed: bool,
    /// Opened again in another incarnation: unsynced bytes may have been lost in between, though here none were.
    pub moved: bool,
}

pub fn setups() -> impl Iterator<Item = Setup> {
    (0..8).map(|i| Setup { mapped: i & 1 == 0, closed: i & 2 == 0, moved: i & 4 != 0 })
}

pub type Files = BTreeMap<String, Vec<u8>>;

/// A store that nobody has open, and everything about it that is known.
pub struct Image {
    pub setup: Setup,
    pub tree: Tree,
    pub files: Files,
    /// The files at earlier moments, oldest first.
    pub earlier: Vec<Files>,
    pub truth: Truth,
    /// What the disk itself says was durable: the manifest's end, and the synced mark where there is a ring.
    pub durable: Lsn,
}

pub fn options(mapped: bool) -> WalOptions {
    WalOptions { ring_bytes: 4096, segment_bytes: 4096, ..small(Durability::Interval, mapped) }
}

pub fn open(disk: &SimDisk, mapped: bool) -> Result<Store, StoreError> {
    Store::open(env_on(Arc::new(disk.clone())), options(mapped))
}

/// Reserves little ahead: zeros that say no more than other zeros.
pub fn disk_of(tree: Tree) -> SimDisk {
    let mut disk = SimDisk::of(tree);
    disk.grant = Some(4096 + (16 << 10) + 8192);
    disk
}

pub fn files_of(disk: &SimDisk) -> Files {
    let disk = SimDisk::of(disk.tree());
    disk.list("").unwrap().into_iter().map(|name| (name.clone(), read_file(&disk, &name).unwrap())).collect()
}

const S: &[u8] = b"\x04scout\0\0";
const T: &[u8] = b"\x01";
const CLASSES: [StateClass; 2] = [StateClass::Standard, StateClass::Trusted];

/// The store while it is being made.
struct Life {
    store: Store,
    /// Numbers values, so that no two are equal.
    count: u8,
}

impl Life {
    fn value(&mut self, len: usize) -> Vec<u8> {
        self.count += 1;
        (0..len).map(|i| self.count ^ (i as u8).wrapping_mul(31)).collect()
    }

    fn put(&mut self, scope: &[u8], key: &str, len: usize) {
        let class = CLASSES[usize::from(self.count % 2)];
        let draft = Draft::of(Kind::Set, class, scope, key.as_bytes(), &self.value(len));
        self.commit(vec![(scope, draft)]);
    }

    fn commit(&self, drafts: Vec<(&[u8], Draft)>) {
        let mut batch = Batch::default();
        for (scope, draft) in drafts {
            batch.push(Op { map: self.store.scope(scope), draft, if_version: None });
        }
        let last = self.store.batch(&mut batch).unwrap().into_iter().max().unwrap();
        self.store.wal().acknowledge(last).unwrap();
    }

    /// A record that ends where a sector of the ring does, and of the first segment: what is swapped or copied behind it
    /// is a whole frame.
    fn pad(&mut self) {
        let end = self.store.wal().end() as usize;
        let frame = |len| Draft::of(Kind::Set, CLASSES[0], T, b"pad", &vec![0; len]).frame_len();
        let len = (0..1024).find(|len| (end + frame(*len)).is_multiple_of(512)).unwrap();
        self.put(T, "pad", len);
    }

    fn batch(&mut self, sets: &[(&'static [u8], &str, usize)], gone: &[(&'static [u8], &str)]) {
        let mut drafts = Vec::new();
        for (scope, key, len) in sets {
            drafts.push((*scope, Draft::of(Kind::Set, CLASSES[1], scope, key.as_bytes(), &self.value(*len))));
        }
        for (scope, key) in gone {
            drafts.push((*scope, Draft::of(Kind::Delete, CLASSES[0], scope, key.as_bytes(), b"")));
        }
        self.commit(drafts);
    }

    fn emit(&mut self, event: &str, len: usize) {
        let origin = OriginBuf::new(Some(3), Some("req-42"), Some("anna"), &["one", "two"]).unwrap();
        let value = self.value(len);
        let mut draft = Draft::from(Kind::Event, CLASSES[0], S, event.as_bytes(), &value, origin.get());
        let lsn = self.store.emit(&mut draft).unwrap();
        self.store.wal().acknowledge(lsn).unwrap();
    }

    fn flush(&self) {
        self.store.wal().flush().unwrap();
    }
}

/// A record of exactly one sector, for a key of one letter.
const SECTOR_VALUE: usize = 512 - 64 - 8 - 1 - 7;

fn first(life: &mut Life) {
    life.pad();
    for key in ["a", "b", "a"] {
        life.put(S, key, SECTOR_VALUE);
    }
    life.put(T, "t", 9);
    life.emit("a", 20);
    life.put(T, "empty", 0);
    delete(&life.store, S, "b").unwrap();
    life.flush();
}

fn second(life: &mut Life) {
    life.batch(&[(S, "a", 60), (S, "c", 33), (T, "t", 12)], &[(T, "empty")]);
    life.put(S, "d", 1200);
    clear(&life.store, S).unwrap();
    life.flush();
    // Larger than the ring, alone and as a batch.
    life.put(S, "big", 4500);
    life.put(S, "a", 700);
    life.batch(&[(S, "big", 2000), (T, "t", 2400)], &[(T, "pad")]);
    life.put(T, "u", 30);
    life.store.wal().drain(false).unwrap();
    life.put(T, "u", 20);
}

fn third(life: &mut Life) {
    life.put(S, "e", 1500);
    life.put(S, "f", 1500);
    life.put(S, "e", 1100);
    life.flush();
    life.put(S, "f", 300);
}

/// All in one segment, where nothing but the manifest says that there was a fourth opening.
fn fourth(life: &mut Life) {
    life.pad();
    life.put(S, "a", SECTOR_VALUE);
    life.flush();
    life.put(S, "b", SECTOR_VALUE);
    life.put(T, "v", 70);
    life.emit("made", 10);
    life.store.wal().drain(false).unwrap();
    // From here on only the ring holds it.
    life.batch(&[(S, "a", 90), (T, "w", 10)], &[(S, "e")]);
    life.pad();
    life.put(S, "c", SECTOR_VALUE);
    clear(&life.store, T).unwrap();
    life.put(T, "w", 40);
    life.emit("a", 30);
    delete(&life.store, S, "f").unwrap();
    life.put(S, "last", 25);
}

fn u64_in(files: &Files, name: &str, at: usize) -> u64 {
    u64::from_le_bytes(files[name][at..at + 8].try_into().unwrap())
}

/// The manifest's end, and the ring's synced mark where it is of the same opening (docs/format.md).
fn durable_in(files: &Files) -> Lsn {
    let epoch = u64_in(files, "MANIFEST", 12) as u32;
    let marked = files.get("ring").filter(|ring| ring[64..72] == u64::from(epoch).to_le_bytes());
    u64_in(files, "MANIFEST", 48).max(marked.map_or(0, |_| u64_in(files, "ring", 80)))
}

impl Image {
    pub fn new(setup: Setup) -> Self {
        let (mut disk, mut count, mut earlier) = (disk_of(Tree::default()), 0, Vec::new());
        for (step, closed) in [(first as fn(&mut Life), true), (second, false), (third, true)] {
            let mut life = Life { store: open(&disk, setup.mapped).unwrap(), count };
            step(&mut life);
            earlier.push(files_of(&disk));
            if closed {
                life.store.close().unwrap();
                earlier.push(files_of(&disk));
            }
            count = life.count;
            disk = disk_of(disk.tree());
        }
        let mut life = Life { store: open(&disk, setup.mapped).unwrap(), count };
        earlier.push(files_of(&disk));
        fourth(&mut life);
        let killed = disk.tree();
        // Looking brings everything to the segments, so it comes when the disk was put aside.
        let truth = Truth::new(View::read(&life.store, &Default::default()).unwrap().changes.unwrap());
        life.store.close().unwrap();
        if setup.closed {
            earlier.push(files_of(&disk_of(killed.clone())));
        }
        let disk = disk_of(if setup.closed { disk.tree() } else { killed });
        if setup.moved {
            disk.lose_power_of_nothing();
        }
        let files = files_of(&disk);
        Self { setup, tree: disk.tree(), durable: durable_in(&files), files, earlier, truth }
    }
}

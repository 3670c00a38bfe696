//! A log of many segments: few of their files are open at a time, and what is read of them is right while they go.

mod common;

use std::fs;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use common::{code, env_on, set, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, DiskFile, Env, IoError, LockFailed, OpenHow, Region};
use spellkeep_core::limits::SEALED_OPEN_MAX;
use spellkeep_core::store::{Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";
/// The kept ones, the one that is written, and two that are being opened, made or read.
const OPEN_MAX: usize = SEALED_OPEN_MAX + 3;

/// Segment files that are open now, and the most that ever were.
#[derive(Default)]
struct Tally {
    now: AtomicUsize,
    most: AtomicUsize,
    /// Done once, before the next segment is opened to be read.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

struct TallyDisk(MemDisk, Arc<Tally>);

struct TallyFile(Arc<dyn DiskFile>, Arc<Tally>);

impl Drop for TallyFile {
    fn drop(&mut self) {
        self.1.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Disk for TallyDisk {
    fn open(&self, name: &str, how: OpenHow) -> Result<Arc<dyn DiskFile>, IoError> {
        if !name.starts_with("segments/") {
            return self.0.open(name, how);
        }
        let meanwhile = self.1.meanwhile.lock().unwrap().take_if(|_| how == OpenHow::Read);
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let file = self.0.open(name, how)?;
        let now = self.1.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.1.most.fetch_max(now, Ordering::Relaxed);
        Ok(Arc::new(TallyFile(file, Arc::clone(&self.1))))
    }
    fn path_of(&self, name: &str) -> String {
        self.0.path_of(name)
    }
    fn create_dir(&self, name: &str) -> Result<(), IoError> {
        self.0.create_dir(name)
    }
    fn list(&self, dir: &str) -> Result<Vec<String>, IoError> {
        self.0.list(dir)
    }
    fn exists(&self, name: &str) -> Result<bool, IoError> {
        self.0.exists(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<(), IoError> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<(), IoError> {
        self.0.remove(name)
    }
    fn sync_dir(&self, dir: &str) -> Result<(), IoError> {
        self.0.sync_dir(dir)
    }
    fn map(&self, name: &str, len_bytes: usize) -> Result<Box<dyn Region>, IoError> {
        self.0.map(name, len_bytes)
    }
    fn copy_map(&self, name: &str) -> Result<Vec<u8>, IoError> {
        self.0.copy_map(name)
    }
    fn maps_are_trusted(&self) -> Result<bool, IoError> {
        self.0.maps_are_trusted()
    }
    fn lock(&self, name: &str) -> Result<Box<dyn Send + Sync>, LockFailed> {
        self.0.lock(name)
    }
    fn is_locked(&self, name: &str) -> Result<bool, IoError> {
        self.0.is_locked(name)
    }
    fn incarnation(&self) -> Result<u64, IoError> {
        self.0.incarnation()
    }
    fn unique_id(&self) -> Result<[u8; 16], IoError> {
        self.0.unique_id()
    }
}

impl DiskFile for TallyFile {
    fn path(&self) -> String {
        self.0.path()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.0.allocate(len_bytes)
    }
    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len(len_bytes)
    }
}

fn tallied(disk: &MemDisk) -> (Env, Arc<Tally>) {
    let tally = Arc::new(Tally::default());
    (env_on(Arc::new(TallyDisk(disk.clone(), Arc::clone(&tally)))), tally)
}

fn options(keep_bytes: Option<u64>) -> StoreOptions {
    let keep = Retention { log_bytes: keep_bytes, age_us: 0 };
    StoreOptions { keep, memory_budget_bytes: Some(4 << 10), ..small(Durability::Interval, true).into() }
}

fn value(round: u32, i: u32) -> Vec<u8> {
    format!("{round}/{i} ").into_bytes().repeat(200)
}

/// Forty keys, set again and again: about one segment for each of the rounds.
fn write(store: &Store, rounds: u32) {
    for round in 0..rounds {
        for i in 0..80 {
            set(store, S, &format!("key{}", i % 40), &value(round, i)).unwrap();
        }
    }
}

fn keys() -> impl Iterator<Item = (String, u32)> {
    (0..40).map(|i| (format!("key{i}"), i + 40))
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    store.thaw(&store.scope(S), key.as_bytes()).unwrap().map(|entry| entry.value().to_vec())
}

fn change_count(store: &Store) -> usize {
    let mut changes = store.changes(0).unwrap();
    std::iter::from_fn(|| changes.next_change().unwrap()).count()
}

#[test]
fn few_segment_files_are_open_whatever_is_done_with_a_long_log() {
    let disk = MemDisk::new();
    let (env, tally) = tallied(&disk);
    let (rounds, kept) = (90, options(None));
    let done = |tally: &Tally, what: &str| {
        let most = tally.most.swap(tally.now.load(Ordering::Relaxed), Ordering::Relaxed);
        assert!(most <= OPEN_MAX, "{what} had {most} segment files open");
    };
    let read_all = |store: &Store, tally: &Tally, of: &str| {
        assert_eq!(store.history(&store.scope(S), "key7", 1000).unwrap().len(), rounds as usize * 2);
        done(tally, &format!("the history {of}"));
        assert_eq!(change_count(store), rounds as usize * 80);
        done(tally, &format!("the change feed {of}"));
        assert!(store.verify().unwrap().damages.is_empty());
        done(tally, &format!("the verification {of}"));
    };
    let store = Store::open(env.clone(), kept).unwrap();
    write(&store, rounds);
    done(&tally, "writing");
    assert!(store.wal().stats().segment_count > 2 * OPEN_MAX);
    store.evict().unwrap();
    keys().for_each(|(key, i)| assert_eq!(get(&store, &key), Some(value(rounds - 1, i))));
    done(&tally, "reading cold values");
    read_all(&store, &tally, "of a writer");
    let (other, looked) = tallied(&disk);
    let view = Store::look(&other).unwrap();
    done(&looked, "looking");
    read_all(&view, &looked, "of an onlooker");
    view.close().unwrap();
    store.checkpoint().unwrap();
    done(&tally, "a checkpoint");
    store.close().unwrap();
    drop((store, view));
    assert_eq!(tally.now.load(Ordering::Relaxed), 0);
    drop(Store::open(env.clone(), kept).unwrap());
    done(&tally, "opening");
    let copy = Store::open(common::env(&MemDisk::new()), options(None)).unwrap();
    copy.salvage(&env).unwrap();
    done(&tally, "salvaging");
}

#[cfg(target_os = "linux")]
#[test]
fn few_descriptors_are_open_and_none_of_a_removed_segment() {
    let dir = std::env::temp_dir().join(format!("spellkeep-descriptors-{}", std::process::id()));
    fs::remove_dir_all(&dir).ok();
    let store = Store::open(Env::real(&dir).unwrap(), options(Some(0))).unwrap();
    let segments = dir.canonicalize().unwrap().join("segments");
    let open = || -> Vec<_> {
        let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.ok()?.path()).ok());
        links.filter(|path| path.starts_with(&segments)).collect()
    };
    for _ in 0..3 {
        write(&store, 30);
        store.evict().unwrap();
        keys().for_each(|(key, i)| assert_eq!(get(&store, &key), Some(value(29, i))));
        assert!(!store.history(&store.scope(S), "key7", 1000).unwrap().is_empty());
        assert!(store.wal().stats().segment_count > 2 * OPEN_MAX);
        assert!(open().len() <= OPEN_MAX, "{:?}", open());
        store.checkpoint().unwrap();
        let gone: Vec<_> = open().into_iter().filter(|path| path.to_string_lossy().ends_with("(deleted)")).collect();
        assert!(gone.is_empty(), "{gone:?} take up space that the disk could have back");
    }
    store.close().unwrap();
    assert!(open().is_empty());
    fs::remove_dir_all(&dir).unwrap();
}

/// The segment is found, let go, and then there is no such file: the answer is the one of a reader that came later.
#[test]
fn a_segment_that_goes_between_being_found_and_opened_was_let_go() {
    for what in ["cold value", "history", "change feed"] {
        let disk = MemDisk::new();
        let (env, tally) = tallied(&disk);
        let store = Arc::new(Store::open(env, options(Some(0))).unwrap());
        write(&store, 30);
        // The segments that are still open hold nothing of that.
        for i in 0..SEALED_OPEN_MAX as u32 * 160 {
            set(&store, S, &format!("late{i}"), &value(30, i)).unwrap();
        }
        set(&store, S, "key7", b"newest").unwrap();
        store.evict().unwrap();
        let (other, first_lsn) = (Arc::clone(&store), store.wal().first_lsn());
        *tally.meanwhile.lock().unwrap() =
            Some(Box::new(move || assert!(other.checkpoint().unwrap().segment_count > 10)));
        match what {
            "cold value" => (8..40).for_each(|i| assert_eq!(get(&store, &format!("key{i}")), Some(value(29, i + 40)))),
            "history" => {
                let history = store.history(&store.scope(S), "key7", 1000).unwrap();
                assert_eq!(history.len(), 1);
                assert_eq!(history[0].value(), b"newest");
            }
            _ => assert_eq!(code(store.changes(0).unwrap().next_change()), "log.trimmed"),
        }
        assert!(tally.meanwhile.lock().unwrap().is_none() && store.wal().first_lsn() > first_lsn, "{what}");
    }
}

#[test]
fn an_onlooker_whose_log_was_let_go_is_told_so_and_still_has_every_value() {
    let disk = MemDisk::new();
    let store = Store::open(common::env(&disk), options(Some(0))).unwrap();
    write(&store, 30);
    let view = Store::look(&common::env(&disk)).unwrap();
    store.checkpoint().unwrap();
    let mut changes = view.changes(0).unwrap();
    assert_eq!(code(changes.next_change()), "log.trimmed");
    let history = view.history(&view.scope(S), "key7", 1000).unwrap();
    assert!(history.len() < 60 && history.iter().all(|change| change.key() == b"key7"));
    keys().for_each(|(key, i)| assert_eq!(get(&view, &key), Some(value(29, i))));
    assert_eq!(code(view.changes(0).map(|mut rest| while rest.next_change().unwrap().is_some() {})), "ok");
}

/// Changes the file of one segment; the third is the name of the next one.
type Replace = fn(&MemDisk, &str, &str);

/// Segments are opened again by name: what has the name then must be what had it before, frame by frame.
#[test]
fn a_segment_that_was_replaced_under_an_open_store_is_damage() {
    let replacements: [(&str, Replace); 4] = [
        ("another store's", |disk, name, _| disk.alter(name, |bytes| bytes[16] ^= 1)),
        ("another segment", |disk, name, next| {
            let mut other = Vec::new();
            disk.alter(next, |bytes| other.clone_from(bytes));
            disk.alter(name, |bytes| *bytes = other);
        }),
        ("an older state of it", |disk, name, _| {
            disk.alter(name, |bytes| {
                let half = bytes.len() / 2;
                bytes.truncate(half);
            });
        }),
        ("another segment's records", |disk, name, next| {
            let mut other = Vec::new();
            disk.alter(next, |bytes| other.clone_from(bytes));
            disk.alter(name, |bytes| bytes.splice(64.., other[64..].iter().copied()).for_each(drop));
        }),
    ];
    for (what, replace) in replacements {
        let disk = MemDisk::new();
        let store = Store::open(common::env(&disk), options(None)).unwrap();
        write(&store, 30);
        let names: Vec<String> = disk.list("segments").unwrap().iter().map(|n| format!("segments/{n}")).collect();
        replace(&disk, &names[2], &names[3]);
        let mut changes = store.changes(0).unwrap();
        let told = loop {
            match changes.next_change() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{what} was taken for the segment"),
                Err(e) => break code::<()>(Err(e)),
            }
        };
        assert_eq!(told, "log.damaged", "{what}");
        assert_eq!(code(store.history(&store.scope(S), "key7", 1000)), "log.damaged", "{what}");
        assert!(!store.verify().unwrap().damages.is_empty(), "{what}");
    }
}

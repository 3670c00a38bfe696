//! Reads that fail: what only looks says so, and neither takes it for damage nor answers as if nothing were there.

mod common;

use std::fmt::Write;
use std::sync::Arc;

use common::sim::{SimDisk, Tree};
use common::{batch, clear, delete, env_on, set, small, thinned};
use spellkeep_core::checksum::xxh3_64;
use spellkeep_core::env::Env;
use spellkeep_core::env::fault::Fault;
use spellkeep_core::error::Coded;
use spellkeep_core::store::{Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

const EINTR: i32 = 4;
const EIO: i32 = 5;
const S: &[u8] = b"\x04scout\0\0";

fn options() -> StoreOptions {
    let wal = WalOptions { ring_bytes: 4096, segment_bytes: 4096, ..small(Durability::Interval, true) };
    let keep = Retention { log_bytes: Some(8192), age_us: 0 };
    // Every value that can be read back is.
    StoreOptions { keep, memory_budget_bytes: Some(0), ..wal.into() }
}

fn env(disk: &SimDisk) -> Env {
    env_on(Arc::new(disk.clone()))
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::open(env(disk), options())
}

/// A killed store with snapshots, segments, records of each kind in them, and some in the ring alone.
fn lived() -> Tree {
    let disk = SimDisk::default();
    let store = open(&disk).unwrap();
    for i in 0..40u32 {
        set(&store, S, &format!("key{}", i % 20), &i.to_le_bytes().repeat(100)).unwrap();
    }
    set(&store, b"\x01", "cleared", b"1").unwrap();
    store.checkpoint().unwrap();
    clear(&store, b"\x01").unwrap();
    delete(&store, S, "key3").unwrap();
    set(&store, S, "large", &[7; 9000]).unwrap();
    batch(&store, &[(S.to_vec(), "a".into(), Some(vec![1])), (S.to_vec(), "key4".into(), None)]).unwrap();
    store.wal().flush().unwrap();
    set(&store, S, "ring", b"only").unwrap();
    drop(store);
    disk.kill();
    disk.tree()
}

/// Every live entry, with its value from wherever it is.
fn entries(store: &Store) -> Result<String, StoreError> {
    let (mut said, pin) = (String::new(), store.pin());
    for map in store.live_scopes() {
        for entry in store.list(&map, "") {
            let entry = store.whole(pin.as_ref(), map.scope(), entry)?;
            writeln!(said, "{:?} {} {:x}", entry.key(), entry.meta().lsn, xxh3_64(entry.value())).unwrap();
        }
    }
    Ok(said)
}

fn thawed(store: &Store) -> Result<String, StoreError> {
    let mut said = String::new();
    for key in ["key5", "key3", "large", "a", "ring"] {
        let entry = store.thaw(&store.scope(S), key.as_bytes())?;
        writeln!(said, "{key} {:?}", entry.map(|entry| xxh3_64(entry.value()))).unwrap();
    }
    Ok(said)
}

fn log(store: &Store) -> Result<String, StoreError> {
    let (mut said, mut changes) = (String::new(), store.changes(store.wal().first_lsn() - 1)?);
    while let Some(change) = changes.next_change()? {
        writeln!(said, "{} {:?}", change.lsn, change.kind).unwrap();
    }
    for change in store.history(&store.scope(S), "large", 10)? {
        writeln!(said, "{} {:?}", change.lsn, change.kind).unwrap();
    }
    Ok(said)
}

type Act = fn(&SimDisk, &Store) -> Result<String, StoreError>;

/// What is done, whether it works on an open store, and how it answers.
const ACTS: &[(&str, bool, Act)] = &[
    ("open", false, |disk, _| entries(&open(disk)?)),
    ("look", false, |disk, _| entries(&Store::look(&env(disk))?)),
    ("look at damaged", false, |disk, _| {
        disk.alter("segments/0000000000003c40-0000.seg", 200, b"damage");
        entries(&Store::look_at_damaged(&env(disk))?)
    }),
    ("verify a directory", false, |disk, _| Ok(format!("{:?}", Store::verify_at(&env(disk))?.damages))),
    ("salvage", false, |disk, _| {
        let new = Store::open(Env { threads: false, ..Env::memory() }, WalOptions::default())?;
        Ok(format!("{:?}", new.salvage(&env(disk))?.damages))
    }),
    ("verify", true, |_, store| Ok(format!("{:?}", store.verify()?.damages))),
    ("read values", true, |_, store| entries(store)),
    ("thaw", true, |_, store| thawed(store)),
    ("read the log", true, |_, store| log(store)),
];

struct Run {
    said: Result<String, StoreError>,
    calls: Vec<&'static str>,
    /// What the next opening finds.
    left: Result<String, &'static str>,
}

fn run(tree: &Tree, on_open: bool, act: Act, fault: Option<Fault>) -> Run {
    let (disk, other) = (SimDisk::of(tree.clone()), SimDisk::default());
    let store = open(if on_open { &disk } else { &other }).unwrap();
    disk.note_calls();
    fault.into_iter().for_each(|fault| disk.faults.add(fault));
    let said = act(&disk, &store);
    let calls = disk.take_calls();
    disk.faults.clear();
    drop(store);
    disk.kill();
    let left = open(&disk).and_then(|store| entries(&store)).map_err(|e| e.code());
    Run { said, calls, left }
}

/// Calls of each act fail once with `errno`, reads one in so many; `judge` says whether a run is as it should be.
fn each(errno: i32, ops: &[&'static str], one_in: usize, judge: impl Fn(&Run, &Run) -> bool) {
    let tree = lived();
    for &(name, on_open, act) in ACTS {
        let whole = run(&tree, on_open, act, None);
        assert!(whole.said.is_ok(), "{name}: {:?}", whole.said);
        let (mut runs, mut refused) = (0, 0);
        for &op in ops {
            let count = whole.calls.iter().filter(|call| **call == op).count();
            for after_count in thinned((0..count).step_by(if matches!(op, "read" | "write") { one_in } else { 1 })) {
                let fault = Fault { op, name: "", after_count: after_count as u32, fail_count: 1, errno };
                let ran = run(&tree, on_open, act, Some(fault));
                let what = format!("{name}: {op} {after_count}: {:?}", ran.said);
                assert!(judge(&whole, &ran), "{what}");
                assert_eq!(ran.left, whole.left, "{what}");
                (runs, refused) = (runs + 1, refused + u32::from(ran.said.is_err()));
            }
        }
        println!("{name}: {} calls, {runs} failed, {refused} were told", whole.calls.len());
    }
}

#[test]
fn a_read_that_fails_is_told_as_that_and_changes_nothing() {
    let ops = ["read", "len", "list", "exists", "copy_map", "incarnation", "open", "map", "create_dir"];
    each(EIO, &ops, 4, |whole, ran| match &ran.said {
        Ok(said) => *said == *whole.said.as_ref().unwrap(),
        Err(e) => e.code() == "storage.io",
    });
}

#[test]
fn a_call_that_a_signal_interrupts_is_made_again() {
    each(EINTR, &["read", "write"], 8, |whole, ran| ran.said.as_ref().ok() == whole.said.as_ref().ok());
}

//! The thread that records what has expired: it comes with the first entry that expires, rests when there is nothing to
//! do, survives a full disk, and ends with its store. One test, because it counts the threads of the process.

mod common;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::sim::SimDisk;
use common::ttl::set_ttl;
use common::{code, get, set, small};
use spellkeep_core::env::fault::Fault;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, Env};
use spellkeep_core::store::Store;
use spellkeep_core::wal::{Durability, WalOptions};

const S: &[u8] = b"scope";

/// Of each running thread of that kind, how often it went to sleep.
fn naps() -> Vec<u64> {
    let mut found = Vec::new();
    for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        if read("comm").starts_with("spellkeep-expir") {
            let status = read("status");
            let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).unwrap_or(":0");
            found.push(line.split(':').nth(1).unwrap_or("0").trim().parse().unwrap());
        }
    }
    found
}

fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the thread is there and sleeps on: one that wakes by itself, however rarely, never does.
fn rests(what: &str) {
    soon(what, || {
        let before = naps();
        std::thread::sleep(Duration::from_millis(300));
        before.len() == 1 && naps() == before
    });
}

/// Waits until it is gone: for a moment after it was joined the system still shows it.
fn ends(what: &str) {
    soon(what, || naps().is_empty());
}

fn open(disk: Arc<dyn Disk>) -> Store {
    let options = WalOptions { interval_ms: 1, ..small(Durability::Interval, true) };
    Store::open(Env { disk, ..Env::memory() }, options).unwrap()
}

#[test]
fn the_expiry_thread_comes_rests_survives_and_ends() {
    it_comes_with_the_first_entry_that_expires_and_rests_after_the_last();
    it_ends_with_a_store_that_is_dropped_or_closed();
    a_store_with_expired_entries_starts_it_when_opened();
    it_goes_on_when_a_full_disk_has_space_again();
    a_poisoned_log_lets_it_rest();
}

fn it_comes_with_the_first_entry_that_expires_and_rests_after_the_last() {
    let store = open(Arc::new(MemDisk::new()));
    set(&store, S, "always", b"1").unwrap();
    assert!(naps().is_empty(), "a store without expiry has no such thread");
    for i in 0..100 {
        set_ttl(&store, S, &format!("k{i}"), b"value", 1000 * i).unwrap();
    }
    soon("the records", || store.wal().last_lsn() == 201);
    assert_eq!(store.scope(S).live_count(), 1);
    rests("it has nothing to do and wakes all the same");
    // Whoever comes with an earlier time wakes it.
    set_ttl(&store, S, "late", b"2", 3_600_000_000).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    set_ttl(&store, S, "early", b"3", 1000).unwrap();
    soon("the early one", || store.wal().last_lsn() == 204);
    assert_eq!(store.scope(S).live_count(), 2);
    store.close().unwrap();
    ends("a closed store has no thread");
}

fn it_ends_with_a_store_that_is_dropped_or_closed() {
    let disk = MemDisk::new();
    let store = open(Arc::new(disk.clone()));
    set_ttl(&store, S, "k", b"1", 3_600_000_000).unwrap();
    soon("the thread", || naps().len() == 1);
    std::thread::sleep(Duration::from_millis(50));
    drop(store);
    ends("its end");
    disk.break_lock();
    let store = open(Arc::new(disk));
    soon("the thread", || naps().len() == 1);
    store.close().unwrap();
    ends("its end");
    assert_eq!(code(set_ttl(&store, S, "k", b"1", 1)), "store.closed");
    assert!(naps().is_empty());
}

fn a_store_with_expired_entries_starts_it_when_opened() {
    let disk = MemDisk::new();
    let store = Store::open(Env { threads: false, ..Env::memory() }, small(Durability::Sync, true));
    drop(store);
    let store = Store::open(
        Env { disk: Arc::new(disk.clone()), threads: false, ..Env::memory() },
        small(Durability::Sync, true),
    )
    .unwrap();
    set_ttl(&store, S, "k", b"1", 1).unwrap();
    store.close().unwrap();
    drop(store);
    let store = open(Arc::new(disk));
    soon("the record", || store.wal().last_lsn() == 2);
    store.close().unwrap();
}

fn it_goes_on_when_a_full_disk_has_space_again() {
    let disk = SimDisk::default();
    let store = open(Arc::new(disk.clone()));
    set_ttl(&store, S, "k", &[1; 1000], 3_000_000).unwrap();
    disk.faults.add(Fault { op: "allocate", name: "", after_count: 0, fail_count: u32::MAX, errno: 28 });
    // Everything that was reserved is written full, so that the record of the expiry has no room.
    let mut filled = 0;
    for value in [&[2; 100][..], &[]] {
        while set(&store, S, "f", value).is_ok() {
            filled += 1;
        }
    }
    soon("the expiry", || get(&store, S, "k").is_none());
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!((naps().len(), store.wal().last_lsn()), (1, filled + 1));
    assert_eq!(store.scope(S).live_count(), 1, "gone for readers all the same");
    disk.faults.clear();
    soon("the record", || store.wal().last_lsn() == filled + 2);
    store.close().unwrap();
}

fn a_poisoned_log_lets_it_rest() {
    let disk = SimDisk::default();
    let store = open(Arc::new(disk.clone()));
    set_ttl(&store, S, "k", b"1", 200_000).unwrap();
    for op in ["sync", "create"] {
        disk.faults.add(Fault { op, name: "", after_count: 0, fail_count: u32::MAX, errno: 5 });
    }
    assert_eq!(code(set(&store, S, "other", b"2").and_then(|_| Ok(store.wal().flush()?))), "store.poisoned");
    soon("the expiry", || get(&store, S, "k").is_none());
    rests("there is nothing that it could write");
    store.close().unwrap_err();
    ends("its end");
}

//! Checkpoints that fail: what was before stays, somebody is told, and the next one takes it from there.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::sim::SimDisk;
use common::{code, env_on, get, set, small, thinned};
use spellkeep_core::env::Env;
use spellkeep_core::env::fault::Fault;
use spellkeep_core::error::Coded;
use spellkeep_core::store::{Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Not an error: half of the bytes are written.
const SHORT: i32 = 0;
const S: &[u8] = b"\x04scout\0\0";

fn options() -> StoreOptions {
    let wal = WalOptions { ring_bytes: 4096, segment_bytes: 4096, ..small(Durability::Interval, true) };
    StoreOptions { keep: Retention { log_bytes: Some(0), age_us: 0 }, ..wal.into() }
}

fn open(disk: &SimDisk) -> Result<Store, StoreError> {
    Store::open(env_on(Arc::new(disk.clone())), options())
}

fn fill(store: &Store, round: u8) {
    for i in 0..30u8 {
        set(store, S, &format!("k{i}"), &[round; 300]).unwrap();
    }
}

fn holds(store: &Store, round: u8) -> bool {
    (0..30u8).all(|i| get(store, S, &format!("k{i}")) == Some(vec![round; 300]))
}

/// Each call of a checkpoint that moves snapshots and log fails once, then every such call from there on.
#[test]
fn a_checkpoint_that_fails_loses_nothing_and_the_next_one_makes_up_for_it() {
    let prepared = || {
        let disk = SimDisk::default();
        let store = open(&disk).unwrap();
        fill(&store, 1);
        store.checkpoint().unwrap();
        fill(&store, 2);
        (disk, store)
    };
    let (disk, store) = prepared();
    disk.note_calls();
    store.checkpoint().unwrap();
    let calls = disk.take_calls();
    let (mut runs, mut refused) = (0, 0);
    for (i, &op) in thinned(calls.iter().enumerate()) {
        let after_count = calls[..i].iter().filter(|former| **former == op).count() as u32;
        for (errno, fail_count) in [(EIO, 1), (ENOSPC, u32::MAX), (SHORT, 1)] {
            if errno == SHORT && op != "write" {
                continue;
            }
            let (disk, store) = prepared();
            disk.faults.add(Fault { op, name: "", after_count, fail_count, errno });
            let done = store.checkpoint().map_err(|e| e.code());
            let what = format!("{op} {after_count}, errno {errno}, {fail_count} times: {done:?}");
            let known = ["storage.io", "storage.full", "store.poisoned", "log.damaged"];
            assert!(done.as_ref().map_or_else(|code| known.contains(code), |_| true), "{what}");
            (runs, refused) = (runs + 1, refused + u32::from(done.is_err()));
            assert!(holds(&store, 2), "{what}");
            disk.faults.clear();
            if runs % 2 == 0 && store.wal().poisoned().is_none() {
                // The same store goes on.
                let again = store.checkpoint().or_else(|_| store.checkpoint());
                assert_eq!(again.unwrap().lsn, 60, "{what}");
            }
            drop(store);
            disk.kill();
            let store = open(&disk).unwrap_or_else(|e| panic!("{what}: {e}"));
            assert!(holds(&store, 2), "{what}");
            assert_eq!(store.checkpoint().unwrap().lsn, 60, "{what}");
            let damages = store.verify().unwrap().damages;
            assert!(damages.is_empty(), "{what}: {damages:?}");
        }
    }
    println!("{} calls, {runs} runs, {refused} checkpoints refused", calls.len());
    assert!(refused > runs / 4);
}

/// Waits for what a thread does.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_thread_tells_why_its_checkpoint_failed_until_one_has_worked() {
    let disk = SimDisk::default();
    let options = StoreOptions { checkpoint_log_bytes: 20_000, ..options() };
    let store = Store::open(Env { threads: true, ..env_on(Arc::new(disk.clone())) }, options).unwrap();
    disk.faults.add(Fault { op: "create", name: "snapshots", after_count: 0, fail_count: u32::MAX, errno: ENOSPC });
    for round in 0..3 {
        fill(&store, round);
    }
    until("nobody said that it failed", || store.checkpoints().2.is_some());
    let (count, lsn, failure) = store.checkpoints();
    assert!((count, lsn) == (0, 0) && failure.unwrap().starts_with("create snapshots/a.rows.tmp: "));
    assert_eq!(code(store.checkpoint()), "storage.full");
    assert!(holds(&store, 2));
    disk.faults.clear();
    // By itself, a few seconds later.
    until("it was not tried again", || store.checkpoints().0 > 0);
    until("it still says that it failed", || store.checkpoints().2.is_none());
    store.close().unwrap();
    assert_eq!(code(store.checkpoint()), "store.closed");
}

#[test]
fn the_thread_rests_once_the_log_is_poisoned() {
    let disk = SimDisk::default();
    let options = StoreOptions { checkpoint_log_bytes: 20_000, ..options() };
    let store = Store::open(Env { threads: true, ..env_on(Arc::new(disk.clone())) }, options).unwrap();
    fill(&store, 1);
    for op in ["sync", "create"] {
        disk.faults.add(Fault { op, name: "segments", after_count: 0, fail_count: u32::MAX, errno: EIO });
    }
    let refused = (0..10_000u32).find_map(|i| set(&store, S, "k", &i.to_le_bytes().repeat(50)).err());
    let refused = refused.unwrap();
    assert_eq!(refused.code(), "store.poisoned");
    assert!(refused.to_string().contains("segments/"), "{refused}");
    assert_eq!(code(store.checkpoint()), "store.poisoned");
    assert!(holds(&store, 1), "what was committed is still read");
    assert_eq!(code(store.close()), "store.poisoned");
    assert_eq!(store.checkpoints().2, None, "every caller was told; the thread had nothing to add");
}

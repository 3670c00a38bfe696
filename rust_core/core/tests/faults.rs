//! Refused system calls: whatever fails and whenever, no acknowledged write is lost and no failure is kept quiet.

mod common;

use common::oracle::Oracle;
use common::sim::SimDisk;
use common::{Rng, WORDS, code, env_on, small, thinned};
use spellkeep_core::env::fault::Fault;
use spellkeep_core::store::Store;
use spellkeep_core::wal::{Durability, WalOptions};
use std::sync::Arc;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Not an error: half of the bytes are written.
const SHORT: i32 = 0;

fn fault(op: &'static str, name: &'static str, after_count: u32, fail_count: u32, errno: i32) -> Fault {
    Fault { op, name, after_count, fail_count, errno }
}

fn open(disk: &SimDisk, options: WalOptions) -> Store {
    Store::open(env_on(Arc::new(disk.clone())), options).unwrap()
}

/// Dropping a store writes nothing, so that it is as good as a kill, and thousands of runs need the memory.
fn kill(disk: &SimDisk, store: Store) {
    drop(store);
    disk.kill();
}

/// One run of the sweep: a workload under one fault, then a kill, a power loss or nothing, then everything is compared.
/// Returns whether the fault struck.
fn survive(op: &'static str, after: u32, forever: bool, errno: i32, options: WalOptions, power: bool) -> bool {
    let disk = SimDisk::default();
    let mut rng = Rng::new(11 + u64::from(after));
    let mut oracle = Oracle::default();
    disk.faults.add(fault(op, "", after, if forever { u32::MAX } else { 1 }, errno));
    let mut failures = 0;
    if let Ok(store) = Store::open(env_on(Arc::new(disk.clone())), options) {
        for _ in 0..30 {
            failures += u32::from(oracle.step(&store, &mut rng).is_err());
            oracle.check_memory_unless_maybe(&store);
            if failures > 5 || store.wal().poisoned().is_some() {
                break;
            }
        }
        if rng.chance(50) {
            failures += u32::from(oracle.close(&store).is_err());
        }
        let stats = store.stats().0;
        failures += stats.repair_count as u32;
        kill(&disk, store);
    } else {
        failures += 1;
    }
    disk.faults.clear();
    let mut floor = oracle.acked;
    if power {
        floor = oracle.durable;
        disk.lose_power(&mut rng);
    }
    disk.kill();
    let store = open(&disk, options);
    oracle.reopened(&store, floor);
    // And it goes on: what follows survives too.
    for _ in 0..10 {
        oracle.step(&store, &mut rng).unwrap();
    }
    let acked = oracle.acked;
    kill(&disk, store);
    let store = open(&disk, options);
    oracle.reopened(&store, acked);
    failures > 0
}

/// Every operation failing at many points, once and from then on, before a kill and before a power loss.
fn sweep(word: Durability) {
    let (mut runs, mut struck) = (0, 0);
    for mapped in [true, false] {
        for (op, errno) in [
            ("write", EIO),
            ("write", SHORT),
            ("sync", EIO),
            ("allocate", ENOSPC),
            ("create", ENOSPC),
            ("open", EIO),
            ("rename", EIO),
            ("remove", EIO),
            ("sync_dir", EIO),
            ("set_len", EIO),
            ("map", EIO),
        ] {
            let mut quiet = 0;
            for after in thinned((0..12).chain((12..64).step_by(4))) {
                for (forever, power) in [(false, after % 2 == 0), (true, after % 2 != 0)] {
                    runs += 1;
                    let run = || survive(op, after, forever, errno, small(word, mapped), power);
                    let hit = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                        panic!(
                            "{op} {errno} after {after}, forever {forever}, power {power}, {word:?}, mapped {mapped}"
                        )
                    });
                    struck += u32::from(hit);
                    quiet = if hit { 0 } else { quiet + 1 };
                }
                // The workload has no more such calls.
                if quiet > 12 && errno != SHORT {
                    break;
                }
            }
        }
    }
    println!("{runs} runs, {struck} of them met a failure that showed");
}

#[test]
fn whatever_call_fails_no_acknowledged_write_is_lost_process() {
    sweep(Durability::Process);
}

#[test]
fn whatever_call_fails_no_acknowledged_write_is_lost_interval() {
    sweep(Durability::Interval);
}

#[test]
fn whatever_call_fails_no_acknowledged_write_is_lost_sync() {
    sweep(Durability::Sync);
}

/// A rotation whose directory sync (or reopening) failed left an empty segment under its name while the log went on in
/// the old one: the next opening believed the empty one and found everything after it missing.
#[test]
fn a_segment_that_was_not_adopted_is_not_found_later() {
    for (op, errno) in [("sync_dir", EIO), ("open", EIO), ("rename", EIO)] {
        let disk = SimDisk::default();
        let options = small(Durability::Interval, true);
        let store = open(&disk, options);
        let mut oracle = Oracle::default();
        disk.faults.add(fault(op, "segments", 0, 1, errno));
        for i in 0..100u32 {
            oracle.set(&store, b"s", &format!("k{}", i % 7), &i.to_le_bytes().repeat(500)).unwrap();
        }
        kill(&disk, store);
        oracle.reopened(&open(&disk, options), oracle.acked);
    }
}

/// The same, when the unwanted segment cannot be taken back either: then the log must not go on without it.
#[test]
fn a_segment_that_may_be_found_later_poisons_the_log() {
    let disk = SimDisk::default();
    let options = small(Durability::Interval, true);
    let store = open(&disk, options);
    let mut oracle = Oracle::default();
    disk.faults.add(fault("sync_dir", "segments", 0, 1, EIO));
    disk.faults.add(fault("remove", "segments", 0, u32::MAX, EIO));
    let mut write = |i: u32| oracle.set(&store, b"s", &format!("k{}", i % 7), &i.to_le_bytes().repeat(500));
    let refused = (0..100).find_map(|i| write(i).err()).map(Err::<(), _>);
    assert_eq!(refused.map(code), Some("store.poisoned"));
    kill(&disk, store);
    disk.faults.clear();
    oracle.reopened(&open(&disk, options), oracle.acked);
}

/// A large commit first drains, that rotated, the new segment could be neither synced nor taken back, and the log was
/// poisoned; the commit went on all the same, was acknowledged, and the next opening believed the new segment.
#[test]
fn a_large_commit_is_not_acknowledged_behind_a_segment_that_may_be_found_later() {
    for mapped in [true, false] {
        let disk = SimDisk::default();
        let options = small(Durability::Interval, mapped);
        let store = open(&disk, options);
        let mut oracle = Oracle::default();
        oracle.set(&store, b"s", "a", &[1; 70_000]).unwrap();
        disk.faults.add(fault("sync_dir", "segments", 0, u32::MAX, EIO));
        disk.faults.add(fault("remove", "segments", 0, u32::MAX, EIO));
        assert_eq!(code(oracle.set(&store, b"s", "b", &[2; 70_000])), "store.poisoned");
        kill(&disk, store);
        disk.faults.clear();
        oracle.reopened(&open(&disk, options), oracle.acked);
    }
}

#[test]
fn a_failing_sync_is_repaired_into_a_fresh_segment() {
    for (mapped, more) in [(true, true), (true, false), (false, true), (false, false)] {
        let disk = SimDisk::default();
        let store = open(&disk, small(Durability::Interval, mapped));
        let mut oracle = Oracle::default();
        oracle.set(&store, b"s", "a", b"1").unwrap();
        disk.faults.add(fault("sync", "segments", 0, 1, EIO));
        oracle.flush(&store).unwrap();
        assert_eq!(store.stats().0.repair_count, 1);
        if more {
            oracle.set(&store, b"s", "b", b"2").unwrap();
            oracle.flush(&store).unwrap();
        }
        kill(&disk, store);
        // Several losses, since each keeps what was not synced by chance.
        for seed in 0..20 {
            let (disk, mut oracle) = (SimDisk::of(disk.tree()), oracle.clone());
            disk.lose_power(&mut Rng::new(seed));
            oracle.reopened(&open(&disk, small(Durability::Interval, mapped)), oracle.durable);
        }
    }
}

/// In direct mode a repair whose fresh segment could be made and not written left that segment behind, empty: the next
/// opening took it in place of the written records behind the last sync.
#[test]
fn failing_twice_poisons_and_loses_nothing_that_was_acknowledged() {
    for word in [Durability::Interval, Durability::Sync] {
        for mapped in [true, false] {
            for op in ["write", "sync", "rename", "sync_dir"] {
                let disk = SimDisk::default();
                let store = open(&disk, small(word, mapped));
                let mut oracle = Oracle::default();
                oracle.set(&store, b"s", "a", b"1").unwrap();
                disk.faults.add(fault("sync", "segments", 0, 1, EIO));
                disk.faults.add(fault(op, "segments", if op == "write" { 1 } else { 0 }, u32::MAX, EIO));
                if word == Durability::Sync {
                    assert_eq!(code(oracle.set(&store, b"s", "b", b"2")), "store.poisoned");
                } else {
                    oracle.set(&store, b"s", "b", b"2").unwrap();
                }
                assert_eq!(code(oracle.flush(&store)), "store.poisoned", "{op}");
                assert_eq!(code(oracle.set(&store, b"s", "c", b"3")), "store.poisoned");
                assert_eq!(code(oracle.delete(&store, b"s", "a")), "store.poisoned");
                oracle.check_memory(&store);
                assert_eq!(code(oracle.close(&store)), "store.poisoned");
                kill(&disk, store);
                disk.faults.clear();
                oracle.reopened(&open(&disk, small(word, mapped)), 2);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_the_write_and_the_store_goes_on_when_space_returns() {
    for word in WORDS {
        for mapped in [true, false] {
            let disk = SimDisk::default();
            let options = small(word, mapped);
            let store = open(&disk, options);
            let mut oracle = Oracle::default();
            disk.faults.add(fault("allocate", "segments", 0, u32::MAX, ENOSPC));
            let mut refused = 0;
            for i in 0..600u32 {
                let done = oracle.set(&store, b"s", &format!("k{}", i % 5), &i.to_le_bytes().repeat(1000));
                if done.is_err() {
                    assert_eq!(code(done), "storage.full");
                    assert_eq!(code(oracle.batch(&store, Vec::new())), "ok");
                    refused += 1;
                }
                if refused == 3 {
                    break;
                }
            }
            assert_eq!(refused, 3);
            oracle.flush(&store).unwrap();
            disk.faults.clear();
            oracle.set(&store, b"s", "k0", b"space again").unwrap();
            oracle.check(&store);
            oracle.close(&store).unwrap();
            kill(&disk, store);
            oracle.reopened(&open(&disk, options), oracle.acked);
        }
    }
}

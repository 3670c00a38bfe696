//! Zeros ahead of the log: small syncs find space that was written before, and no record is ever written over.

mod common;

use std::sync::Arc;

use common::sim::{Point, SimDisk};
use common::{WORDS, env_on, get, set, small};
use spellkeep_core::env::fault::Fault;
use spellkeep_core::store::Store;
use spellkeep_core::wal::{Durability, WalOptions};

fn options(word: Durability, mapped: bool) -> WalOptions {
    WalOptions { ring_bytes: 4 << 20, segment_bytes: 4 << 20, ..small(word, mapped) }
}

/// Of the segments: in which and where each write began, how long it was, and whether it was zeros alone.
fn segment_writes(points: Vec<Point>) -> Vec<(String, usize, usize, bool)> {
    let written = points.into_iter().filter(|point| point.name.starts_with("segments/"));
    let seen = |point: Point| {
        let (_, at, bytes) = point.write?;
        let zeros = bytes.iter().all(|byte| *byte == 0);
        Some((point.name, at, bytes.len(), zeros))
    };
    written.filter_map(seen).collect()
}

/// A sync wrote, beside 1 KB of data, two blocks of metadata, because the space was reserved and had never been written:
/// with 10 KB values 110 us in place of 50, and 22 KB of a batch 1,200 in place of 600 on another machine.
#[test]
fn small_syncs_find_space_that_was_written_before() {
    for (word, value_bytes) in WORDS.map(|word| (word, 1000)).into_iter().chain([(Durability::Sync, 20_000)]) {
        let step_bytes = if word == Durability::Sync { 1 << 20 } else { 256 << 10 };
        let disk = SimDisk::default();
        let store = Store::open(env_on(Arc::new(disk.clone())), options(word, true)).unwrap();
        disk.note_points();
        let value = |i: u32| i.to_le_bytes().repeat(value_bytes / 4);
        for i in 0..400 {
            set(&store, b"s", &format!("k{}", i % 7), &value(i)).unwrap();
            store.wal().flush().unwrap();
        }
        let (mut segment, mut end, mut zeroed, mut over_new_space) = (String::new(), 0, 0, 0);
        for (name, at, len, zeros) in segment_writes(disk.take_points()) {
            if name != segment {
                (segment, end, zeroed) = (name, 64, 64);
            }
            if zeros {
                assert!(at >= end, "zeros at {at} over records that go up to {end}");
                zeroed = zeroed.max(at + len);
            } else {
                over_new_space += u32::from(at + len > zeroed);
                end = end.max(at + len);
            }
        }
        println!("{over_new_space} of 400 syncs wrote to new space; zeros up to {zeroed}, records up to {end}");
        // The first four of each segment, of which there are three at most, and one for each step.
        let most = 12 + (400 * value_bytes / step_bytes) as u32;
        assert!(over_new_space <= most, "{over_new_space} of 400 wrote to new space");
        assert!(zeroed < end + step_bytes + (64 << 10) && zeroed <= 64 + (4 << 20));
        drop(store);
        disk.kill();
        let store = Store::open(env_on(Arc::new(disk)), options(word, true)).unwrap();
        (393..400).for_each(|i| assert_eq!(get(&store, b"s", &format!("k{}", i % 7)), Some(value(i))));
        let mut changes = store.changes(0).unwrap();
        (0..400).for_each(|_| assert!(changes.next_change().unwrap().is_some()));
    }
}

#[test]
fn large_syncs_and_file_systems_without_trusted_mappings_get_no_zeros() {
    for word in WORDS {
        // Where somebody waits for each sync, zeros pay for longer ones.
        let large_bytes = if word == Durability::Sync { 600_000 } else { 20_000 };
        for (mapped, value_bytes) in [(true, large_bytes), (false, 1000)] {
            let disk = SimDisk::default();
            let options = WalOptions { ring_bytes: 2 << 20, segment_bytes: 32 << 20, ..small(word, mapped) };
            let store = Store::open(env_on(Arc::new(disk.clone())), options).unwrap();
            disk.note_points();
            for i in 0..20u8 {
                set(&store, b"s", "k", &vec![i + 1; value_bytes]).unwrap();
                store.wal().flush().unwrap();
            }
            let writes = segment_writes(disk.take_points());
            assert!(writes.len() >= 20 && writes.iter().all(|(.., zeros)| !zeros), "{word:?}, mapped {mapped}");
        }
    }
}

/// The space reads as zeros with and without, so that a refused write of them is nobody's business.
#[test]
fn zeros_that_cannot_be_written_fail_no_commit() {
    for errno in [5, 28, 0] {
        let disk = SimDisk::default();
        let store = Store::open(env_on(Arc::new(disk.clone())), options(Durability::Sync, true)).unwrap();
        (0..3).for_each(|i| assert_eq!(set(&store, b"s", "k", &[1; 1000]).unwrap(), i + 1));
        disk.faults.add(Fault { op: "write", name: "segments", after_count: 1, fail_count: 1, errno });
        set(&store, b"s", "k", &[2; 1000]).unwrap();
        set(&store, b"s", "k", &[3; 1000]).unwrap();
        assert_eq!(store.stats().0.repair_count, 0);
        drop(store);
        disk.kill();
        let store = Store::open(env_on(Arc::new(disk)), options(Durability::Sync, true)).unwrap();
        assert_eq!(get(&store, b"s", "k"), Some(vec![3; 1000]));
    }
}

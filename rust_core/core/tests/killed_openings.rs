//! Openings that a kill ended half way: what they left in the page cache is not yet on the disk.

mod common;

use std::sync::Arc;

use common::sim::{Point, SimDisk};
use common::{Rng, env_on, get, set, small};
use spellkeep_core::env::Disk;
use spellkeep_core::store::{Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

fn open(disk: &SimDisk, options: WalOptions) -> Store {
    Store::open(env_on(Arc::new(disk.clone())), options).unwrap()
}

/// A disk as it was before each sync of this directory.
fn before_syncs(points: Vec<Point>, dir: &str) -> impl Iterator<Item = SimDisk> + '_ {
    points.into_iter().filter(move |p| (p.op, &p.name[..]) == ("sync_dir", dir)).map(|p| SimDisk::of(p.tree))
}

/// A kill between naming a segment and syncing the directory: the next opening found the name in the page cache, wrote
/// and synced records in that segment, and a power loss took the name, and with it every one of them.
#[test]
fn a_segment_that_a_killed_opening_named_keeps_its_name() {
    let disk = SimDisk::default();
    let options = small(Durability::Sync, true);
    disk.note_points();
    let store = open(&disk, options);
    for i in 0..30u32 {
        set(&store, b"s", "a", &i.to_le_bytes().repeat(800)).unwrap();
    }
    for disk in before_syncs(disk.take_points(), "segments") {
        let store = open(&disk, options);
        let last = set(&store, b"s", "b", b"acknowledged").unwrap();
        drop(store);
        for seed in 0..8 {
            let disk = SimDisk::of(disk.tree());
            disk.lose_power(&mut Rng::of(seed, last));
            let store = open(&disk, options);
            let found = store.recovery().log.last_lsn;
            assert_eq!((found, get(&store, b"s", "b").unwrap()), (last, b"acknowledged".to_vec()));
        }
    }
}

/// The first opening was killed between naming the manifest and syncing the directory; the second made a segment, durably,
/// and the power went: a store that had never held a record could not be opened again, its manifest was missing.
#[test]
fn a_manifest_that_a_killed_founding_named_keeps_its_name() {
    let disk = SimDisk::default();
    let options = small(Durability::Interval, true);
    disk.note_points();
    drop(open(&disk, options));
    for disk in before_syncs(disk.take_points(), "") {
        disk.note_points();
        drop(open(&disk, options));
        for disk in before_syncs(disk.take_points(), "") {
            for seed in 0..8 {
                let disk = SimDisk::of(disk.tree());
                disk.lose_power(&mut Rng::of(seed, 1));
                drop(open(&disk, options));
            }
        }
    }
}

/// A checkpoint was killed between naming the manifest that gives segments up and syncing the directory; an opening went by
/// that manifest and removed them, and a power loss brought back the manifest before it, which counts on them.
#[test]
fn an_opening_removes_only_what_a_durable_manifest_gives_up() {
    let disk = SimDisk::default();
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    let options = StoreOptions { keep, ..small(Durability::Sync, true).into() };
    let open = |disk: &SimDisk| Store::open(env_on(Arc::new(disk.clone())), options).unwrap();
    let store = open(&disk);
    let value = |i: u32| i.to_le_bytes().repeat(800);
    for i in 0..60 {
        set(&store, b"s", "a", &value(i)).unwrap();
    }
    disk.note_points();
    store.checkpoint().unwrap();
    drop(store);
    let mut removed = 0;
    for disk in before_syncs(disk.take_points(), "") {
        disk.note_points();
        drop(open(&disk));
        for point in disk.take_points() {
            removed += usize::from(point.op == "remove" && point.name.starts_with("segments/"));
            for seed in 0..8 {
                let disk = SimDisk::of(point.tree.clone());
                disk.lose_power(&mut Rng::of(seed, 1));
                assert_eq!(
                    get(&open(&disk), b"s", "a").unwrap(),
                    value(59),
                    "power lost before {} {}",
                    point.op,
                    point.name
                );
            }
        }
    }
    assert!(removed > 1, "no opening removed anything");
}

/// After a power loss the ring held the beginning of a batch; an opening cut it, stored its manifest, and was killed before
/// it had begun its marks. The next one took the stale batch for the end of a segment that has no such bytes, and panicked.
#[test]
fn a_stale_batch_in_the_ring_does_not_stop_the_opening_after_a_killed_one() {
    let options = small(Durability::Interval, true);
    let disk = SimDisk::default();
    let store = open(&disk, options);
    set(&store, b"s", "a", b"flushed").unwrap();
    store.wal().flush().unwrap();
    let ops = ["a", "b", "c"].map(|key| (b"s".to_vec(), key.to_owned(), Some(vec![9; 400])));
    common::batch(&store, &ops).unwrap();
    drop(store);
    disk.kill();
    for lost in (0..1024).step_by(8) {
        let disk = SimDisk::of(disk.tree());
        disk.alter("ring", 4096 + 512 + lost, &[0; 512]);
        disk.lose_power_of_nothing();
        disk.note_points();
        drop(open(&disk, options));
        for point in disk.take_points() {
            let store = open(&SimDisk::of(point.tree), options);
            let found = store.recovery().log.record_count;
            assert_eq!((found, get(&store, b"s", "a").unwrap()), (1, b"flushed".to_vec()));
        }
    }
}

/// A checkpoint was killed between writing a run, or naming a file, and its sync; an opening found it in the page cache, the
/// next checkpoint let the log go for it, and a power loss took it.
#[test]
fn a_snapshot_of_a_killed_checkpoint_is_durable_before_the_log_goes_for_it() {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    let options = StoreOptions { keep, ..small(Durability::Sync, true).into() };
    let open = |disk: &SimDisk| Store::open(env_on(Arc::new(disk.clone())), options).unwrap();
    let fill = |store: &Store, keys: u32, round: u8| {
        (0..keys).for_each(|i| assert!(set(store, b"s", &format!("k{i}"), &[round; 800]).is_ok()));
    };
    // Few: a run is added to the file. All: a new file takes its place.
    for keys in [4, 30] {
        let disk = SimDisk::default();
        let store = open(&disk);
        fill(&store, 30, 1);
        store.checkpoint().unwrap();
        // Enough for a segment to go.
        (0..120 / keys).for_each(|_| fill(&store, keys, 2));
        disk.note_points();
        store.checkpoint().unwrap();
        drop(store);
        let mut stops = Vec::new();
        for first in disk.take_points().into_iter().filter(|p| p.op.starts_with("sync") && p.name.starts_with("snap")) {
            let disk = SimDisk::of(first.tree);
            disk.kill();
            stops.push(SimDisk::of(disk.tree()));
            // And once more, with what the one before left.
            let store = open(&disk);
            disk.note_points();
            store.checkpoint().unwrap();
            drop(store);
            let again = disk.take_points().into_iter();
            stops.extend(
                again.filter(|p| p.op.starts_with("sync") && p.name.starts_with("snap")).map(|p| SimDisk::of(p.tree)),
            );
        }
        assert!(stops.len() > 4, "{keys}: {} stops", stops.len());
        for (number, disk) in stops.iter().enumerate() {
            disk.kill();
            let store = open(disk);
            store.checkpoint().unwrap();
            drop(store);
            for seed in 0..4 {
                for missing in [None, Some("snapshots/a.rows"), Some("snapshots/b.rows")] {
                    let disk = SimDisk::of(disk.tree());
                    disk.lose_power(&mut Rng::of(seed, 1));
                    missing.iter().for_each(|name| disk.remove(name).unwrap());
                    let store = open(&disk);
                    for i in 0..30 {
                        let round = 1 + u8::from(i < keys);
                        let found = get(&store, b"s", &format!("k{i}"));
                        assert_eq!(found, Some(vec![round; 800]), "{keys}, stop {number}, seed {seed}, {missing:?}");
                    }
                }
            }
        }
    }
}

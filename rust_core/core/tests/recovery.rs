//! What an opening makes of what the last one left: everything, or damage that says so, or (after a power loss) a prefix.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use common::oracle::Oracle;
use common::sim::{SimDisk, alter_region};
use common::{Rng, WORDS, code, copy, env, env_on, get, kill, percent, set, small, thinned};
use spellkeep_core::env::Disk;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::{Durability, WalError};

fn files(disk: &MemDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list("").unwrap();
    names.into_iter().map(|n| (n.clone(), spellkeep_core::env::disk::read_file(disk, &n).unwrap())).collect()
}

/// Opening gives damage, or the right contents. Returns whether it gave damage.
fn damage_or_right(disk: &MemDisk, mapped: bool, oracle: &Oracle, what: &str) -> bool {
    let opened = catch_unwind(AssertUnwindSafe(|| Store::open(env(disk), small(Durability::Interval, mapped))))
        .unwrap_or_else(|_| panic!("{what}: the opening panicked"));
    match opened {
        Err(StoreError::Wal(WalError::Damaged(_) | WalError::NotAStore(_))) => true,
        Err(e) => panic!("{what}: {e}"),
        Ok(store) => {
            let mut oracle = oracle.clone();
            catch_unwind(AssertUnwindSafe(|| oracle.reopened(&store, oracle.acked)))
                .unwrap_or_else(|_| panic!("{what}: silently wrong"));
            false
        }
    }
}

/// A few records of each kind, some of them synced, then a kill or a close.
fn left_behind(mapped: bool, close: bool) -> (MemDisk, Oracle) {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), small(Durability::Interval, mapped)).unwrap();
    let mut oracle = Oracle::default();
    oracle.set(&store, b"s", "a", b"first").unwrap();
    oracle.set(&store, b"s", "b", b"second").unwrap();
    oracle.flush(&store).unwrap();
    oracle.delete(&store, b"s", "a").unwrap();
    oracle.set(&store, b"t", "c", &[7; 40]).unwrap();
    if close {
        oracle.close(&store).unwrap();
    }
    kill(&disk, store);
    (disk, oracle)
}

/// Where bits are worth flipping: whatever was written, the headers, and a little of the zeros behind.
fn used(name: &str, bytes: &[u8]) -> Vec<usize> {
    let last = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
    let end = (last + 72).min(bytes.len());
    (0..end).filter(|at| name != "ring" || *at < 128 || *at >= 4096).collect()
}

/// In direct mode a flipped bit in the last record of a killed store was taken for an interrupted write, and the record
/// cut, although it had been acknowledged.
#[test]
fn every_flipped_bit_of_every_file_is_damage_or_harmless_direct() {
    flip(false);
}

#[test]
fn every_flipped_bit_of_every_file_is_damage_or_harmless_mapped() {
    flip(true);
}

fn flip(mapped: bool) {
    for close in [false, true] {
        let (disk, oracle) = left_behind(mapped, close);
        let original = copy(&disk);
        // A megabyte of reserved zeros says no more than a page of them.
        original.alter("segments/0000000000000040-0000.seg", |b| b.truncate(4096));
        let (mut flips, mut told) = (0, 0);
        for (name, bytes) in files(&original) {
            for at in thinned(used(&name, &bytes).into_iter()) {
                for bit in 0..8 {
                    let twin = copy_files(&original);
                    twin.alter(&name, |b| b[at] ^= 1 << bit);
                    let what = format!("mapped {mapped}, close {close}: bit {bit} of byte {at} of {name}");
                    told += u32::from(damage_or_right(&twin, mapped, &oracle, &what));
                    flips += 1;
                }
            }
        }
        println!("mapped {mapped}, close {close}: {flips} bits flipped, {told} told as damage, the rest harmless");
    }
}

fn copy_files(disk: &MemDisk) -> MemDisk {
    let twin = MemDisk::new();
    for (name, bytes) in files(disk) {
        twin.open(&name, spellkeep_core::env::OpenHow::Create).unwrap();
        twin.alter(&name, |b| *b = bytes);
    }
    twin
}

#[test]
fn every_truncation_of_every_file_is_damage_or_harmless() {
    for close in [false, true] {
        let (disk, oracle) = left_behind(true, close);
        let original = copy(&disk);
        for (name, bytes) in files(&original) {
            let end = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) + 8;
            for len in thinned((0..end.min(bytes.len())).filter(|len| name != "ring" || len % 64 == 0)) {
                let twin = copy_files(&original);
                twin.alter(&name, |b| b.truncate(len));
                damage_or_right(&twin, true, &oracle, &format!("close {close}: {name} cut to {len}"));
            }
        }
    }
}

/// All segments of a killed store in direct mode could be deleted, and the store opened as an empty one.
#[test]
fn a_missing_renamed_or_swapped_segment_is_damage() {
    for mapped in [true, false] {
        for close in [true, false] {
            let disk = MemDisk::new();
            let store = Store::open(env(&disk), small(Durability::Interval, mapped)).unwrap();
            let mut oracle = Oracle::default();
            for i in 0..100u32 {
                oracle.set(&store, b"s", &format!("k{i}"), &[1; 3000]).unwrap();
                store.wal().drain(true).unwrap();
            }
            if close {
                oracle.close(&store).unwrap();
            }
            kill(&disk, store);
            let names: Vec<_> = disk.list("segments").unwrap().iter().map(|n| format!("segments/{n}")).collect();
            assert!(names.len() > 3, "{names:?}");
            let all_but_last = if close || mapped { &names[..] } else { &names[..names.len() - 1] };
            for name in all_but_last {
                let twin = copy(&disk);
                twin.remove(name).unwrap();
                damage_or_right(&twin, mapped, &oracle, &format!("without {name}"));
                let twin = copy(&disk);
                twin.rename(name, "segments/00000000000fffff-0000.seg").unwrap();
                assert!(damage_or_right(&twin, mapped, &oracle, &format!("{name} renamed")));
            }
            let twin = copy(&disk);
            twin.rename(&names[0], "x").unwrap();
            twin.rename(&names[1], &names[0]).unwrap();
            twin.rename("x", &names[1]).unwrap();
            assert!(damage_or_right(&twin, mapped, &oracle, "swapped"));
            let twin = copy(&disk);
            names.iter().for_each(|name| twin.remove(name).unwrap());
            assert!(damage_or_right(&twin, mapped, &oracle, "no segment left"));
        }
    }
}

#[test]
fn files_of_another_store_are_refused() {
    let (disk, oracle) = left_behind(true, false);
    let (other, _) = left_behind(true, false);
    for name in ["MANIFEST", "ring", "segments/0000000000000040-0000.seg"] {
        let (mine, theirs) = (copy(&disk), copy(&other));
        let bytes = spellkeep_core::env::disk::read_file(&theirs, name).unwrap();
        mine.alter(name, |b| *b = bytes);
        assert!(damage_or_right(&mine, true, &oracle, name), "{name}");
    }
}

#[test]
fn a_second_opener_is_told_who_has_the_store() {
    let disk = MemDisk::new();
    let options = small(Durability::Interval, true);
    let store = Store::open(env(&disk), options).unwrap();
    assert_eq!(code(Store::open(env(&disk), options)), "store.locked");
    store.close().unwrap();
    assert_eq!(code(Store::open(env(&disk), options)), "ok");
}

/// A kill in the middle of a batch: its first frames are in the ring, whole, and its last is not.
#[test]
fn a_batch_that_was_interrupted_is_cut_whole() {
    let disk = MemDisk::new();
    let options = small(Durability::Interval, true);
    let store = Store::open(env(&disk), options).unwrap();
    let mut oracle = Oracle::default();
    oracle.set(&store, b"s", "a", b"before").unwrap();
    let begun = store.wal().end();
    let ops = ["a", "b", "c"].map(|key| (b"s".to_vec(), key.to_owned(), Some(vec![9; 100])));
    common::batch(&store, &ops).unwrap();
    let length = (store.wal().end() - begun) as usize;
    kill(&disk, store);
    for done in (0..length).step_by(8) {
        let twin = copy(&disk);
        twin.alter("ring", |b| {
            let at = 4096 + begun as usize;
            b[at + done..at + length].fill(0);
            b[72..80].copy_from_slice(&1u64.to_le_bytes());
        });
        let store = Store::open(env(&twin), options).unwrap();
        let mut oracle = oracle.clone();
        oracle.reopened(&store, 1);
        assert_eq!((store.recovery().log.last_lsn, store.recovery().log.lost_count), (1, 0));
        // One of its records (168 bytes) is whole.
        assert_eq!(store.recovery().log.cut_reason.is_some(), done >= 168, "{done}");
    }
}

#[test]
fn records_of_an_earlier_lap_or_opening_are_never_believed() {
    let mut rng = Rng::from_env("records_of_an_earlier_lap_or_opening_are_never_believed");
    let disk = MemDisk::new();
    let mut oracle = Oracle::default();
    for round in 0..60 {
        let mapped = !rng.chance(15);
        let store = Store::open(env(&disk), small(WORDS[rng.below(3)], mapped)).unwrap();
        oracle.reopened(&store, oracle.acked);
        for _ in 0..rng.below(if round % 3 == 0 { 25 } else { 3 }) {
            oracle.step(&store, &mut rng).unwrap();
        }
        if rng.chance(20) {
            oracle.close(&store).unwrap();
        }
        kill(&disk, store);
    }
}

/// Nothing but the log itself says how far it was: direct mode, after a power loss.
#[test]
fn a_power_loss_excuses_no_damage_to_what_was_durable() {
    let disk = MemDisk::new();
    let options = small(Durability::Interval, false);
    let store = Store::open(env(&disk), options).unwrap();
    for key in ["a", "b", "c"] {
        set(&store, b"s", key, b"value").unwrap();
        store.wal().flush().unwrap();
    }
    kill(&disk, store);
    disk.lose_power();
    let segment = "segments/0000000000000040-0000.seg";
    let twin = copy(&disk);
    twin.lose_power();
    twin.alter(segment, |b| b[70] ^= 1);
    assert_eq!(code(Store::open(env(&twin), options)), "log.damaged");
    kill(&disk, Store::open(env(&disk), options).unwrap());
    disk.lose_power();
    disk.alter(segment, |b| b.truncate(64));
    assert_eq!(code(Store::open(env(&disk), options)), "log.damaged");
}

/// An opening wrote the ring's records to the segment, the sync failed, and the next opening found them there (in the
/// page cache), synced nothing and called them durable.
#[test]
fn a_failed_sync_while_opening_is_not_believed_by_the_next_opening() {
    for word in WORDS {
        for mapped in [true, false] {
            let disk = SimDisk::default();
            let open = || Store::open(env_on(Arc::new(disk.clone())), small(word, mapped));
            let store = open().unwrap();
            let mut oracle = Oracle::default();
            for key in ["a", "b", "c"] {
                oracle.set(&store, b"s", key, b"value").unwrap();
            }
            store.wal().ensure_written(3).unwrap();
            drop(store);
            let (op, name, errno) = ("sync", "segments", 5);
            disk.faults.add(spellkeep_core::env::fault::Fault { op, name, after_count: 0, fail_count: 1, errno });
            assert_eq!(code(open()), "storage.io");
            drop(open().unwrap());
            disk.lose_power(&mut Rng::new(1));
            oracle.reopened(&open().unwrap(), 3);
        }
    }
}

#[test]
fn after_a_power_loss_a_prefix_is_there_that_holds_everything_synced() {
    let mut rng = Rng::from_env("after_a_power_loss_a_prefix_is_there_that_holds_everything_synced");
    let (mut cuts, mut lost) = (0, 0);
    for run in 0..(400 * percent() as usize).div_ceil(100) {
        let disk = SimDisk::default();
        let (word, mapped) = (WORDS[run % 3], run % 2 == 0);
        let mut oracle = Oracle::default();
        for _ in 0..4 {
            let store = Store::open(env_on(Arc::new(disk.clone())), small(word, mapped)).unwrap();
            let before = oracle.last();
            oracle.reopened(&store, oracle.durable);
            assert!(before - oracle.acked >= store.recovery().log.lost_count);
            lost += store.recovery().log.lost_count;
            cuts += u32::from(store.recovery().log.cut_reason.is_some());
            for _ in 0..rng.below(30) {
                oracle.step(&store, &mut rng).unwrap();
                if rng.chance(20) {
                    store.wal().drain(rng.chance(50)).unwrap();
                    oracle.durable = oracle.durable.max(store.wal().synced_lsn());
                }
            }
            oracle.durable = oracle.durable.max(store.wal().synced_lsn());
            drop(store);
            if rng.chance(80) { disk.lose_power(&mut rng) } else { oracle.durable = oracle.acked }
        }
    }
    println!("{cuts} cut a tail, {lost} records reported lost");
}

/// A manifest that holds and counts as many openings as its field can: the next one was number 0.
#[test]
fn an_opening_whose_number_has_no_room_is_refused() {
    let (disk, _) = left_behind(true, true);
    disk.alter("MANIFEST", |b| {
        b[12..16].fill(0xFF);
        let sum = spellkeep_core::checksum::xxh3_64(&b[..88]);
        b[88..].copy_from_slice(&sum.to_le_bytes());
    });
    assert_eq!(code(Store::open(env(&disk), small(Durability::Interval, true))), "log.damaged");
}

/// What a bad byte does to the middle of the log, which no ring can heal.
#[test]
fn damage_before_later_records_is_never_cut() {
    let disk = MemDisk::new();
    let options = small(Durability::Interval, true);
    let store = Store::open(env(&disk), options).unwrap();
    for i in 0..300u32 {
        set(&store, b"s", &format!("k{}", i % 3), &i.to_le_bytes().repeat(200)).unwrap();
    }
    kill(&disk, store);
    for name in disk.list("segments").unwrap() {
        for at in [64, 80, 200, 5000] {
            let twin = copy(&disk);
            twin.alter(&format!("segments/{name}"), |b| b[at] ^= 1);
            match Store::open(env(&twin), options) {
                Err(e) => assert_eq!(code(Err::<(), _>(e)), "log.damaged"),
                Ok(store) => assert_eq!(get(&store, b"s", "k2").unwrap(), 299u32.to_le_bytes().repeat(200)),
            }
        }
    }
    if let Some(region) = disk.region("ring") {
        alter_region(&region, |b| b[4096..].fill(0xA5));
    }
}

//! Bytes whose checksums hold and that do not belong where they stand: of an earlier time, or of another place.

mod common;

use common::oracle::Oracle;
use common::{code, env, get, kill, set, small};
use spellkeep_core::env::disk::read_file;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::store::Store;
use spellkeep_core::wal::Durability;

const SEGMENT: &str = "segments/0000000000000040-0000.seg";

/// The manifest of an earlier opening came back: what later openings had written was cut off as an interrupted commit,
/// although it was durable and the store closed.
#[test]
fn a_manifest_of_an_earlier_opening_is_damage_and_cuts_nothing() {
    for mapped in [true, false] {
        let disk = MemDisk::new();
        let options = small(Durability::Interval, mapped);
        let mut oracle = Oracle::default();
        let mut manifests = Vec::new();
        for key in ["a", "b", "c"] {
            let store = Store::open(env(&disk), options).unwrap();
            manifests.push(read_file(&disk, "MANIFEST").unwrap());
            oracle.set(&store, b"s", key, b"value").unwrap();
            oracle.close(&store).unwrap();
            manifests.push(read_file(&disk, "MANIFEST").unwrap());
        }
        for power_lost in [false, true] {
            if power_lost {
                disk.lose_power();
            }
            for manifest in &manifests[..4] {
                disk.alter("MANIFEST", |b| b.clone_from(manifest));
                assert_eq!(code(Store::open(env(&disk), options)), "log.damaged");
            }
        }
        disk.alter("MANIFEST", |b| b.clone_from(&manifests[5]));
        oracle.reopened(&Store::open(env(&disk), options).unwrap(), 3);
    }
}

/// A sector went to the place of another one while the store was open, and both began with a record: histories and
/// changes showed the copy, and left out what had stood there.
#[test]
fn a_record_in_the_place_of_another_is_damage_to_whoever_reads_it() {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), small(Durability::Interval, true)).unwrap();
    let mut places = Vec::new();
    for value in 0..5u8 {
        places.push(store.wal().end() as usize);
        set(&store, b"s", "a", &[value; 100]).unwrap();
    }
    store.wal().flush().unwrap();
    let good = read_file(&disk, SEGMENT).unwrap();
    let len = places[1] - places[0];
    for from in &places {
        for to in places.iter().filter(|to| *to != from) {
            // In the first segment a record stands where its position says.
            disk.alter(SEGMENT, |b| b[*to..to + len].copy_from_slice(&good[*from..from + len]));
            let mut changes = store.changes(0).unwrap();
            let read = std::iter::from_fn(|| changes.next_change().transpose()).collect::<Result<Vec<_>, _>>();
            assert_eq!(code(read), "log.damaged", "the record at {from} copied to {to}");
            let history = store.history(&store.scope(b"s"), "a", 9);
            assert_eq!(code(history), "log.damaged", "the record at {from} copied to {to}");
            disk.alter(SEGMENT, |b| b.clone_from(&good));
        }
    }
    assert_eq!(store.history(&store.scope(b"s"), "a", 9).unwrap().len(), 5);
    assert_eq!(get(&store, b"s", "a").unwrap(), [4; 100]);
    kill(&disk, store);
}

//! How records follow each other: each names the one before it, and versions are left out only where the log says so.

mod common;

use std::sync::Arc;

use common::sim::{SimDisk, alter_region};
use common::{Rng, code, copy, env, env_on, get, kill, set, set_if, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::Kind;
use spellkeep_core::store::Store;
use spellkeep_core::wal::Durability;

/// Opening 1 wrote 1, 2, 3; the power took 2; opening 2 wrote, in its place, what is as long: a skip and another record.
/// Behind them stands the old 3.
#[test]
fn a_record_that_an_earlier_opening_left_behind_a_gap_is_not_believed() {
    let disk = MemDisk::new();
    let options = small(Durability::Interval, true);
    let store = Store::open(env(&disk), options).unwrap();
    set(&store, b"s", "a", b"1").unwrap();
    let begun = store.wal().end() as usize;
    set(&store, b"s", "a", &[2; 70]).unwrap();
    let end = store.wal().end() as usize;
    set(&store, b"s", "a", b"3").unwrap();
    kill(&disk, store);
    disk.lose_power();
    alter_region(&disk.region("ring").unwrap(), |b| b[4096 + begun..4096 + end].fill(0));
    let store = Store::open(env(&disk), options).unwrap();
    assert_eq!((store.recovery().log.last_lsn, store.recovery().log.lost_count), (1, 2));
    set(&store, b"s", "a", b"X").unwrap();
    assert_eq!(store.wal().end() as usize, end);
    kill(&disk, store);
    let store = Store::open(env(&disk), options).unwrap();
    assert_eq!((store.recovery().log.record_count, get(&store, b"s", "a").unwrap()), (2, b"X".to_vec()));
}

/// Somebody saw version 2 before the power took it. Whoever writes against it later must not overwrite another record.
#[test]
fn a_version_that_a_power_loss_took_is_never_given_again() {
    for mapped in [true, false] {
        let disk = SimDisk::default();
        let open = || Store::open(env_on(Arc::new(disk.clone())), small(Durability::Interval, mapped)).unwrap();
        let store = open();
        set(&store, b"s", "a", b"kept").unwrap();
        store.wal().flush().unwrap();
        let seen = set(&store, b"s", "a", b"lost").unwrap();
        let mut given = (0..9).map(|_| set(&store, b"s", "a", b"lost as well").unwrap()).max().unwrap();
        drop(store);
        for round in 0..3 {
            disk.lose_power(&mut Rng::new(round));
            let store = open();
            assert!(store.recovery().log.skipped_count > 0);
            let lsn = set(&store, b"s", "a", b"another").unwrap();
            assert!(lsn > given, "{lsn} after {given}");
            assert_eq!(code(set_if(&store, b"s", "a", b"late", Some(seen))), "cas.version_mismatch");
            given = lsn;
            store.wal().flush().unwrap();
            // The feed, histories and the checker go over what was left out.
            let mut changes = store.changes(0).unwrap();
            let found: Vec<_> = std::iter::from_fn(|| changes.next_change().unwrap()).collect();
            assert!(found.iter().all(|change| change.kind == Kind::Set));
            assert_eq!(found.last().map(|change| change.lsn), Some(lsn));
            assert_eq!(store.history(&store.scope(b"s"), "a", 10).unwrap()[0].lsn, lsn);
            let verified = store.verify().unwrap();
            assert_eq!((verified.damages.len(), verified.record_count), (0, found.len() as u64));
            drop(store);
            disk.kill();
            // Without a power loss nothing is left out.
            let store = open();
            let found_now = &store.recovery().log;
            assert_eq!((found_now.skipped_count, store.wal().last_lsn()), (0, lsn));
            if round == 0 {
                assert_eq!(found_now.record_count, found.len() as u64);
                store.checkpoint().unwrap();
                assert_eq!(store.verify().unwrap().row_count, 2, "one key in each of two snapshots");
            }
        }
    }
}

/// Two copies of a store went on, each by itself; a record of one of them, of the right length, version and place, stands
/// in the other.
#[test]
fn a_record_of_a_copy_that_went_its_own_way_is_not_believed() {
    let options = small(Durability::Sync, false);
    let founded = MemDisk::new();
    Store::open(env(&founded), options).unwrap().close().unwrap();
    let left_by = |first: &[u8]| {
        let disk = copy(&founded);
        let store = Store::open(env(&disk), options).unwrap();
        set(&store, b"s", "a", first).unwrap();
        let second = store.wal().end() as usize;
        set(&store, b"s", "b", b"2").unwrap();
        let end = store.wal().end() as usize;
        kill(&disk, store);
        (disk, second..end)
    };
    let segment = "segments/0000000000000040-0000.seg";
    let ((disk, second), (other, _)) = (left_by(b"1"), left_by(b"A"));
    let mut foreign = Vec::new();
    other.alter(segment, |bytes| foreign = bytes[second.clone()].to_vec());
    disk.alter(segment, |bytes| bytes[second].copy_from_slice(&foreign));
    assert_eq!(code(Store::open(env(&disk), options)), "log.damaged");
}

//! Verification: nothing to say of a healthy store, and every harm that an opening or a read would notice is told.

mod common;

use common::{BatchOp, batch, clear, code, delete, env, kill, set, small};
use spellkeep_core::checkpoint::{Rows, SNAPSHOT_NAMES, SnapshotFile};
use spellkeep_core::env::Disk;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::store::{Store, StoreOptions, Verified};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";

fn options(mapped: bool, keep: Option<u64>) -> StoreOptions {
    let keep = Retention { log_bytes: keep, age_us: 0 };
    StoreOptions { keep, ..small(Durability::Interval, mapped).into() }
}

fn fill(store: &Store, round: u8) {
    for i in 0..500u32 {
        set(store, S, &format!("key{}", i % 60), &[round; 200]).unwrap();
    }
    delete(store, S, "key7").unwrap();
    let ops: Vec<BatchOp> = (0..5).map(|i| (b"\x01".to_vec(), format!("b{i}"), Some(vec![i; 9]))).collect();
    batch(store, &ops).unwrap();
    if round == 1 {
        clear(store, b"\x01").unwrap();
    }
}

/// Several openings and segments, checkpoints in between, and an end of its own.
fn lived(mapped: bool, keep: Option<u64>, close: bool) -> MemDisk {
    let disk = MemDisk::new();
    for round in 0..3 {
        let store = Store::open(env(&disk), options(mapped, keep)).unwrap();
        fill(&store, round);
        if round == 1 {
            store.checkpoint().unwrap();
            set(&store, S, "after", b"1").unwrap();
        }
        if close || round < 2 {
            store.close().unwrap();
        } else {
            store.wal().drain(false).unwrap();
            set(&store, S, "ring", b"only").unwrap();
            kill(&disk, store);
        }
    }
    disk
}

fn copy(disk: &MemDisk) -> MemDisk {
    let twin = MemDisk::new();
    for name in disk.list("").unwrap() {
        let bytes = disk.copy_map(&name).unwrap();
        twin.open(&name, spellkeep_core::env::OpenHow::Create).unwrap();
        twin.alter(&name, |b| *b = bytes);
    }
    twin
}

#[test]
fn a_healthy_store_verifies_clean_however_it_was_left() {
    for (mapped, keep, close) in [
        (true, Some(0), true),
        (true, None, false),
        (false, Some(0), false),
        (false, None, true),
        (true, Some(0), false),
    ] {
        let disk = lived(mapped, keep, close);
        let verified = Store::verify_at(&env(&disk)).unwrap();
        assert!(verified.damages.is_empty(), "{mapped} {keep:?} {close}: {:?}", verified.damages);
        assert!(verified.record_count > 500 && verified.row_count > 100, "{verified:?}");
        let store = Store::open(env(&disk), options(mapped, keep)).unwrap();
        fill(&store, 9);
        let verified = store.verify().unwrap();
        assert!(verified.damages.is_empty(), "open: {:?}", verified.damages);
        assert_eq!(verified.last_lsn, store.wal().last_lsn());
    }
}

/// Opens, reads every history and all changes: whether any of it is damage.
fn noticed(disk: &MemDisk, mapped: bool, keep: Option<u64>) -> bool {
    let store = match Store::open(env(disk), options(mapped, keep)) {
        Err(e) => return code::<()>(Err(e)) == "log.damaged",
        Ok(store) => store,
    };
    let mut told = !store.recovery().snapshot_damage.is_empty();
    for map in store.live_scopes() {
        for entry in store.list(&map, "") {
            let key = String::from_utf8_lossy(entry.key()).into_owned();
            told |= code(store.history(&map, &key, 100_000)) == "log.damaged";
        }
    }
    let mut changes = store.changes(0).unwrap();
    loop {
        match changes.next_change() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return true,
        }
    }
    told
}

#[test]
fn every_flipped_bit_that_an_opening_or_a_read_notices_is_told_and_no_other_file_is_blamed() {
    for (keep, close) in [(None, true), (Some(0), false)] {
        let disk = lived(true, keep, close);
        let mut rng = common::Rng::from_env("flipped bits");
        let (mut told_count, mut noticed_count) = (0, 0);
        for name in disk.list("").unwrap() {
            let len = disk.copy_map(&name).unwrap().len();
            if name == "LOCK" || len == 0 {
                continue;
            }
            for try_count in 0..14 {
                let at = if try_count < 4 { try_count * 20 % len } else { rng.below(len) };
                let harmed = copy(&disk);
                harmed.alter(&name, |bytes| bytes[at] ^= 1 << (at % 8));
                let verified = Store::verify_at(&env(&harmed)).unwrap();
                let told = verified.damages.iter().any(|damage| {
                    // A record that the ring alone had is missing at the end of the log, as if the ring never had it.
                    damage.file.ends_with(&name)
                        || name == "ring" && damage.what.contains("the log ends before version")
                });
                told_count += usize::from(told);
                if noticed(&harmed, true, keep) {
                    noticed_count += 1;
                    assert!(!verified.damages.is_empty(), "{name} byte {at}");
                }
                assert!(verified.damages.is_empty() || told || name == "MANIFEST", "{name}: {:?}", verified.damages);
            }
        }
        assert!(told_count >= noticed_count && noticed_count > 10, "{told_count} told, {noticed_count} noticed");
    }
}

#[test]
fn a_second_damage_is_told_as_well_as_the_first_with_the_versions_between_what_is_whole() {
    let disk = lived(true, None, true);
    let segments: Vec<String> = disk.list("segments").unwrap().into_iter().map(|n| format!("segments/{n}")).collect();
    disk.alter(&segments[0], |bytes| bytes[64 + 5000] ^= 4);
    disk.alter(&segments[2], |bytes| bytes[64 + 9000] ^= 4);
    let verified = Store::verify_at(&env(&disk)).unwrap();
    assert_eq!(verified.damages.len(), 2, "{:?}", verified.damages);
    for damage in &verified.damages {
        assert_eq!(damage.next_good_lsn - damage.last_good_lsn, 2, "{damage:?}");
        assert!(damage.len_bytes > 200 && damage.offset > 64);
    }
    let text = verified.damages[0].to_string();
    assert!(
        text.contains("spellkeep verify") && text.contains("spellkeep salvage") && text.contains("allow_damage=True")
    );
}

#[test]
fn a_segment_a_ring_or_a_manifest_that_is_missing_is_told() {
    for name in ["MANIFEST", "ring", "segments"] {
        let disk = lived(true, None, false);
        let file = match name {
            "segments" => format!("segments/{}", disk.list("segments").unwrap()[1]),
            name => name.to_owned(),
        };
        disk.remove(&file).unwrap();
        let verified = Store::verify_at(&env(&disk)).unwrap();
        assert!(!verified.damages.is_empty(), "{name}");
    }
}

#[test]
fn an_open_store_tells_what_was_harmed_under_it_and_stays_usable() {
    let disk = lived(true, None, true);
    let store = Store::open(env(&disk), options(true, None)).unwrap();
    fill(&store, 4);
    store.wal().flush().unwrap();
    let name = format!("segments/{}", disk.list("segments").unwrap()[0]);
    disk.alter(&name, |bytes| bytes[64 + 5000] ^= 4);
    let verified = store.verify().unwrap();
    assert_eq!(verified.damages.len(), 1, "{:?}", verified.damages);
    set(&store, S, "a", b"1").unwrap();
}

#[test]
fn a_snapshot_that_lacks_what_its_mark_claims_is_told_although_every_block_of_it_holds() {
    let disk = lived(true, None, true);
    let store = Store::open(env(&disk), options(true, None)).unwrap();
    store.checkpoint().unwrap();
    fill(&store, 5);
    let id = store.wal().store_id();
    store.close().unwrap();
    drop(store);
    let past = disk.copy_map(SNAPSHOT_NAMES[0]).unwrap();
    Store::open(env(&disk), options(true, None)).unwrap().checkpoint().unwrap();
    disk.break_lock();
    disk.alter(SNAPSHOT_NAMES[0], |bytes| *bytes = past);
    let mark = SnapshotFile::look(&disk, SNAPSHOT_NAMES[1], id).unwrap().mark();
    let older = SnapshotFile::open(&disk, SNAPSHOT_NAMES[0], id, false).unwrap();
    older.apply(&disk, &Rows::new(), mark, 0, &|| true).unwrap();
    let verified = Store::verify_at(&env(&disk)).unwrap();
    assert!(!verified.damages.is_empty());
}

/// Once a checkpoint had let the whole log go, with nothing written since, every key was reported as damage: it is in memory
/// and "not here", in a log that holds no record.
#[test]
fn a_store_whose_whole_log_was_let_go_verifies_clean() {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), options(true, Some(0))).unwrap();
    (0..400u32).for_each(|i| assert!(set(&store, S, &format!("key{i}"), &[1; 200]).is_ok()));
    assert!(store.checkpoint().unwrap().segment_count > 0);
    assert_eq!(store.wal().stats().kept_bytes, 0);
    let clean = |verified: Verified| assert!(verified.damages.is_empty(), "{:?}", verified.damages);
    clean(store.verify().unwrap());
    store.close().unwrap();
    clean(Store::verify_at(&env(&disk)).unwrap());
    let store = Store::open(env(&disk), options(true, Some(0))).unwrap();
    clean(store.verify().unwrap());
    // What is in neither snapshot is still told.
    SNAPSHOT_NAMES.iter().for_each(|name| disk.remove(name).unwrap());
    assert!(!Store::verify_at(&env(&disk)).unwrap().damages.is_empty());
}

/// What is behind the last whole run may be what a killed checkpoint left, so an opening goes on from there; who knows
/// better says so.
#[test]
fn a_last_run_that_does_not_hold_is_told() {
    for keep in [Some(0), None] {
        let disk = MemDisk::new();
        let store = Store::open(env(&disk), options(true, keep)).unwrap();
        fill(&store, 0);
        store.checkpoint().unwrap();
        for i in 0..200u32 {
            set(&store, S, "key1", &i.to_le_bytes().repeat(500)).unwrap();
        }
        store.checkpoint().unwrap();
        let end = disk.copy_map(SNAPSHOT_NAMES[0]).unwrap().len();
        disk.alter(SNAPSHOT_NAMES[0], |bytes| bytes[end - 100] ^= 1);
        let told = |verified: Verified| verified.damages.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of_open = told(store.verify().unwrap());
        assert!(of_open.len() == 1 && of_open[0].contains("a.rows"), "{of_open:?}");
        store.close().unwrap();
        let of_closed = told(Store::verify_at(&env(&disk)).unwrap());
        // With the log behind it the rest of it has everything.
        assert_eq!(of_closed.len(), usize::from(keep == Some(0)), "{of_closed:?}");
        let store = Store::open(env(&disk), options(true, keep)).unwrap();
        store.checkpoint().unwrap();
        assert_eq!(told(store.verify().unwrap()), [""; 0]);
    }
}

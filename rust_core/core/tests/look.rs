//! Looking at a store: nothing of it changes, also while somebody writes it, and what is shown is a prefix of whole commits.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{BatchOp, batch, clear, code, delete, env, get, kill, set, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, Env};
use spellkeep_core::record::Kind;
use spellkeep_core::store::{Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";

fn lean() -> StoreOptions {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    StoreOptions { keep, ..small(Durability::Interval, true).into() }
}

/// Every file as an onlooker finds it, mapped ones too.
fn files(disk: &MemDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list("").unwrap();
    names.into_iter().map(|name| (name.clone(), disk.copy_map(&name).unwrap())).collect()
}

fn all(store: &Store) -> Vec<(Vec<u8>, Vec<u8>, u64)> {
    let entries = store.live_scopes().into_iter().flat_map(|map| store.list(&map, ""));
    entries.map(|e| (e.key().to_vec(), e.value().to_vec(), e.meta().lsn)).collect()
}

/// Checkpoints, batches, a clear, deletes, several segments and openings, and what only the ring holds.
fn lived() -> (MemDisk, Store) {
    let disk = MemDisk::new();
    for round in 0..3u32 {
        let store = Store::open(env(&disk), lean()).unwrap();
        for i in 0..900u32 {
            set(&store, S, &format!("key{}", i % 90), &[round as u8; 100]).unwrap();
        }
        if round == 1 {
            store.checkpoint().unwrap();
        }
        delete(&store, S, "key7").unwrap();
        if round < 2 {
            store.close().unwrap();
        }
        drop(store);
    }
    disk.break_lock();
    let store = Store::open(env(&disk), lean()).unwrap();
    clear(&store, b"\x01").unwrap();
    let ops: Vec<BatchOp> = (0..5).map(|i| (S.to_vec(), format!("batch{i}"), Some(vec![i; 9]))).collect();
    batch(&store, &ops).unwrap();
    store.wal().drain(false).unwrap();
    set(&store, S, "ring", b"only").unwrap();
    (disk, store)
}

#[test]
fn looking_at_a_killed_store_shows_everything_and_changes_no_byte() {
    let (disk, store) = lived();
    let whole = all(&store);
    kill(&disk, store);
    let before = files(&disk);
    let view = Store::look(&env(&disk)).unwrap();
    assert_eq!(all(&view), whole);
    assert!(view.is_read_only() && !view.recovery().live);
    assert!(view.history(&view.scope(S), "ring", 10).unwrap().len() == 1);
    let mut changes = view.changes(0).unwrap();
    let mut last = 0;
    while let Some(change) = changes.next_change().unwrap() {
        last = change.lsn;
    }
    assert_eq!(last, view.wal().last_lsn());
    view.close().unwrap();
    assert!(before == files(&disk), "looking changed the store");
    let store = Store::open(env(&disk), lean()).unwrap();
    assert_eq!(all(&store), whole);
}

#[test]
fn every_write_to_what_is_looked_at_is_refused() {
    let (disk, store) = lived();
    kill(&disk, store);
    let view = Store::look(&env(&disk)).unwrap();
    assert_eq!(code(set(&view, S, "a", b"1")), "store.read_only");
    assert_eq!(code(set(&view, S, "a", &vec![1; 90 << 10])), "store.read_only");
    assert_eq!(code(delete(&view, S, "ring")), "store.read_only");
    assert_eq!(code(clear(&view, S)), "store.read_only");
    assert_eq!(code(batch(&view, &[(S.to_vec(), "a".into(), Some(vec![1]))])), "store.read_only");
    assert_eq!(code(view.checkpoint()), "store.read_only");
    assert_eq!(code(view.make_room(100)), "store.read_only");
    assert_eq!(get(&view, S, "ring"), Some(b"only".to_vec()));
}

#[test]
fn an_unfinished_tail_is_passed_over_and_left_where_it_is() {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), small(Durability::Interval, false)).unwrap();
    set(&store, S, "a", b"whole").unwrap();
    set(&store, S, "b", b"torn").unwrap();
    store.wal().drain(false).unwrap();
    kill(&disk, store);
    let name = format!("segments/{}", disk.list("segments").unwrap().remove(0));
    // The second frame stands behind the first, of 80 bytes; the process died in the middle of writing it.
    disk.alter(&name, |bytes| bytes[64 + 80 + 60..].fill(0));
    let before = files(&disk);
    let view = Store::look(&env(&disk)).unwrap();
    assert_eq!((get(&view, S, "a"), get(&view, S, "b")), (Some(b"whole".to_vec()), None));
    assert!(view.recovery().log.cut_bytes > 0);
    assert!(before == files(&disk), "the tail was cut");
}

#[test]
fn damage_is_judged_as_a_writer_judges_it() {
    let (disk, store) = lived();
    kill(&disk, store);
    let name = format!("segments/{}", disk.list("segments").unwrap().into_iter().nth_back(1).unwrap());
    disk.alter(&name, |bytes| bytes[64 + 100] ^= 1);
    assert_eq!(code(Store::look(&env(&disk))), "log.damaged");
    disk.remove("MANIFEST").unwrap();
    assert_eq!(code(Store::look(&env(&disk))), "log.damaged");
}

#[test]
fn there_is_nothing_to_look_at_in_an_empty_directory_and_nothing_is_made() {
    let disk = MemDisk::new();
    assert_eq!(code(Store::look(&env(&disk))), "store.missing");
    assert!(disk.list("").unwrap().is_empty());
}

#[test]
fn what_was_acknowledged_before_is_seen_while_the_writer_goes_on() {
    let disk = MemDisk::new();
    let store = Arc::new(Store::open(Env { threads: true, ..env(&disk) }, lean()).unwrap());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        move || {
            let mut round = 0u32;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                round += 1;
                // Both keys move together, or a batch was torn.
                let value = Some(round.to_le_bytes().to_vec());
                batch(&store, &[(S.to_vec(), "a".into(), value.clone()), (S.to_vec(), "b".into(), value)]).unwrap();
                set(&store, S, &format!("fill{}", round % 50), &[round as u8; 300]).unwrap();
                if round.is_multiple_of(700) {
                    store.checkpoint().unwrap();
                }
            }
        }
    });
    for _ in 0..60 {
        let acknowledged = store.wal().last_lsn();
        let view = Store::look(&env(&disk)).unwrap();
        assert!(view.recovery().live);
        assert!(view.wal().last_lsn() >= acknowledged, "{} < {acknowledged}", view.wal().last_lsn());
        assert_eq!(get(&view, S, "a"), get(&view, S, "b"));
        let lsns: Vec<u64> = view.history(&view.scope(S), "a", 5).unwrap().iter().map(|c| c.lsn).collect();
        assert!(lsns.is_sorted_by(|a, b| a > b));
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(all(&Store::look(&env(&disk)).unwrap()), all(&store));
}

#[test]
fn what_the_writer_does_after_the_opening_is_not_seen() {
    let (disk, store) = lived();
    let view = Store::look(&env(&disk)).unwrap();
    let before = all(&view);
    for i in 0..3000u32 {
        set(&store, S, &format!("key{}", i % 90), &[9; 200]).unwrap();
    }
    store.checkpoint().unwrap();
    delete(&store, S, "ring").unwrap();
    assert_eq!(all(&view), before);
    let history = view.history(&view.scope(S), "ring", 10).unwrap();
    assert_eq!((history.len(), history[0].kind), (1, Kind::Set));
}

//! Salvage: what is whole of a damaged store is in a new one, in order, and what is looked at keeps its versions.

mod common;

use common::{BatchOp, batch, clear, code, delete, env, get, set, small};
use spellkeep_core::env::Disk;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::store::{Change, Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";

fn options(keep: Option<u64>) -> StoreOptions {
    let keep = Retention { log_bytes: keep, age_us: 0 };
    StoreOptions { keep, ..small(Durability::Interval, true).into() }
}

fn changes(store: &Store) -> Vec<Change> {
    let mut cursor = store.changes(0).unwrap();
    std::iter::from_fn(|| cursor.next_change().unwrap()).collect()
}

/// Without its versions, which a salvage counts anew.
fn told(change: &Change) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        change.time_us,
        change.kind,
        change.in_batch,
        change.scope().to_vec(),
        change.key().to_vec(),
        change.value().to_vec(),
    )
}

fn lived(keep: Option<u64>) -> MemDisk {
    let disk = MemDisk::new();
    for round in 0..3u8 {
        let store = Store::open(env(&disk), options(keep)).unwrap();
        for i in 0..400u32 {
            set(&store, S, &format!("key{}", i % 60), &[round; 200]).unwrap();
        }
        set(&store, S, "large", &vec![round; 80 << 10]).unwrap();
        delete(&store, S, "key7").unwrap();
        let ops: Vec<BatchOp> = (0..5).map(|i| (b"\x01".to_vec(), format!("b{i}"), Some(vec![i; 9]))).collect();
        batch(&store, &ops).unwrap();
        if round == 1 {
            clear(&store, b"\x01").unwrap();
            store.checkpoint().unwrap();
        }
        store.close().unwrap();
    }
    disk.remove("ring").unwrap();
    disk
}

fn harm(disk: &MemDisk, segment: usize, at: usize) {
    let name = format!("segments/{}", disk.list("segments").unwrap()[segment]);
    disk.alter(&name, |bytes| bytes[64 + at] ^= 4);
}

#[test]
fn all_but_the_damaged_record_is_salvaged_with_times_order_and_batches() {
    let disk = lived(None);
    let before = changes(&Store::look(&env(&disk)).unwrap());
    harm(&disk, 0, 5000);
    let rest: Vec<&Change> = {
        let view = Store::look_at_damaged(&env(&disk)).unwrap();
        let damage = &view.damages()[0];
        let lost = damage.last_good_lsn + 1;
        assert_eq!((view.damages().len(), damage.next_good_lsn), (1, lost + 1));
        let rest: Vec<&Change> = before.iter().filter(|change| change.lsn != lost).collect();
        let seen = changes(&view);
        assert_eq!(seen.iter().map(|c| c.lsn).collect::<Vec<_>>(), rest.iter().map(|c| c.lsn).collect::<Vec<_>>());
        assert_eq!(code(set(&view, S, "a", b"1")), "store.read_only");
        assert_eq!(view.history(&view.scope(S), "key7", 100).unwrap().len(), 3 * 8 - 1 + 1);
        rest
    };
    let fresh = MemDisk::new();
    let store = Store::open(env(&fresh), options(None)).unwrap();
    let salvaged = store.salvage(&env(&disk)).unwrap();
    assert_eq!((salvaged.record_count, salvaged.damages.len()), (before.len() as u64 - 1, 1));
    let taken: Vec<_> = changes(&store).iter().map(told).collect();
    assert!(taken.len() >= rest.len() && rest.iter().zip(&taken).all(|(was, is)| told(was) == *is));
    store.close().unwrap();
    drop(store);
    assert!(Store::verify_at(&env(&fresh)).unwrap().damages.is_empty());
    assert_eq!(get(&Store::open(env(&fresh), options(None)).unwrap(), S, "key8"), Some(vec![2; 200]));
}

#[test]
fn where_the_log_is_gone_the_rows_of_a_snapshot_are_taken() {
    let disk = lived(Some(0));
    let before = Store::look(&env(&disk)).unwrap();
    harm(&disk, 0, 300);
    let fresh = MemDisk::new();
    let store = Store::open(env(&fresh), options(None)).unwrap();
    let salvaged = store.salvage(&env(&disk)).unwrap();
    assert!(salvaged.row_count > 50, "{salvaged:?}");
    let keys = |store: &Store| store.list(&store.scope(S), "").iter().map(|e| e.key().to_vec()).collect::<Vec<_>>();
    assert_eq!(keys(&store), keys(&before));
    assert_eq!(store.list(&store.scope(b"\x01"), "").len(), 5);
}

#[test]
fn no_file_that_is_missing_or_harmed_stops_it() {
    for name in ["MANIFEST", "snapshots/a.rows", "snapshots/b.rows", "segments"] {
        for gone in [false, true] {
            let disk = lived(None);
            let file = match name {
                "segments" => format!("segments/{}", disk.list("segments").unwrap()[1]),
                name => name.to_owned(),
            };
            if gone {
                disk.remove(&file).unwrap();
            } else {
                disk.alter(&file, |bytes| bytes[17] ^= 1);
            }
            let view = Store::look_at_damaged(&env(&disk)).unwrap();
            assert_eq!(get(&view, S, "key8"), Some(vec![2; 200]), "{file} {gone}");
            assert!(gone && name.starts_with("snap") || !view.damages().is_empty(), "{file} {gone}");
            let fresh = MemDisk::new();
            let store = Store::open(env(&fresh), options(None)).unwrap();
            store.salvage(&env(&disk)).unwrap();
            assert_eq!(get(&store, S, "key8"), Some(vec![2; 200]), "{file} {gone}");
        }
    }
}

#[test]
fn of_a_batch_that_is_harmed_nothing_is_taken() {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), options(None)).unwrap();
    set(&store, S, "before", b"1").unwrap();
    let ops: Vec<BatchOp> = (0..5).map(|i| (S.to_vec(), format!("b{i}"), Some(vec![i; 9]))).collect();
    batch(&store, &ops).unwrap();
    set(&store, S, "after", b"1").unwrap();
    let pos = store.scope(S).last_record(b"b2", |entry| entry.meta().pos).unwrap();
    store.close().unwrap();
    disk.remove("ring").unwrap();
    harm(&disk, 0, pos as usize - 64 + 60);
    let view = Store::look_at_damaged(&env(&disk)).unwrap();
    let keys: Vec<Vec<u8>> = view.list(&view.scope(S), "").iter().map(|e| e.key().to_vec()).collect();
    assert_eq!(keys, [b"after".to_vec(), b"before".to_vec()]);
    assert_eq!(view.damages()[0].next_good_lsn, 7);
}

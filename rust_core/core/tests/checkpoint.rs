//! Checkpoints: the log goes, the state stays; snapshots are disposable one at a time.

mod common;

use common::{Rng, batch, clear, delete, draft, env, get, kill, set, small};
use spellkeep_core::checkpoint::{Row, Rows, SnapshotFile};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, OpenHow};
use spellkeep_core::error::Coded;
use spellkeep_core::record::{Kind, StateClass};
use spellkeep_core::store::{Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

const S: &[u8] = b"\x04scout\0\0";
const T: &[u8] = b"\x04other\0\0";
const NAMES: [&str; 2] = ["snapshots/a.rows", "snapshots/b.rows"];

/// Keeps no more of the log than recovery needs.
fn lean() -> StoreOptions {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    StoreOptions { keep, ..small(Durability::Interval, true).into() }
}

fn open(disk: &MemDisk) -> Store {
    Store::open(env(disk), lean()).unwrap()
}

fn segments(disk: &MemDisk) -> usize {
    disk.list("segments").unwrap().len()
}

/// Scope, key, value, version.
type Whole = (Vec<u8>, Vec<u8>, Vec<u8>, u64);

fn all(store: &Store) -> Vec<Whole> {
    let mut all = Vec::new();
    for map in store.live_scopes() {
        for entry in store.list(&map, "") {
            all.push((map.scope().to_vec(), entry.key().to_vec(), entry.value().to_vec(), entry.meta().lsn));
        }
    }
    all
}

#[test]
fn a_checkpoint_lets_the_log_go_and_keeps_every_entry_with_its_version() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..3000u32 {
        set(&store, S, &format!("key{}", i % 100), &[i as u8; 100]).unwrap();
    }
    assert!(segments(&disk) > 4);
    store.checkpoint().unwrap();
    assert_eq!(segments(&disk), 1);
    set(&store, S, "after", b"1").unwrap();
    let before = all(&store);
    kill(&disk, store);
    let store = open(&disk);
    assert_eq!(all(&store), before);
    assert_eq!((store.recovery().snapshot_lsn, store.recovery().snapshot_row_count), (3000, 100));
    assert_eq!(store.recovery().log.record_count, 1);
}

#[test]
fn one_key_overwritten_a_hundred_thousand_times_leaves_a_small_directory() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..100_000u32 {
        set(&store, S, "counter", &i.to_le_bytes()).unwrap();
        if i % 10_000 == 0 {
            store.checkpoint().unwrap();
        }
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let size = |name: &str| disk.open(name, OpenHow::Read).unwrap().len().unwrap();
    let log: u64 = disk.list("segments").unwrap().iter().map(|name| size(&format!("segments/{name}"))).sum();
    assert!(log < 64 << 10, "{log} bytes of log");
    assert!(NAMES.iter().map(|name| size(name)).sum::<u64>() < 1 << 20);
}

#[test]
fn either_snapshot_may_be_deleted_or_damaged_and_nothing_is_missing() {
    for slot in 0..2 {
        for damaged in [false, true] {
            let disk = MemDisk::new();
            let store = open(&disk);
            for i in 0..2000u32 {
                set(&store, S, &format!("key{}", i % 300), &[i as u8; 60]).unwrap();
                if i == 700 || i == 1500 {
                    store.checkpoint().unwrap();
                }
            }
            let before = all(&store);
            store.close().unwrap();
            if damaged {
                let file = disk.open(NAMES[slot], OpenHow::Write).unwrap();
                for at in (0..file.len().unwrap()).step_by(512) {
                    file.write_all_at(&[0xA5; 64], at).unwrap();
                }
            } else {
                disk.remove(NAMES[slot]).unwrap();
            }
            let store = open(&disk);
            assert_eq!(all(&store), before, "slot {slot}, damaged {damaged}");
            assert_eq!(store.recovery().snapshot_damage.len(), usize::from(damaged));
            // The next checkpoint makes it anew, as good as the other one.
            store.checkpoint().unwrap();
            store.close().unwrap();
            disk.remove(NAMES[1 - slot]).unwrap();
            let store = open(&disk);
            assert_eq!(all(&store), before);
            assert!(store.recovery().snapshot_damage.is_empty());
        }
    }
}

#[test]
fn a_snapshot_that_is_removed_while_the_store_is_open_is_made_anew() {
    for gone in [&NAMES[..1], &NAMES[1..], &NAMES[..]] {
        let disk = MemDisk::new();
        let store = open(&disk);
        let write = |keys: u32| {
            for i in 0..1000 {
                set(&store, S, &format!("key{}", i % keys), &[i as u8; 60]).unwrap();
            }
        };
        write(700);
        store.checkpoint().unwrap();
        gone.iter().for_each(|name| disk.remove(name).unwrap());
        write(100);
        assert_eq!(store.checkpoint().err().unwrap().code(), "log.damaged", "{gone:?}");
        write(100);
        store.checkpoint().unwrap();
        let before = all(&store);
        kill(&disk, store);
        for name in NAMES {
            let store = open(&disk);
            assert_eq!(all(&store), before);
            assert!(store.recovery().snapshot_damage.is_empty());
            store.close().unwrap();
            if disk.exists(name).unwrap() {
                disk.remove(name).unwrap();
            }
            let store = open(&disk);
            assert_eq!(all(&store), before, "without {name} after {gone:?}");
            store.checkpoint().unwrap();
            store.close().unwrap();
        }
    }
}

#[test]
fn without_any_snapshot_a_trimmed_log_is_damage_and_not_an_empty_store() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..2000u32 {
        set(&store, S, &format!("key{i}"), &[1; 60]).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    NAMES.iter().for_each(|name| disk.remove(name).unwrap());
    let refused = Store::open(env(&disk), lean()).err().unwrap();
    assert_eq!(refused.code(), "log.damaged");
    assert!(refused.to_string().contains("snapshots are missing"), "{refused}");
}

#[test]
fn the_log_may_not_begin_later_than_it_was_kept_from() {
    let disk = MemDisk::new();
    let keep = Retention { log_bytes: None, age_us: 0 };
    let options = StoreOptions { keep, ..small(Durability::Interval, true).into() };
    let store = Store::open(env(&disk), options).unwrap();
    for i in 0..3000u32 {
        set(&store, S, &format!("key{i}"), &[1; 60]).unwrap();
    }
    store.checkpoint().unwrap();
    store.close().unwrap();
    let first = disk.list("segments").unwrap().remove(0);
    disk.remove(&format!("segments/{first}")).unwrap();
    assert_eq!(Store::open(env(&disk), options).err().unwrap().code(), "log.damaged");
}

#[test]
fn retention_keeps_histories_and_what_it_lets_go_ends_them_quietly() {
    for (log_bytes, kept) in [(None, true), (Some(1 << 30), true), (Some(0), false)] {
        let disk = MemDisk::new();
        let keep = Retention { log_bytes, age_us: 0 };
        let options = StoreOptions { keep, ..small(Durability::Interval, true).into() };
        let store = Store::open(env(&disk), options).unwrap();
        for i in 0..2000u32 {
            set(&store, S, "key", &[i as u8; 100]).unwrap();
        }
        store.checkpoint().unwrap();
        set(&store, S, "key", b"last").unwrap();
        let count = |store: &Store| store.history(&store.scope(S), "key", 5000).unwrap().len();
        assert_eq!(count(&store) == 2001, kept);
        assert!(count(&store) >= 1);
        store.close().unwrap();
        let store = Store::open(env(&disk), options).unwrap();
        assert_eq!(count(&store) == 2001, kept);
        // Of what lives the last change is told even where the log has nothing left.
        store.checkpoint().unwrap();
        store.checkpoint().unwrap();
        let history = store.history(&store.scope(S), "key", 5000).unwrap();
        assert_eq!((history[0].lsn, history[0].kind, history[0].value()), (2001, Kind::Set, &b"last"[..]));
        assert_eq!(history.len(), if kept { 2001 } else { 1 });
    }
}

#[test]
fn what_was_deleted_or_cleared_stays_so_after_a_checkpoint_and_its_history_while_the_log_has_it() {
    let disk = MemDisk::new();
    let keep = Retention { log_bytes: None, age_us: 0 };
    let options = StoreOptions { keep, ..small(Durability::Interval, true).into() };
    let mut store = Store::open(env(&disk), options).unwrap();
    set(&store, S, "deleted", b"1").unwrap();
    set(&store, S, "cleared", b"1").unwrap();
    set(&store, T, "kept", b"1").unwrap();
    delete(&store, S, "deleted").unwrap();
    store.checkpoint().unwrap();
    clear(&store, S).unwrap();
    set(&store, S, "new", b"2").unwrap();
    for _ in 0..2 {
        store.checkpoint().unwrap();
        store.close().unwrap();
        store = Store::open(env(&disk), options).unwrap();
        assert_eq!((get(&store, S, "deleted"), get(&store, S, "cleared")), (None, None));
        assert_eq!(store.scope(S).live_count(), 1);
        let kinds = |key: &str| -> Vec<Kind> {
            store.history(&store.scope(S), key, 10).unwrap().iter().map(|c| c.kind).collect()
        };
        assert_eq!(kinds("deleted"), [Kind::Delete, Kind::Set]);
        assert_eq!(kinds("cleared"), [Kind::Clear, Kind::Set]);
    }
}

#[test]
fn tombstones_leave_the_snapshots_once_their_history_is_gone() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..500u32 {
        set(&store, S, &format!("key{i}"), b"1").unwrap();
        delete(&store, S, &format!("key{i}")).unwrap();
        set(&store, T, &format!("key{i}"), &[1; 200]).unwrap();
    }
    clear(&store, T).unwrap();
    set(&store, T, "last", b"1").unwrap();
    for _ in 0..3 {
        set(&store, S, "filler", &[1; 70_000]).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!(store.recovery().snapshot_row_count, 2);
    assert_eq!(get(&store, T, "last").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_snapshot_put_back_from_earlier_days_brings_nothing_back_to_life() {
    let disk = MemDisk::new();
    let store = open(&disk);
    set(&store, S, "old", b"1").unwrap();
    store.checkpoint().unwrap();
    store.close().unwrap();
    let file = disk.open(NAMES[0], OpenHow::Read).unwrap();
    let mut early = vec![0; file.len().unwrap() as usize];
    file.read_full_at(&mut early, 0).unwrap();
    let store = open(&disk);
    delete(&store, S, "old").unwrap();
    for i in 0..5u8 {
        set(&store, S, "filler", &vec![i; 70_000]).unwrap();
        store.checkpoint().unwrap();
    }
    store.close().unwrap();
    disk.remove(NAMES[0]).unwrap();
    disk.open(NAMES[0], OpenHow::Create).unwrap().write_all_at(&early, 0).unwrap();
    for _ in 0..2 {
        let store = open(&disk);
        assert_eq!(get(&store, S, "old"), None);
        store.checkpoint().unwrap();
        store.close().unwrap();
        disk.remove(NAMES[1]).unwrap();
    }
}

#[test]
fn random_lives_with_checkpoints_read_back_as_a_model_says() {
    let mut rng = Rng::from_env("random_lives_with_checkpoints_read_back_as_a_model_says");
    for _ in 0..30 {
        let disk = MemDisk::new();
        let mut store = open(&disk);
        for _ in 0..300 {
            let (scope, key) = ([S, T][rng.below(2)], format!("key{}", rng.below(20)));
            match rng.below(20) {
                0 => drop(clear(&store, scope).unwrap()),
                1..4 => drop(delete(&store, scope, &key).unwrap()),
                4 => drop(store.checkpoint().unwrap()),
                5 => {
                    let value = |i: usize| Some(vec![i as u8; 50]);
                    let ops: Vec<_> = (0..5).map(|i| (scope.to_vec(), format!("key{i}"), value(i))).collect();
                    batch(&store, &ops).unwrap();
                }
                6 => {
                    let before = all(&store);
                    if rng.chance(50) {
                        store.close().unwrap();
                    } else {
                        kill(&disk, store);
                    }
                    if rng.chance(30) {
                        let name = NAMES[rng.below(2)];
                        if disk.exists(name).unwrap()
                            && disk.exists(NAMES[0]).unwrap() == disk.exists(NAMES[1]).unwrap()
                        {
                            disk.remove(name).unwrap();
                        }
                    }
                    store = open(&disk);
                    assert_eq!(all(&store), before);
                }
                _ => drop(set(&store, scope, &key, &vec![7; rng.below(3000)]).unwrap()),
            }
        }
    }
}

#[test]
fn a_snapshot_of_another_store_is_not_believed() {
    let (one, two) = (MemDisk::new(), MemDisk::new());
    for disk in [&one, &two] {
        let store = open(disk);
        set(&store, S, "whose", if std::ptr::eq(disk, &one) { b"one" } else { b"two" }).unwrap();
        store.checkpoint().unwrap();
        store.close().unwrap();
    }
    let read = |disk: &MemDisk, name: &str| {
        let file = disk.open(name, OpenHow::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_full_at(&mut bytes, 0).unwrap();
        bytes
    };
    for name in NAMES {
        let foreign = read(&two, name);
        one.remove(name).unwrap();
        one.open(name, OpenHow::Create).unwrap().write_all_at(&foreign, 0).unwrap();
    }
    let store = open(&one);
    assert_eq!(get(&store, S, "whose").as_deref(), Some(&b"one"[..]));
    let damage = &store.recovery().snapshot_damage;
    assert!(damage.len() == 2 && damage.iter().all(|what| what.contains("another store")), "{damage:?}");
}

#[test]
fn without_a_lasting_disk_the_log_goes_and_nothing_is_written_in_its_place() {
    let disk = MemDisk::new();
    let environment = spellkeep_core::env::Env { lasting: false, ..env(&disk) };
    let store = Store::open(environment, StoreOptions { wal: WalOptions::default(), ..lean() }).unwrap();
    let mut new = draft(Kind::Set, S, "key", &[1; 100_000]);
    assert_eq!(new.class(), StateClass::Standard);
    store.try_set(&store.scope(S), &mut new, None).unwrap();
    store.checkpoint().unwrap();
    assert!(disk.list("snapshots").unwrap().is_empty());
    assert_eq!(get(&store, S, "key").unwrap().len(), 100_000);
}

/// Its block holds, as when memory went wrong before it was written: a file that nothing else is wrong with is not taken again.
#[test]
fn a_snapshot_with_a_row_that_does_not_hold_is_made_anew() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let write = |store: &Store| (0..300u32).for_each(|i| assert!(set(store, S, &format!("k{i}"), &[1; 200]).is_ok()));
    write(&store);
    store.checkpoint().unwrap();
    let id = store.wal().store_id();
    store.close().unwrap();
    drop(store);
    let file = SnapshotFile::open(&disk, NAMES[1], id, true).unwrap();
    let (mut rows, mut nth) = (Rows::new(), 0);
    file.for_each(&mut |row| {
        nth += 1;
        if nth % 10 == 0 {
            Row::put(&mut rows, row.pos, &row.frame);
        }
    })
    .unwrap();
    rows.values_mut().nth(7).unwrap()[150] ^= 1;
    file.apply(&disk, &rows, file.mark(), 0, &|| true).unwrap();
    let store = open(&disk);
    write(&store);
    store.checkpoint().unwrap();
    write(&store);
    store.checkpoint().unwrap();
    assert!(store.verify().unwrap().damages.is_empty());
}

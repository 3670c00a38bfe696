//! Values beyond the memory budget: read back from the log or a snapshot, as if they had never left.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Rng, clear, delete, env, kill, set, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, Env, OpenHow};
use spellkeep_core::error::Coded;
use spellkeep_core::store::{ReadView, Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";
const BUDGET: u64 = 16 << 10;

fn options() -> StoreOptions {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    StoreOptions { keep, memory_budget_bytes: Some(BUDGET), ..small(Durability::Interval, true).into() }
}

fn open(disk: &MemDisk) -> Store {
    Store::open(env(disk), options()).unwrap()
}

fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let entry = store.thaw(&store.scope(S), key.as_bytes()).unwrap()?;
    assert_eq!((entry.key(), entry.is_cold()), (key.as_bytes(), false));
    Some(entry.value().to_vec())
}

fn value(i: u32) -> Vec<u8> {
    i.to_le_bytes().repeat(25)
}

fn cold_count(store: &Store) -> usize {
    store.list(&store.scope(S), "").iter().filter(|entry| entry.is_cold()).count()
}

#[test]
fn values_beyond_the_budget_leave_memory_and_read_back_from_the_log_and_from_snapshots() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..1000 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
    }
    assert_eq!((store.resident_bytes(), cold_count(&store)), (100_000, 0));
    store.evict().unwrap();
    assert!(store.resident_bytes() as u64 <= BUDGET);
    assert!(cold_count(&store) > 800);
    for round in 0..3 {
        (0..1000).for_each(|i| assert_eq!(get(&store, &format!("key{i}")), Some(value(i)), "round {round}"));
        assert_eq!(store.resident_bytes(), 100_000, "what is read comes back");
        store.evict().unwrap();
        // Then the log is gone, and snapshots have them.
        store.checkpoint().unwrap();
    }
}

#[test]
fn an_opening_keeps_within_the_budget() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..1000 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
        if i == 500 {
            store.checkpoint().unwrap();
        }
    }
    kill(&disk, store);
    let store = open(&disk);
    assert!(store.resident_bytes() as u64 <= BUDGET + 100);
    assert_eq!(store.scope(S).live_count(), 1000);
    (0..1000).for_each(|i| assert_eq!(get(&store, &format!("key{i}")), Some(value(i))));
}

#[test]
fn a_pin_keeps_what_was_cold_readable_whatever_comes() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..600 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
        if i == 300 {
            store.checkpoint().unwrap();
        }
    }
    store.evict().unwrap();
    let (pin, view) = (store.pin(), store.read_view(None).unwrap());
    let listed = store.list(&store.scope(S), "");
    for round in 0..3 {
        for i in 0..600 {
            if i % 3 == 0 {
                delete(&store, S, &format!("key{i}")).unwrap();
            } else {
                set(&store, S, &format!("key{i}"), &value(i + 1000 + round)).unwrap();
            }
        }
        store.evict().unwrap();
        store.checkpoint().unwrap();
    }
    clear(&store, S).unwrap();
    store.checkpoint().unwrap();
    for entry in listed {
        let key = String::from_utf8(entry.key().to_vec()).unwrap();
        let expected = value(key[3..].parse().unwrap());
        let seen = view.get(S, key.as_bytes()).unwrap().unwrap();
        assert_eq!(view.whole(S, seen).unwrap().value(), expected);
        assert_eq!(store.whole(pin.as_ref(), S, entry).unwrap().value(), expected);
    }
    let kept = disk.list("segments").unwrap().len();
    drop((pin, view));
    store.checkpoint().unwrap();
    assert!(disk.list("segments").unwrap().len() < kept, "the log goes once nobody needs it");
}

#[test]
fn a_cold_value_that_was_damaged_is_an_error_and_not_another_value() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..1000 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
    }
    store.evict().unwrap();
    for name in disk.list("segments").unwrap() {
        let file = disk.open(&format!("segments/{name}"), OpenHow::Write).unwrap();
        for at in (64..file.len().unwrap()).step_by(50) {
            file.write_all_at(&[0xFF], at).unwrap();
        }
    }
    let map = store.scope(S);
    let mut refused = 0;
    for i in 0..1000 {
        match store.thaw(&map, format!("key{i}").as_bytes()) {
            Ok(entry) => assert_eq!(entry.unwrap().value(), value(i)),
            Err(e) => {
                assert_eq!(e.code(), "log.damaged");
                refused += 1;
            }
        }
    }
    assert!(refused > 800);
}

#[test]
fn a_store_in_memory_keeps_every_value() {
    let environment = Env { lasting: false, ..env(&MemDisk::new()) };
    let store = Store::open(environment, options()).unwrap();
    for i in 0..1000 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
    }
    store.evict().unwrap();
    assert_eq!((store.resident_bytes(), cold_count(&store)), (100_000, 0));
    assert!(store.pin().is_none());
}

type Model = BTreeMap<String, Vec<u8>>;

fn check_view(view: &ReadView, model: &Model) {
    let found: Model = view.list(S, "").unwrap().into_iter().fold(Model::new(), |mut found, entry| {
        let whole = view.whole(S, entry).unwrap();
        found.insert(String::from_utf8(whole.key().to_vec()).unwrap(), whole.value().to_vec());
        found
    });
    assert!(found == *model);
}

#[test]
fn random_lives_with_evictions_checkpoints_and_views_read_back_as_a_model_says() {
    let mut rng = Rng::from_env("random_lives_with_evictions_checkpoints_and_views_read_back_as_a_model_says");
    for _ in 0..20 {
        let disk = MemDisk::new();
        let mut store = open(&disk);
        let mut model = Model::new();
        let mut views: Vec<(ReadView, Model)> = Vec::new();
        for step in 0..400u32 {
            let key = format!("key{}", rng.below(60));
            match rng.below(30) {
                0 if rng.chance(20) => {
                    clear(&store, S).unwrap();
                    model.clear();
                }
                1 | 2 => {
                    delete(&store, S, &key).unwrap();
                    model.remove(&key);
                }
                3 => drop(store.checkpoint().unwrap()),
                4..8 => store.evict().unwrap(),
                8 if views.len() < 4 => views.push((store.read_view(None).unwrap(), model.clone())),
                9 if !views.is_empty() => {
                    let (view, seen) = views.swap_remove(rng.below(views.len()));
                    check_view(&view, &seen);
                }
                10 if rng.chance(30) => {
                    views.clear();
                    if rng.chance(50) {
                        store.close().unwrap();
                    } else {
                        kill(&disk, store);
                    }
                    store = open(&disk);
                }
                11..16 => assert_eq!(get(&store, &key), model.get(&key).cloned()),
                _ => {
                    let value = step.to_le_bytes().repeat(rng.below(400));
                    set(&store, S, &key, &value).unwrap();
                    model.insert(key, value);
                }
            }
        }
        views.iter().for_each(|(view, seen)| check_view(view, seen));
        (0..60).for_each(|i| assert_eq!(get(&store, &format!("key{i}")), model.get(&format!("key{i}")).cloned()));
    }
}

#[test]
fn readers_find_every_value_while_it_leaves_comes_back_and_is_replaced() {
    let disk = MemDisk::new();
    let environment = Env { threads: true, ..env(&disk) };
    let store = Arc::new(Store::open(environment, options()).unwrap());
    for i in 0..400 {
        set(&store, S, &format!("key{i}"), &value(i)).unwrap();
    }
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for i in 0..4000u32 {
                    let number = (i * 7 + thread * 131) % 400;
                    let found = get(&store, &format!("key{number}")).expect("it is never deleted");
                    assert_eq!(u32::from_le_bytes(found[..4].try_into().unwrap()) % 400, number);
                }
            });
        }
        for round in 1..6u32 {
            for i in 0..400 {
                set(&store, S, &format!("key{i}"), &value(i + 400 * round)).unwrap();
            }
            store.checkpoint().unwrap();
        }
    });
    store.close().unwrap();
}

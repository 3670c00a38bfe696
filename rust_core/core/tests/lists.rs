//! Lists by prefix in scopes of many keys: what is kept in order between them is never behind.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use common::ttl::{clock, env_at, set_ttl};
use common::{Rng, batch, clear, delete, env, seed, set, small};
use spellkeep_core::env::Env;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::index::Entry;
use spellkeep_core::store::{ReadView, Store};
use spellkeep_core::wal::{Durability, WalOptions};

const S: &[u8] = b"scope";

/// Key to value.
type Keys = BTreeMap<String, Vec<u8>>;

fn of(entries: Vec<Entry>) -> Vec<(String, Vec<u8>)> {
    entries.iter().map(|e| (String::from_utf8(e.key().to_vec()).unwrap(), e.value().to_vec())).collect()
}

fn put(store: &Store, key: &str, value: &[u8]) {
    set(store, S, key, value).unwrap();
}

fn listed(store: &Store, prefix: &str) -> Vec<(String, Vec<u8>)> {
    of(store.list(&store.scope(S), prefix))
}

fn under(model: &Keys, prefix: &str) -> Vec<(String, Vec<u8>)> {
    model.iter().filter(|(key, _)| key.starts_with(prefix)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Of few or many groups, in no order; some begin others.
fn key(rng: &mut Rng) -> String {
    match rng.below(20) {
        0 => "x".repeat(1 + rng.below(250)),
        1 => format!("{}", rng.below(30)),
        _ => format!("group-{}/{:03}", rng.below(4), rng.below(400)),
    }
}

fn prefix(rng: &mut Rng) -> String {
    let key = key(rng);
    key[..rng.below(key.len() + 1)].into()
}

#[test]
fn a_list_is_what_an_ordered_map_says_through_any_life_of_a_scope() {
    let seed = seed("lists, one thread");
    for life in 0..8 {
        let mut rng = Rng::of(seed, life);
        let clock = clock();
        let store = Store::open(env_at(&MemDisk::new(), &clock), small(Durability::Process, true)).unwrap();
        let mut model = Keys::new();
        let mut ends = BTreeMap::<String, u64>::new();
        let mut now_us = 0;
        let mut views: Vec<(ReadView, Keys)> = Vec::new();
        for turn in 0..4000u64 {
            let value = turn.to_le_bytes();
            match rng.below(100) {
                0..50 => {
                    let key = key(&mut rng);
                    set(&store, S, &key, &value).unwrap();
                    ends.remove(&key);
                    model.insert(key, value.into());
                }
                50..71 => {
                    let key = key(&mut rng);
                    delete(&store, S, &key).unwrap();
                    ends.remove(&key);
                    model.remove(&key);
                }
                71..78 => {
                    let (key, ttl_us) = (key(&mut rng), 1 + rng.below(50) as u64);
                    set_ttl(&store, S, &key, &value, ttl_us).unwrap();
                    ends.insert(key.clone(), now_us + ttl_us);
                    model.insert(key, value.into());
                }
                78..81 => {
                    let us = rng.below(40) as u64;
                    clock.advance_us(us);
                    now_us += us;
                    model.retain(|key, _| ends.get(key).is_none_or(|end_us| now_us < *end_us));
                    ends.retain(|_, end_us| now_us < *end_us);
                }
                81 => drop(store.expire_due().unwrap()),
                82 if rng.chance(5) => {
                    clear(&store, S).unwrap();
                    (model, ends) = Default::default();
                }
                83 if views.len() < 3 => {
                    let view = store.read_view(None).unwrap();
                    views.push((view, model.clone()));
                }
                84 if rng.chance(50) && !views.is_empty() => drop(views.swap_remove(rng.below(views.len()))),
                85 => {
                    let ops: BTreeMap<_, _> =
                        (0..rng.below(200)).map(|_| (key(&mut rng), rng.chance(70).then(|| value.to_vec()))).collect();
                    let records: Vec<_> =
                        ops.iter().map(|(key, value)| (S.to_vec(), key.clone(), value.clone())).collect();
                    batch(&store, &records).unwrap();
                    for (key, value) in ops {
                        ends.remove(&key);
                        match value {
                            Some(value) => drop(model.insert(key, value)),
                            None => drop(model.remove(&key)),
                        }
                    }
                }
                _ => {
                    let prefix = prefix(&mut rng);
                    assert_eq!(listed(&store, &prefix), under(&model, &prefix), "life {life}, turn {turn}");
                    for (view, then) in &views {
                        assert_eq!(
                            of(view.list(S, &prefix).unwrap()),
                            under(then, &prefix),
                            "life {life}, turn {turn}"
                        );
                    }
                }
            }
        }
        assert_eq!(listed(&store, ""), under(&model, ""), "life {life}");
    }
}

#[test]
fn a_thread_lists_exactly_what_it_wrote_while_others_write_and_list_beside_it() {
    let seed = seed("lists, threads");
    let store = Store::open(Env { threads: true, ..env(&MemDisk::new()) }, WalOptions::default()).unwrap();
    // Nobody touches these.
    let fixed: Vec<_> = (0..300).map(|i| (format!("fixed/{i:03}"), vec![1])).collect();
    fixed.iter().for_each(|(key, value)| put(&store, key, value));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4u64)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let mut rng = Rng::of(seed, thread);
                    let (own, mut model) = (format!("writer-{thread}/"), Keys::new());
                    for turn in 0..3000u64 {
                        let key = format!("{own}{}", rng.below(300));
                        // Waves of more and of less, so that keys go and come back.
                        if rng.chance(if turn / 500 % 2 == 0 { 70 } else { 20 }) {
                            set(store, S, &key, &turn.to_le_bytes()).unwrap();
                            model.insert(key, turn.to_le_bytes().into());
                        } else {
                            delete(store, S, &key).unwrap();
                            model.remove(&key);
                        }
                        if rng.chance(10) {
                            assert_eq!(listed(store, &own), under(&model, &own), "thread {thread}, turn {turn}");
                        }
                        if rng.chance(1) {
                            let view = store.read_view(None).unwrap();
                            let then = under(&model, &own);
                            for _ in 0..5 {
                                let key = format!("{own}{}", rng.below(300));
                                delete(store, S, &key).unwrap();
                                model.remove(&key);
                                listed(store, &own);
                            }
                            assert_eq!(of(view.list(S, &own).unwrap()), then, "thread {thread}, turn {turn}");
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let all = listed(&store, "");
                    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
                    assert!(all.starts_with(&fixed), "keys that nobody touched are missing");
                }
            });
        }
        let done: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        over.store(true, Ordering::Relaxed);
        done.into_iter().for_each(|result| result.unwrap());
    });
}

#[test]
fn the_first_lists_of_a_scope_lose_no_key_that_comes_meanwhile() {
    let seed = seed("lists, the first");
    for life in 0..60 {
        let store = Store::open(Env { threads: true, ..env(&MemDisk::new()) }, WalOptions::default()).unwrap();
        let mut rng = Rng::of(seed, life);
        let (before, after) = (100 + rng.below(300), 100);
        (0..before).for_each(|i| put(&store, &format!("{i:04}"), b""));
        std::thread::scope(|scope| {
            scope.spawn(|| (0..3).for_each(|_| drop(listed(&store, ""))));
            (0..after).for_each(|i| put(&store, &format!("{:04}", before + i), b""));
        });
        let expected: Vec<_> = (0..before + after).map(|i| (format!("{i:04}"), Vec::new())).collect();
        assert_eq!(listed(&store, ""), expected, "life {life}");
    }
}

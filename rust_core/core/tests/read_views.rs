//! Read views: each shows one moment of the store, whatever is written meanwhile, until it ends.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::ttl::{clock, env_at, set_ttl, sim_clock};
use common::{Rng, batch, clear, code, delete, env, kill, set, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, Env};
use spellkeep_core::index::Ending;
use spellkeep_core::limits::READ_VIEWS_MAX;
use spellkeep_core::store::{ReadView, Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Durability, WalOptions};

const S: &[u8] = b"scope";
const SCOPES: [&[u8]; 3] = [b"a", b"b", b"other"];

/// Scope and key: version and value.
type Contents = BTreeMap<(Vec<u8>, String), (u64, Vec<u8>)>;

fn options() -> WalOptions {
    small(Durability::Process, true)
}

fn open(disk: &MemDisk) -> Store {
    Store::open(env(disk), options()).unwrap()
}

fn open_with_budget(view_budget_bytes: usize) -> Store {
    Store::open(env(&MemDisk::new()), StoreOptions { view_budget_bytes, ..options().into() }).unwrap()
}

fn value(view: &ReadView, key: &str) -> Option<Vec<u8>> {
    view.get(S, key.as_bytes()).unwrap().map(|entry| entry.value().to_vec())
}

fn keys(view: &ReadView) -> Vec<String> {
    let listed = view.list(S, "").unwrap();
    listed.iter().map(|entry| String::from_utf8(entry.key().to_vec()).unwrap()).collect()
}

fn now(store: &Store) -> Contents {
    let mut found = Contents::new();
    for map in store.live_scopes() {
        for entry in store.list(&map, "") {
            let place = (map.scope().to_vec(), String::from_utf8(entry.key().to_vec()).unwrap());
            found.insert(place, (entry.meta().lsn, entry.value().to_vec()));
        }
    }
    found
}

/// Everything that a view shows, each key by itself and in its list.
fn shown(view: &ReadView) -> Contents {
    let mut found = Contents::new();
    for map in view.scopes().unwrap() {
        for entry in view.list(map.scope(), "").unwrap() {
            let alone = view.get(map.scope(), entry.key()).unwrap().expect("in the list and not by itself");
            assert_eq!((alone.meta().lsn, alone.value()), (entry.meta().lsn, entry.value()));
            let place = (map.scope().to_vec(), String::from_utf8(entry.key().to_vec()).unwrap());
            found.insert(place, (entry.meta().lsn, entry.value().to_vec()));
        }
    }
    found
}

#[test]
fn a_view_shows_what_there_was_whatever_comes_after() {
    let store = open(&MemDisk::new());
    for key in ["changed", "deleted", "kept"] {
        set(&store, S, key, b"before").unwrap();
    }
    let view = store.read_view(None).unwrap();
    set(&store, S, "changed", b"after").unwrap();
    set(&store, S, "new", b"after").unwrap();
    delete(&store, S, "deleted").unwrap();
    set(&store, S, "deleted", b"again").unwrap();
    let between = store.read_view(None).unwrap();
    clear(&store, S).unwrap();
    set(&store, S, "kept", b"after the clear").unwrap();
    let large = vec![1; 200_000];
    set(&store, S, "changed", &large).unwrap();
    clear(&store, S).unwrap();
    assert_eq!((view.version(), keys(&view)), (3, vec!["changed".into(), "deleted".into(), "kept".into()]));
    for key in ["changed", "deleted", "kept"] {
        assert_eq!(value(&view, key).as_deref(), Some(&b"before"[..]));
    }
    assert_eq!(value(&view, "new"), None);
    assert_eq!(keys(&between), ["changed", "deleted", "kept", "new"]);
    assert_eq!(value(&between, "deleted").as_deref(), Some(&b"again"[..]));
    assert!(keys(&store.read_view(None).unwrap()).is_empty());
}

#[test]
fn a_view_sees_expiry_as_of_the_moment_when_it_was_taken() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = Store::open(env_at(&disk, &clock), options()).unwrap();
    set_ttl(&store, S, "over", b"1", 10).unwrap();
    set_ttl(&store, S, "there", b"2", 100).unwrap();
    clock.advance_us(50);
    let view = store.read_view(None).unwrap();
    assert_eq!(keys(&view), ["there"]);
    clock.advance_us(1000);
    assert_eq!(store.expire_due().unwrap(), 2);
    assert_eq!((keys(&view), value(&view, "over")), (vec!["there".to_owned()], None));
    assert_eq!(value(&view, "there").as_deref(), Some(&b"2"[..]));
}

#[test]
fn any_views_of_any_workload_show_their_moment() {
    let mut rng = Rng::from_env("any_views_of_any_workload_show_their_moment");
    for _ in 0..60 {
        let disk = MemDisk::new();
        let mut store = open(&disk);
        let mut views: Vec<(ReadView, Contents)> = Vec::new();
        for _ in 0..150 {
            let scope = SCOPES[rng.below(3)];
            let key = format!("k{}", rng.below(5));
            let text = rng.next().to_le_bytes().repeat([1, 20, 4000][rng.below(3)]);
            match rng.below(20) {
                0..=6 => drop(set(&store, scope, &key, &text).unwrap()),
                7 | 8 => drop(set_ttl(&store, scope, &key, &text, 1 + rng.next() % 20).unwrap()),
                9 => drop(delete(&store, scope, &key).unwrap()),
                10 => drop(clear(&store, scope).unwrap()),
                11 => {
                    let op = |key: &str, text: &[u8]| (scope.to_vec(), key.to_owned(), Some(text.to_vec()));
                    drop(batch(&store, &[op("k0", &text), op("k1", &text), op("k2", b"small")]).unwrap());
                }
                12 => sim_clock().advance_us(rng.next() % 10),
                13 => drop(store.expire_due().unwrap()),
                14 | 15 => views.push((store.read_view(None).unwrap(), now(&store))),
                16 | 17 if !views.is_empty() => drop(views.swap_remove(rng.below(views.len()))),
                18 if rng.chance(10) => {
                    views.clear();
                    kill(&disk, store);
                    store = open(&disk);
                }
                _ => {
                    for (view, contents) in &views {
                        assert!(shown(view) == *contents, "the view at {} differs", view.version());
                    }
                }
            }
        }
        for (view, contents) in &views {
            assert!(shown(view) == *contents, "the view at {} differs", view.version());
        }
        while !views.is_empty() {
            drop(views.swap_remove(rng.below(views.len())));
            assert!(views.iter().all(|(view, contents)| shown(view) == *contents));
        }
        assert_eq!(store.view_figures(), (0, 0));
    }
}

#[test]
fn a_view_retains_one_entry_for_a_key_however_often_it_is_written() {
    let store = open(&MemDisk::new());
    for i in 0..10 {
        set(&store, S, &format!("k{i}"), &[0; 1000]).unwrap();
    }
    let view = store.read_view(None).unwrap();
    assert_eq!(store.view_figures(), (1, 0));
    let mut most = 0;
    for round in 0..50 {
        for i in 0..10 {
            set(&store, S, &format!("k{i}"), &[round; 1000]).unwrap();
        }
        // Views that come and go leave nothing behind.
        drop(store.read_view(None).unwrap());
        most = most.max(store.view_figures().1);
    }
    assert!((10_000..20_000).contains(&most), "{most} bytes");
    assert_eq!(value(&view, "k0"), Some(vec![0; 1000]));
    drop(view);
    assert_eq!(store.view_figures(), (0, 0));
}

#[test]
fn the_oldest_view_ends_when_the_budget_is_spent() {
    let store = open_with_budget(10_000);
    for i in 0..20 {
        set(&store, S, &format!("k{i}"), &[1; 1000]).unwrap();
    }
    let oldest = store.read_view(None).unwrap();
    for i in 0..5 {
        set(&store, S, &format!("k{i}"), &[2; 1000]).unwrap();
    }
    let newer = store.read_view(None).unwrap();
    assert_eq!(value(&oldest, "k0"), Some(vec![1; 1000]));
    for i in 0..5 {
        set(&store, S, &format!("k{i}"), &[3; 1000]).unwrap();
    }
    let ended = oldest.get(S, b"k0").map(drop).unwrap_err();
    assert!(matches!(ended, StoreError::ViewEnded(Ending::Budget)), "{ended}");
    assert_eq!(code(Err::<(), _>(ended)), "view.ended");
    assert_eq!(code(oldest.list(S, "")), "view.ended");
    assert_eq!((value(&newer, "k0"), value(&newer, "k9")), (Some(vec![2; 1000]), Some(vec![1; 1000])));
    let (count, bytes) = store.view_figures();
    assert!(count == 1 && bytes <= 10_000, "{count} {bytes}");
    for i in 0..20 {
        set(&store, S, &format!("k{i}"), &[4; 1000]).unwrap();
    }
    assert_eq!((newer.ending(), store.view_figures()), (Some(Ending::Budget), (0, 0)));
    drop((oldest, newer));
    assert_eq!(keys(&store.read_view(None).unwrap()).len(), 20);
}

#[test]
fn a_view_ends_with_its_age_its_close_and_its_store() {
    let store = open(&MemDisk::new());
    set(&store, S, "k", b"1").unwrap();
    let aged = store.read_view(Some(100)).unwrap();
    let closed = store.read_view(None).unwrap();
    let left = store.read_view(None).unwrap();
    sim_clock().advance_us(99);
    assert_eq!(value(&aged, "k").as_deref(), Some(&b"1"[..]));
    sim_clock().advance_us(1);
    assert!(matches!(aged.get(S, b"k"), Err(StoreError::ViewEnded(Ending::Age))));
    closed.close();
    closed.close();
    assert!(matches!(closed.get(S, b"k"), Err(StoreError::ViewEnded(Ending::Closed))));
    assert_eq!(store.view_figures().0, 1);
    // A view that nobody reads any more ends as well, when a write would have to retain something for it.
    let unread = store.read_view(Some(100)).unwrap();
    sim_clock().advance_us(100);
    set(&store, S, "k", b"2").unwrap();
    assert_eq!((store.view_figures().0, unread.ending()), (1, Some(Ending::Age)));
    store.close().unwrap();
    assert!(matches!(left.get(S, b"k"), Err(StoreError::ViewEnded(Ending::StoreClosed))));
    assert_eq!(code(store.read_view(None).map(drop)), "store.closed");
}

#[test]
fn a_view_does_not_keep_a_dropped_store_open() {
    let disk = MemDisk::new();
    let store = open(&disk);
    set(&store, S, "k", b"1").unwrap();
    let view = store.read_view(None).unwrap();
    drop(store);
    assert!(matches!(view.get(S, b"k"), Err(StoreError::ViewEnded(Ending::StoreClosed))));
    assert!(disk.lock("LOCK").is_ok());
}

#[test]
fn what_a_clear_hides_is_freed_when_no_view_sees_it() {
    let store = open(&MemDisk::new());
    let map = store.scope(S);
    for i in 0..600 {
        set(&store, S, &format!("k{i}"), &[1; 1000]).unwrap();
    }
    let view = store.read_view(None).unwrap();
    clear(&store, S).unwrap();
    assert_eq!((keys(&view).len(), value(&view, "k7")), (600, Some(vec![1; 1000])));
    assert!(map.size_bytes() > 600_000);
    drop(view);
    assert!(map.size_bytes() < 200_000, "{} bytes", map.size_bytes());
}

#[test]
fn what_a_clear_hides_counts_for_the_budget() {
    let store = open_with_budget(100_000);
    let map = store.scope(S);
    for i in 0..90 {
        set(&store, S, &format!("k{i}"), &[1; 1000]).unwrap();
    }
    let view = store.read_view(None).unwrap();
    clear(&store, S).unwrap();
    assert_eq!((store.view_figures().0, keys(&view).len()), (1, 90));
    for i in 0..90 {
        set(&store, S, &format!("n{i}"), &[1; 1000]).unwrap();
    }
    let second = store.read_view(None).unwrap();
    clear(&store, S).unwrap();
    assert_eq!((view.ending(), second.ending()), (Some(Ending::Budget), None));
    assert_eq!(keys(&second).len(), 90);
    drop((view, second));
    assert!(map.size_bytes() < 100_000, "{} bytes", map.size_bytes());
    assert_eq!(store.view_figures(), (0, 0));
}

#[test]
fn there_is_a_limit_to_the_number_of_views() {
    let store = open(&MemDisk::new());
    let mut views: Vec<ReadView> = (0..READ_VIEWS_MAX).map(|_| store.read_view(None).unwrap()).collect();
    assert_eq!(code(store.read_view(None).map(drop)), "view.count");
    views.pop();
    views.push(store.read_view(None).unwrap());
    drop(views);
    assert_eq!(store.view_figures(), (0, 0));
}

#[test]
fn views_hold_while_threads_write_clear_and_expire() {
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    let store = Store::open(Env { disk, ..Env::memory() }, options()).unwrap();
    let (stop, store) = (AtomicBool::new(false), &store);
    std::thread::scope(|threads| {
        for writer in 0..2u64 {
            let stop = &stop;
            threads.spawn(move || {
                let mut rng = Rng::new(writer + 7);
                while !stop.load(Ordering::Relaxed) {
                    let text = rng.next().to_le_bytes();
                    // Whoever sees one of a pair sees the other, with the same value.
                    let op = |key: &str| (S.to_vec(), key.to_owned(), Some(text.to_vec()));
                    batch(store, &[op("left"), op("right")]).unwrap();
                    set(store, S, &format!("k{}", rng.below(50)), &text).unwrap();
                    set_ttl(store, S, &format!("t{}", rng.below(50)), &text, rng.next() % 3000).unwrap();
                    match rng.below(40) {
                        0 => drop(clear(store, S).unwrap()),
                        1..=9 => drop(delete(store, S, &format!("k{}", rng.below(50))).unwrap()),
                        _ => {}
                    }
                }
            });
        }
        let readers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(move || {
                    for _ in 0..1500 {
                        let view = store.read_view(None).unwrap();
                        let (left, right) = (value(&view, "left"), value(&view, "right"));
                        assert_eq!(left, right, "half of a batch");
                        let first = shown(&view);
                        assert!(first.values().all(|(lsn, _)| *lsn <= view.version()));
                        assert!(shown(&view) == first, "a view changed");
                        assert_eq!(value(&view, "left"), left);
                    }
                })
            })
            .collect();
        let held = readers.into_iter().map(|reader| reader.join()).all(|done| done.is_ok());
        stop.store(true, Ordering::Relaxed);
        assert!(held);
    });
    assert_eq!(store.view_figures(), (0, 0));
}

#[test]
fn a_read_during_which_its_view_ends_says_so() {
    let store = open_with_budget(2000);
    for i in 0..20 {
        set(&store, S, &format!("k{i}"), &[1; 200]).unwrap();
    }
    let (stop, store) = (AtomicBool::new(false), &store);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut i = 0u32;
            while !stop.load(Ordering::Relaxed) {
                i += 1;
                set(store, S, &format!("k{}", i % 20), &[2; 200]).unwrap();
            }
        });
        let (mut whole, mut ended) = (0, 0);
        while whole < 1000 || ended < 1000 {
            let view = store.read_view(None).unwrap();
            match view.list(S, "") {
                Ok(listed) if listed.len() == 20 => whole += 1,
                Ok(listed) => {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{} of 20 keys", listed.len());
                }
                Err(e) => {
                    assert_eq!(code(Err::<(), _>(e)), "view.ended");
                    ended += 1;
                }
            }
            if whole > 200_000 {
                // Alone on a slow machine: the writer hardly gets a turn.
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

//! Real threads: nothing is lost, nothing is torn, nobody waits for ever.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use common::sim::SimDisk;
use common::{Rng, WORDS, batch, code, delete, draft, env, get, set, set_if, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Env, Region};
use spellkeep_core::record::Kind;
use spellkeep_core::store::{Batch, Op, Store, StoreError};
use spellkeep_core::wal::{Durability, WalError, WalOptions};

const WAIT: Duration = Duration::from_secs(60);

fn threaded(disk: &MemDisk) -> Env {
    Env { threads: true, ..env(disk) }
}

/// Runs `body` on a thread of its own and gives up on it after a while.
fn watched(what: &str, body: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        body();
        done.send(()).ok();
    });
    match wait.recv_timeout(WAIT) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: somebody waits for ever"),
        _ => thread.join().unwrap(),
    }
}

#[test]
fn eight_threads_that_compare_and_set_one_counter_make_an_exact_sum() {
    watched("counter", || {
        for word in WORDS {
            let disk = MemDisk::new();
            let store = Store::open(threaded(&disk), small(word, true)).unwrap();
            let each = 500u64;
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..each {
                            loop {
                                let map = store.scope(b"s");
                                let seen = map
                                    .get(b"n", |e| (e.meta().lsn, u64::from_le_bytes(e.value().try_into().unwrap())));
                                let (lsn, count) = seen.unwrap_or((0, 0));
                                match set_if(&store, b"s", "n", &(count + 1).to_le_bytes(), Some(lsn)) {
                                    Ok(_) => break,
                                    Err(StoreError::Conflict { .. }) => {}
                                    Err(e) => panic!("{e}"),
                                }
                            }
                        }
                    });
                }
            });
            store.close().unwrap();
            drop(store);
            let store = Store::open(threaded(&disk), small(word, true)).unwrap();
            assert_eq!(get(&store, b"s", "n").unwrap(), (8 * each).to_le_bytes());
            assert_eq!(store.wal().last_lsn(), 8 * each);
        }
    });
}

#[test]
fn readers_never_miss_a_key_or_see_a_torn_value_while_it_is_overwritten() {
    watched("readers", || {
        let store = Store::open(threaded(&MemDisk::new()), WalOptions::default()).unwrap();
        let key = |i: u64| format!("k{}", i % 16);
        (0..16).for_each(|i| assert_ne!(set(&store, b"s", &key(i), &[0; 64]).unwrap(), 0));
        let over = AtomicBool::new(false);
        let reads = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let map = store.scope(b"s");
                    let mut i = 0;
                    while !over.load(Ordering::Relaxed) {
                        i += 1;
                        let whole = map.get(key(i).as_bytes(), |e| e.value().iter().all(|b| *b == e.value()[0]));
                        assert_eq!(whole, Some(true));
                        if i % 64 == 0 {
                            assert!(map.list(b"k").len() >= 16);
                        }
                    }
                    reads.fetch_add(i, Ordering::Relaxed);
                });
            }
            for i in 0..60_000u64 {
                let value = vec![i as u8; 64 + (i % 7) as usize];
                set(&store, b"s", &key(i), &value).unwrap();
                // New keys make the table grow under the readers.
                if i % 10 == 0 {
                    set(&store, b"s", &format!("k-new-{i}"), &value).unwrap();
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        println!("{} reads", reads.into_inner());
        store.close().unwrap();
    });
}

/// The ring's figures were read head first, so that a release between the two loads made the used bytes negative.
#[test]
fn big_batches_small_writes_flushes_figures_and_a_close_get_along() {
    watched("everything", || {
        let mut rng = Rng::from_env("big_batches_small_writes_flushes_figures_and_a_close_get_along");
        for round in 0..9usize {
            let disk = MemDisk::new();
            let options = small(WORDS[round % 3], round % 2 == 0);
            let store = Store::open(threaded(&disk), options).unwrap();
            let ok = |e: StoreError| assert!(matches!(e, StoreError::Wal(WalError::Closed)), "{e}");
            let nap = Duration::from_millis(40 + rng.next() % 60);
            let acked: Vec<_> = std::thread::scope(|scope| {
                let store = &store;
                let writers: Vec<_> = (0..4u64)
                    .map(|thread| {
                        scope.spawn(move || {
                            let name = format!("t{thread}");
                            let mut acked = 0u64;
                            for i in 1u64.. {
                                let value = i.to_le_bytes();
                                let done = if thread == 0 && i % 3 == 0 || i % 50 == 0 {
                                    let pad = vec![1; 40_000];
                                    let op =
                                        |key: &str, value: &[u8]| (b"s".to_vec(), key.to_owned(), Some(value.into()));
                                    batch(store, &[op(&name, &value), op(&format!("pad{thread}"), &pad)]).map(|_| ())
                                } else if i % 7 == 0 {
                                    delete(store, b"s", "nothing")
                                        .and_then(|_| set(store, b"s", &name, &value).map(drop))
                                } else {
                                    set(store, b"s", &name, &value).map(drop)
                                };
                                match done {
                                    Ok(()) => acked = i,
                                    Err(e) => {
                                        ok(e);
                                        return acked;
                                    }
                                }
                            }
                            acked
                        })
                    })
                    .collect();
                scope.spawn(move || while store.wal().flush().map_err(|e| ok(e.into())).is_ok() {});
                scope.spawn(move || {
                    while store.check().is_ok() {
                        let stats = store.stats().0;
                        assert!(stats.ring_used_bytes <= stats.ring_bytes && stats.synced_lsn <= stats.last_lsn);
                    }
                });
                scope.spawn(move || {
                    // Its turn may come after the close.
                    let Ok(mut changes) = store.changes(0).map_err(ok) else { return };
                    let mut last = 0;
                    while store.check().is_ok() {
                        match changes.next_change() {
                            Ok(None) => {}
                            Ok(Some(change)) => {
                                assert_eq!(change.lsn, last + 1);
                                last = change.lsn;
                            }
                            Err(e) => ok(e),
                        }
                    }
                });
                std::thread::sleep(nap);
                store.close().unwrap();
                writers.into_iter().map(|w| w.join().unwrap()).collect()
            });
            drop(store);
            let store = Store::open(threaded(&disk), options).unwrap();
            assert!(store.recovery().log.clean);
            for (thread, acked) in acked.iter().enumerate() {
                let there =
                    get(&store, b"s", &format!("t{thread}")).map_or(0, |v| u64::from_le_bytes(v.try_into().unwrap()));
                assert!(there >= *acked && there <= acked + 1, "thread {thread}: {acked} acknowledged, {there} there");
            }
        }
    });
}

/// Those who waited for the drain lock were let go one by one, into a sync each: 296 syncs for 400 writes of 8 threads.
#[test]
fn one_sync_acknowledges_many_writers() {
    watched("group commit", || {
        // Longer than it takes a thread to get a processor, on a busy machine, too: who has written by then shares.
        let mut disk = SimDisk::default();
        disk.sync_time = Duration::from_millis(5);
        let environment = Env { disk: Arc::new(disk), threads: true, ..Env::memory() };
        let store = Store::open(environment, small(Durability::Sync, true)).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..50u32 {
                        let lsn = set(store, b"s", &format!("t{thread}"), &i.to_le_bytes()).unwrap();
                        assert!(store.wal().synced_lsn() >= lsn);
                    }
                });
            }
        });
        let stats = store.stats().0;
        println!("400 writes, {} syncs", stats.sync_count);
        assert!(stats.sync_count < 200, "{} syncs for 400 writes", stats.sync_count);
    });
}

#[test]
fn the_interval_makes_writes_durable_without_any_further_call() {
    for word in [Durability::Interval, Durability::Process] {
        let store =
            Store::open(threaded(&MemDisk::new()), WalOptions { durability: word, ..WalOptions::default() }).unwrap();
        for round in 1..4u64 {
            let lsn = set(&store, b"s", "a", b"1").unwrap();
            assert_eq!(lsn, round);
            let reached = || match word {
                Durability::Process => store.wal().stats().ring_used_bytes == 0,
                _ => store.wal().synced_lsn() >= lsn,
            };
            let start = Instant::now();
            while !reached() {
                assert!(start.elapsed() < WAIT, "nobody drained");
                std::thread::sleep(Duration::from_millis(2));
            }
            // Long enough for the thread to fall asleep without a timeout.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// An append that came during a drain told the thread of a ring that the drain then freed, and no other told it again: the
/// next writer that found the ring full drained and synced by itself, 3 to 8 ms of each burst.
#[test]
fn the_thread_is_told_of_a_ring_that_fills_up_again_and_again() {
    watched("told", || {
        let mut disk = SimDisk::default();
        disk.sync_time = Duration::from_millis(20);
        let environment = Env { disk: Arc::new(disk), threads: true, ..Env::memory() };
        let options = WalOptions { interval_ms: 60_000, ..small(Durability::Interval, true) };
        let store = Store::open(environment, options).unwrap();
        let syncs = || store.stats().0.sync_count;
        let used = || store.stats().0.ring_used_bytes;
        let put = |bytes: usize| assert_ne!(set(&store, b"s", "k", &vec![1; bytes]).unwrap(), 0);
        for round in 1..6 {
            put(25_000);
            // More comes while the thread syncs.
            std::thread::sleep(Duration::from_millis(10));
            put(1000);
            while syncs() < round || used() > 2000 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
}

/// A store that was dropped without a close left its thread parked for good.
#[test]
fn a_dropped_store_ends_its_thread_and_gives_the_directory_up() {
    let drains = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "spellkeep-drain")
    };
    let count = || std::fs::read_dir("/proc/self/task").unwrap().flatten().map(drains).filter(|d| *d).count();
    let before = count();
    for _ in 0..64 {
        let disk = MemDisk::new();
        let store = Store::open(threaded(&disk), small(Durability::Interval, true)).unwrap();
        set(&store, b"s", "a", b"1").unwrap();
        store.wal().flush().unwrap();
        std::thread::sleep(Duration::from_millis(1));
        drop(store);
    }
    let start = Instant::now();
    while count() > before + 32 {
        assert!(start.elapsed() < WAIT, "{} threads are left", count() - before);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_closed_store_says_so_from_every_thread() {
    let store = Store::open(threaded(&MemDisk::new()), small(Durability::Interval, true)).unwrap();
    set(&store, b"s", "a", b"1").unwrap();
    std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| store.close().unwrap())));
    });
    assert_eq!(code(set(&store, b"s", "a", b"2")), "store.closed");
    assert_eq!(code(store.wal().flush().map_err(StoreError::from)), "store.closed");
}

/// A kill between the two would make a store that says that it lost an acknowledged record.
#[test]
fn the_ring_never_counts_a_record_before_it_is_whole() {
    for _ in 0..5 {
        let disk = MemDisk::new();
        let store = Store::open(env(&disk), WalOptions::default()).unwrap();
        set(&store, b"s", "k", &[1; 1000]).unwrap();
        let frame_bytes = store.wal().end() as usize - 64;
        let region = disk.region("ring").unwrap();
        let word = |at: usize| {
            assert!(at.is_multiple_of(8) && at + 8 <= region.len());
            // SAFETY: an aligned word of the region, which the engine stores atomically too.
            unsafe { AtomicU64::from_ptr(region.base().add(at).cast()) }.load(Ordering::Acquire)
        };
        let count = 3500;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..count).for_each(|i| assert_eq!(set(&store, b"s", "k", &[1; 1000]).unwrap(), i + 1)));
            loop {
                let last = word(72);
                let header = word(4096 + 64 + (last as usize - 1) * frame_bytes);
                assert_eq!(header as u32 as usize, frame_bytes, "version {last} is counted and not there");
                if last == count {
                    break;
                }
            }
        });
    }
}

/// A kill in the middle of a batch would make a store that says that it lost an acknowledged record.
#[test]
fn the_ring_never_counts_half_a_batch() {
    let disk = MemDisk::new();
    let store = Store::open(env(&disk), WalOptions::default()).unwrap();
    let region = disk.region("ring").unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let op = |key: &str| (b"s".to_vec(), key.to_owned(), Some(vec![1; 200]));
            (0..5000).for_each(|_| assert_ne!(batch(&store, &[op("a"), op("b")]).unwrap(), [0, 0]));
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            // SAFETY: an aligned word of the region, which the engine stores atomically too.
            let last = unsafe { AtomicU64::from_ptr(region.base().add(72).cast()) }.load(Ordering::Acquire);
            assert_eq!(last % 2, 0, "version {last} is in the middle of a batch");
        }
    });
}

/// Its conditions are looked at once nobody else can commit. There are many, so that somebody would meanwhile.
#[test]
fn a_commit_larger_than_the_ring_is_refused_when_a_key_moved_on_while_it_looked() {
    watched("conditions", || {
        let mut rng = Rng::from_env("a_commit_larger_than_the_ring_is_refused_when_a_key_moved_on_while_it_looked");
        let store = Store::open(threaded(&MemDisk::new()), small(Durability::Process, true)).unwrap();
        let map = store.scope(b"s");
        for _ in 0..20 {
            let rest: Vec<_> = (0..10_000).map(|i| draft(Kind::Set, b"s", &format!("k{i}"), b"")).collect();
            let seen = set(&store, b"s", "hot", b"").unwrap();
            let mut batch = Batch::default();
            batch.push(Op {
                map: Arc::clone(&map),
                draft: draft(Kind::Set, b"s", "hot", b"large"),
                if_version: Some(seen),
            });
            rest.into_iter().for_each(|draft| _ = batch.push(Op { map: Arc::clone(&map), draft, if_version: None }));
            let wait = Duration::from_micros(rng.below(3_000) as u64);
            let (large, other) = std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    std::thread::sleep(wait);
                    set(&store, b"s", "hot", b"other").unwrap()
                });
                (store.batch(&mut batch), other.join().unwrap())
            });
            if let Ok(versions) = large {
                assert!(other < seen || other > versions[0], "{other} came between {seen} and {}", versions[0]);
            }
        }
    });
}

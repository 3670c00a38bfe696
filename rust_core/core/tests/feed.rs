//! Following the log: from any version, as it grows, and without losing what is not read yet.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Rng, code, env, set, small};
use spellkeep_core::env::Env;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::Lsn;
use spellkeep_core::store::{Changes, Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

const S: &[u8] = b"\x04scout\0\0";

fn all(changes: &mut Changes) -> Vec<Lsn> {
    std::iter::from_fn(|| changes.next_change().unwrap()).map(|change| change.lsn).collect()
}

fn letting_go(disk: &MemDisk, hold_lsn: Option<Lsn>) -> Store {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    Store::open(env(disk), StoreOptions { keep, hold_lsn, ..small(Durability::Interval, true).into() }).unwrap()
}

#[test]
fn reading_begins_anywhere_and_goes_on_where_it_ended() {
    let mut rng = Rng::from_env("reading_begins_anywhere_and_goes_on_where_it_ended");
    let disk = MemDisk::new();
    let options = WalOptions { ring_bytes: 1 << 20, segment_bytes: 4 << 20, ..small(Durability::Interval, true) };
    let mut store = Store::open(env(&disk), options).unwrap();
    let (mut last, mut seen) = (0, 0);
    let mut cursor = store.changes(0).unwrap();
    for turn in 0..12 {
        for i in 0..600 {
            // One in a hundred is larger than the ring.
            let len = if i % 100 == 99 { 1 << 20 } else { 100 + rng.below(4000) };
            last = set(&store, S, &format!("k{}", i % 50), &vec![7; len]).unwrap();
        }
        assert_eq!(all(&mut cursor), (seen + 1..=last).collect::<Vec<_>>(), "turn {turn}");
        seen = last;
        for _ in 0..20 {
            let since = rng.next() % (last + 1);
            let mut found = store.changes(since).unwrap();
            for wanted in since + 1..=last.min(since + 30) {
                assert_eq!(found.next_change().unwrap().unwrap().lsn, wanted, "since {since}");
            }
        }
        assert_eq!(all(&mut store.changes(last).unwrap()), []);
        if turn == 6 {
            store.close().unwrap();
            store = Store::open(env(&disk), options).unwrap();
            cursor = store.changes(seen).unwrap();
        }
    }
}

#[test]
fn who_waits_is_woken_by_what_is_written() {
    for durability in [Durability::Process, Durability::Interval, Durability::Sync] {
        let store = Store::open(Env::memory(), WalOptions { durability, ..WalOptions::default() }).unwrap();
        let store = Arc::new(store);
        let waiting = Arc::clone(&store);
        let thread = std::thread::spawn(move || {
            let mut at = 0;
            while at < 20 {
                let begun = Instant::now();
                at = waiting.wal().wait_beyond(at, 60_000).unwrap();
                assert!(begun.elapsed() < Duration::from_secs(30), "it slept on at {at}, {durability:?}");
            }
        });
        for i in 0..20u8 {
            std::thread::sleep(Duration::from_millis(if i % 5 == 0 { 40 } else { 0 }));
            set(&store, S, "key", &[i]).unwrap();
        }
        thread.join().unwrap();
    }
}

#[test]
fn who_waits_in_vain_is_told_so_in_time_and_a_close_ends_it() {
    let store = Arc::new(Store::open(Env::memory(), WalOptions::default()).unwrap());
    let last = set(&store, S, "key", b"value").unwrap();
    assert_eq!(store.wal().wait_beyond(0, 60_000).unwrap(), last);
    let begun = Instant::now();
    assert_eq!(store.wal().wait_beyond(last, 30).unwrap(), last);
    assert!(begun.elapsed() >= Duration::from_millis(29));
    let waiting = Arc::clone(&store);
    let thread = std::thread::spawn(move || code(waiting.wal().wait_beyond(last, 60_000).map_err(StoreError::from)));
    std::thread::sleep(Duration::from_millis(30));
    store.close().unwrap();
    assert_eq!(thread.join().unwrap(), "store.closed");
    assert_eq!(code(store.wal().wait_beyond(last, 60_000).map_err(StoreError::from)), "store.closed");
}

#[test]
fn what_is_held_stays_in_the_log_until_it_is_let_go() {
    let disk = MemDisk::new();
    let store = letting_go(&disk, None);
    let write = |store: &Store| (0..12).map(|i| set(store, S, "key", &[i; 20_000]).unwrap()).last().unwrap();
    let first = write(&store);
    store.hold_log(Some(first));
    assert_eq!(store.held_lsn(), Some(first));
    let second = write(&store);
    store.checkpoint().unwrap();
    assert_eq!(all(&mut store.changes(first).unwrap()), (first + 1..=second).collect::<Vec<_>>());
    assert_eq!(code(store.changes(1).map(drop)), "log.trimmed", "what is before goes all the same");
    store.hold_log(Some(second));
    store.checkpoint().unwrap();
    assert_eq!(code(store.changes(first).map(drop)), "log.trimmed");
    assert_eq!(all(&mut store.changes(second).unwrap()), []);
    let third = write(&store);
    store.close().unwrap();
    // Nobody has to be faster than the first checkpoint of an opening.
    let store = letting_go(&disk, Some(second));
    store.checkpoint().unwrap();
    assert_eq!(all(&mut store.changes(second).unwrap()), (second + 1..=third).collect::<Vec<_>>());
    store.hold_log(None);
    store.checkpoint().unwrap();
    assert_eq!(code(store.changes(second).map(drop)), "log.trimmed");
}

//! Entries with a time to live: gone for every reader at once, recorded and freed later, whatever the clock does.

mod common;

use std::sync::Arc;

use common::ttl::{DAY_US, clock, draft_until, env_at, set_ttl};
use common::{WORDS, batch, clear, code, delete, get, kill, set, set_if, small};
use spellkeep_core::env::clock::SimClock;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::{Kind, Lsn, Origin};
use spellkeep_core::store::{Batch, Op, Store};
use spellkeep_core::wal::{Durability, WalOptions};

const S: &[u8] = b"scope";
const T: &[u8] = b"other";

fn options() -> WalOptions {
    small(Durability::Process, true)
}

fn open(disk: &MemDisk, clock: &Arc<SimClock>) -> Store {
    Store::open(env_at(disk, clock), options()).unwrap()
}

fn keys(store: &Store, scope: &[u8]) -> Vec<String> {
    let map = store.scope(scope);
    let listed = store.list(&map, "");
    assert_eq!(map.live_count(), listed.len());
    listed.iter().map(|entry| String::from_utf8(entry.key().to_vec()).unwrap()).collect()
}

fn history(store: &Store, key: &str) -> Vec<(Lsn, Kind)> {
    let changes = store.history(&store.scope(S), key, 100).unwrap();
    changes.iter().map(|change| (change.lsn, change.kind)).collect()
}

#[test]
fn an_expired_entry_is_gone_for_every_read_at_once() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    set_ttl(&store, S, "short", b"1", 10).unwrap();
    set_ttl(&store, S, "long", b"2", 20).unwrap();
    set(&store, S, "always", b"3").unwrap();
    set_ttl(&store, T, "short", b"4", 10).unwrap();
    clock.advance_us(9);
    assert_eq!(keys(&store, S), ["always", "long", "short"]);
    assert_eq!((store.stats().1, store.live_scopes().len()), (4, 2));
    clock.advance_us(1);
    assert_eq!(get(&store, S, "short"), None);
    assert_eq!(keys(&store, S), ["always", "long"]);
    assert_eq!((store.stats().1, store.stats().2, store.live_scopes().len()), (2, 1, 1));
    assert_eq!(delete(&store, S, "short").unwrap(), 0);
    assert_eq!(code(set_if(&store, S, "short", b"5", Some(1))), "cas.version_mismatch");
    assert_eq!(clear(&store, T).unwrap(), 0);
    assert_eq!(store.wal().last_lsn(), 4, "nothing was written for all that");
    assert_eq!(set_if(&store, S, "short", b"5", Some(0)).unwrap(), 5);
    assert_eq!(keys(&store, S), ["always", "long", "short"]);
}

#[test]
fn a_set_without_a_time_to_live_takes_a_former_one_away() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    set_ttl(&store, S, "k", b"1", 10).unwrap();
    set(&store, S, "k", b"2").unwrap();
    set_ttl(&store, S, "m", b"1", 10).unwrap();
    set_ttl(&store, S, "m", b"2", 30).unwrap();
    clock.advance_us(20);
    assert_eq!(keys(&store, S), ["k", "m"]);
    assert_eq!(store.expire_due().unwrap(), 0);
    let entry = |key: &str| store.scope(S).get(key.as_bytes(), |e| e.expires_us()).unwrap();
    assert_eq!((entry("k"), entry("m")), (None, Some(DAY_US + 30)));
    clock.advance_us(20);
    assert_eq!((keys(&store, S), store.expire_due().unwrap()), (vec!["k".to_owned()], 1));
}

#[test]
fn what_expired_is_recorded_and_its_value_freed() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    let value = vec![7; 5000];
    for i in 0..100 {
        set_ttl(&store, S, &format!("k{i:02}"), &value, 10 + i).unwrap();
    }
    let map = store.scope(S);
    let full = map.size_bytes();
    assert_eq!(store.expire_due().unwrap(), 0);
    clock.advance_us(59);
    assert_eq!(store.expire_due().unwrap(), 50);
    assert_eq!(map.live_count(), 50);
    assert!(map.size_bytes() < full - 49 * 5000, "{} of {full}", map.size_bytes());
    assert_eq!(history(&store, "k00"), [(101, Kind::Expire), (1, Kind::Set)]);
    assert_eq!(store.expire_due().unwrap(), 0);
    clock.advance_us(1000);
    assert_eq!((store.expire_due().unwrap(), map.live_count(), store.live_scopes().len()), (50, 0, 0));
    assert!(map.size_bytes() < 100 * 200);
    let mut changes = store.changes(100).unwrap();
    let mut seen = 0;
    while let Some(change) = changes.next_change().unwrap() {
        assert_eq!((change.kind, change.value().len(), change.expires_us), (Kind::Expire, 0, None));
        seen += 1;
    }
    assert_eq!(seen, 100);
}

#[test]
fn an_expiry_holds_after_a_kill_a_close_and_in_every_mode() {
    for durability in WORDS {
        for mapped in [true, false] {
            let (disk, clock) = (MemDisk::new(), clock());
            let options = small(durability, mapped);
            let store = Store::open(env_at(&disk, &clock), options).unwrap();
            set_ttl(&store, S, "short", b"1", 10).unwrap();
            set_ttl(&store, S, "long", b"2", 1000).unwrap();
            set_ttl(&store, S, "large", &vec![3; 100_000], 10).unwrap();
            let mut both = Batch::default();
            for (key, ttl_us) in [("one", 10), ("two", 1000)] {
                let draft = draft_until(S, key, b"4", Some(store.expires_us(ttl_us)));
                both.push(Op { map: store.scope(S), draft, if_version: None });
            }
            let versions = store.batch(&mut both).unwrap();
            store.wal().acknowledge(versions[1]).unwrap();
            kill(&disk, store);
            let store = Store::open(env_at(&disk, &clock), options).unwrap();
            assert_eq!(keys(&store, S), ["large", "long", "one", "short", "two"]);
            clock.advance_us(10);
            assert_eq!(keys(&store, S), ["long", "two"]);
            store.close().unwrap();
            drop(store);
            let store = Store::open(env_at(&disk, &clock), options).unwrap();
            assert_eq!(keys(&store, S), ["long", "two"]);
            assert_eq!((store.expire_due().unwrap(), store.wal().last_lsn()), (3, 8));
            store.wal().flush().unwrap();
            kill(&disk, store);
            clock.advance_us(990);
            let store = Store::open(env_at(&disk, &clock), options).unwrap();
            assert_eq!((keys(&store, S).len(), store.expire_due().unwrap()), (0, 2));
            assert_eq!(history(&store, "one").iter().map(|c| c.1).collect::<Vec<_>>(), [Kind::Expire, Kind::Set]);
            assert_eq!(store.expire_due().unwrap(), 0);
        }
    }
}

#[test]
fn a_wall_clock_that_is_set_back_neither_revives_nor_prolongs() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    set_ttl(&store, S, "gone", b"1", 10).unwrap();
    set_ttl(&store, S, "soon", b"2", 100).unwrap();
    clock.advance_us(50);
    clock.set_wall_us(DAY_US - 1_000_000);
    assert_eq!(keys(&store, S), ["soon"]);
    clock.advance_us(50);
    assert!(keys(&store, S).is_empty(), "100 us have passed, whatever the wall says");
    // What is set meanwhile lives as long as it is to.
    set_ttl(&store, S, "new", b"3", 100).unwrap();
    clock.advance_us(99);
    assert_eq!(keys(&store, S), ["new"]);
    clock.advance_us(1);
    assert!(keys(&store, S).is_empty());
}

#[test]
fn a_wall_clock_that_jumps_ahead_and_back_does_not_revive() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    set_ttl(&store, S, "k", b"1", 1000).unwrap();
    clock.set_wall_us(DAY_US + 2000);
    assert!(keys(&store, S).is_empty());
    clock.set_wall_us(DAY_US + 5);
    assert!(keys(&store, S).is_empty());
    assert_eq!(store.expire_due().unwrap(), 1);
}

#[test]
fn a_clock_set_back_between_openings_starts_at_the_last_record() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    set_ttl(&store, S, "gone", b"1", 10).unwrap();
    set_ttl(&store, S, "soon", b"2", 100).unwrap();
    clock.advance_us(50);
    set(&store, S, "last", b"3").unwrap();
    kill(&disk, store);
    clock.set_wall_us(DAY_US - 1_000_000);
    let store = open(&disk, &clock);
    assert_eq!(keys(&store, S), ["last", "soon"]);
    clock.advance_us(50);
    assert_eq!(keys(&store, S), ["last"]);
    // Records show what the wall clock says.
    let lsn = set(&store, S, "shown", b"4").unwrap();
    assert_eq!(store.scope(S).get(b"shown", |e| (e.meta().lsn, e.meta().time_us)), Some((lsn, DAY_US - 999_950)));
}

#[test]
fn a_clear_and_a_batch_count_and_forget_what_expires() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    for i in 0..10 {
        set_ttl(&store, S, &format!("k{i}"), b"value", 10 + i % 2 * 100).unwrap();
    }
    clock.advance_us(10);
    let removed = store.try_clear(&store.scope(S), Origin::NONE).unwrap();
    assert_eq!(removed.count, 5, "expired keys are none that a clear removes");
    assert_eq!((store.expire_due().unwrap(), keys(&store, S).len()), (0, 0));
    set_ttl(&store, S, "a", b"1", 10).unwrap();
    set_ttl(&store, S, "b", b"1", 10).unwrap();
    clock.advance_us(10);
    let ops = [(S.to_vec(), "a".to_owned(), None), (S.to_vec(), "b".to_owned(), Some(b"2".to_vec()))];
    assert_eq!(batch(&store, &ops).unwrap(), [0, 14], "the delete of an expired key writes nothing");
    assert_eq!((keys(&store, S), store.expire_due().unwrap()), (vec!["b".to_owned()], 1));
    clock.advance_us(1000);
    assert_eq!((keys(&store, S), store.expire_due().unwrap()), (vec!["b".to_owned()], 0));
}

#[test]
fn keys_that_expire_by_the_thousand_are_counted_right_while_others_come_and_go() {
    let (disk, clock) = (MemDisk::new(), clock());
    let store = open(&disk, &clock);
    for i in 0..1000u64 {
        set_ttl(&store, S, &format!("k{i:03}"), b"value", 1 + i / 100).unwrap();
    }
    let map = store.scope(S);
    for time in 1..=10 {
        clock.advance_us(1);
        assert_eq!(map.live_count(), 1000 - time * 100 + (time - 1) * 10);
        // Some that have expired, with the same moment as others that have not been counted yet, are set anew.
        for i in 0..10 {
            set(&store, S, &format!("k{:03}", (time - 1) * 100 + i), b"anew").unwrap();
        }
        assert_eq!(map.live_count(), 1000 - time * 100 + time * 10);
    }
    assert_eq!((store.expire_due().unwrap(), keys(&store, S).len()), (900, 100));
}

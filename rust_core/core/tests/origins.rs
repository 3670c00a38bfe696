//! Where records come from, and events: what a store says of them after checkpoints, kills and salvage.

mod common;

use common::{draft, env, kill, set, small};
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::{Draft, Fields, Kind, Origin, OriginBuf, StateClass};
use spellkeep_core::store::{Change, Store, StoreOptions};
use spellkeep_core::wal::{Durability, Retention};

const S: &[u8] = b"\x04scout\0\0";

fn origin(id: &str) -> OriginBuf {
    OriginBuf::new(Some(17), Some(id), Some("anna"), &["billing"]).unwrap()
}

fn open(disk: &MemDisk) -> Store {
    let keep = Retention { log_bytes: Some(0), age_us: 0 };
    Store::open(env(disk), StoreOptions { keep, ..small(Durability::Interval, true).into() }).unwrap()
}

fn set_from(store: &Store, key: &str, value: &[u8], id: &str) -> u64 {
    let mut new = Draft::from(Kind::Set, StateClass::Standard, S, key.as_bytes(), value, origin(id).get());
    store.try_set(&store.scope(S), &mut new, None).unwrap()
}

fn emit(store: &Store, event: &str, value: &[u8]) -> u64 {
    let mut new = Draft::from(Kind::Event, StateClass::Standard, S, event.as_bytes(), value, origin("emitted").get());
    store.emit(&mut new).unwrap()
}

fn all(store: &Store) -> Vec<Change> {
    let (mut changes, mut found) = (store.changes(0).unwrap(), Vec::new());
    while let Some(change) = changes.next_change().unwrap() {
        found.push(change);
    }
    found
}

fn correlation(change: &Change) -> Option<&str> {
    assert!(change.origin().is_none() || change.origin() == origin(change.origin().correlation().unwrap()).get());
    change.origin().correlation()
}

fn history(store: &Store, key: &str) -> Vec<(Kind, Option<String>)> {
    let found = store.history(&store.scope(S), key, 100).unwrap();
    found.iter().map(|change| (change.kind, correlation(change).map(str::to_owned))).collect()
}

#[test]
fn every_kind_of_record_says_where_it_comes_from_after_a_kill_too() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let map = store.scope(S);
    set_from(&store, "key", b"one", "set");
    store.try_delete(&map, "key", None, origin("deleted").get()).unwrap();
    set_from(&store, "key", b"two", "again");
    store.try_clear(&map, origin("cleared").get()).unwrap();
    emit(&store, "key", b"data");
    set(&store, S, "key", b"three").unwrap();
    let wanted = [Some("set"), Some("deleted"), Some("again"), Some("cleared"), Some("emitted"), None];
    assert_eq!(all(&store).iter().map(correlation).collect::<Vec<_>>(), wanted);
    kill(&disk, store);
    let store = open(&disk);
    assert_eq!(all(&store).iter().map(correlation).collect::<Vec<_>>(), wanted);
    let kinds = [
        (Kind::Set, None),
        (Kind::Clear, Some("cleared".to_owned())),
        (Kind::Set, Some("again".to_owned())),
        (Kind::Delete, Some("deleted".to_owned())),
        (Kind::Set, Some("set".to_owned())),
    ];
    assert_eq!(history(&store, "key"), kinds);
}

#[test]
fn an_entry_whose_record_has_left_the_log_still_says_where_it_came_from() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let version = set_from(&store, "old", b"value", "long ago");
    set(&store, S, "pad", &[1; 30_000]).unwrap();
    set(&store, S, "pad", &[2; 30_000]).unwrap();
    set(&store, S, "pad", &[3; 30_000]).unwrap();
    store.checkpoint().unwrap();
    assert!(store.wal().first_lsn() > version, "the log has let it go");
    assert_eq!(history(&store, "old"), [(Kind::Set, Some("long ago".to_owned()))]);
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!(history(&store, "old"), [(Kind::Set, Some("long ago".to_owned()))]);
}

#[test]
fn an_event_is_in_the_feed_and_changes_nothing_that_is_stored() {
    let disk = MemDisk::new();
    let store = open(&disk);
    set(&store, S, "key", b"value").unwrap();
    let version = emit(&store, "key", b"data");
    // Of a scope that nothing else is in, and larger than the ring.
    let mut large = draft(Kind::Event, b"\x01", "large", &[7; 100_000]);
    assert_eq!(store.emit(&mut large).unwrap(), version + 1);
    let found = all(&store);
    let told: Vec<_> = found.iter().map(|change| (change.lsn, change.kind, change.key())).collect();
    assert_eq!(told[1..], [(version, Kind::Event, &b"key"[..]), (version + 1, Kind::Event, b"large")]);
    assert_eq!((found[1].value(), found[2].value().len()), (&b"data"[..], 100_000));
    let unchanged = |store: &Store| {
        assert_eq!(history(store, "key"), [(Kind::Set, None)]);
        assert_eq!(store.stats().1, 1);
        assert!(store.find_scope(b"\x01").is_none(), "an event makes no scope");
        assert!(store.verify().unwrap().damages.is_empty());
    };
    unchanged(&store);
    assert_eq!(store.checkpoint().unwrap().lsn, version + 1);
    unchanged(&store);
    emit(&store, "key", b"in the ring alone");
    kill(&disk, store);
    let store = open(&disk);
    assert_eq!(all(&store).last().map(|change| (change.lsn, change.kind)), Some((version + 2, Kind::Event)));
    unchanged(&store);
}

#[test]
fn events_go_with_the_log_and_a_snapshot_has_none() {
    let disk = MemDisk::new();
    let store = open(&disk);
    for i in 0..5 {
        emit(&store, "large", &[i; 30_000]);
    }
    let last = store.wal().last_lsn();
    assert_eq!(store.checkpoint().unwrap().lsn, last);
    assert!(all(&store).len() < 5, "the log lets go of what snapshots do not have");
    let next = set(&store, S, "key", b"value").unwrap();
    store.close().unwrap();
    let store = open(&disk);
    assert_eq!((store.recovery().snapshot_row_count, store.recovery().snapshot_lsn, next), (0, last, last + 1));
    assert!(store.verify().unwrap().damages.is_empty());
}

#[test]
fn salvage_takes_events_and_origins_over() {
    let disk = MemDisk::new();
    let store = open(&disk);
    set_from(&store, "key", b"value", "set");
    emit(&store, "key", b"data");
    emit(&store, "large", &[7; 100_000]);
    store.close().unwrap();
    let (other, new) = (MemDisk::new(), env(&disk));
    let into = open(&other);
    let salvaged = into.salvage(&new).unwrap();
    assert_eq!((salvaged.record_count, salvaged.damages.len()), (3, 0));
    let taken = all(&into);
    assert_eq!(taken.iter().map(correlation).collect::<Vec<_>>(), [Some("set"), Some("emitted"), Some("emitted")]);
    assert_eq!(taken.iter().map(|c| c.kind).collect::<Vec<_>>(), [Kind::Set, Kind::Event, Kind::Event]);
    assert_eq!(history(&into, "key"), [(Kind::Set, Some("set".to_owned()))]);
    let looked = Store::look(&env(&disk)).unwrap();
    assert_eq!(all(&looked).len(), 3);
}

/// What expires does so by itself: nobody asked for it.
#[test]
fn an_expiry_comes_from_nowhere() {
    let disk = MemDisk::new();
    let store = open(&disk);
    let map = store.scope(S);
    let mut new = Draft::default();
    new.begin(Kind::Set, StateClass::Standard, S);
    let origin = origin("set");
    let fields = Fields { expires_us: Some(store.expires_us(10)), origin: origin.get() };
    new.end_with(b"key", fields);
    store.try_set(&map, &mut new, None).unwrap();
    common::ttl::sim_clock().advance_us(20);
    store.expire_due().unwrap();
    let found = all(&store);
    assert_eq!(found.iter().map(|change| change.kind).collect::<Vec<_>>(), [Kind::Set, Kind::Expire]);
    assert_eq!((correlation(&found[0]), found[1].origin()), (Some("set"), Origin::NONE));
}

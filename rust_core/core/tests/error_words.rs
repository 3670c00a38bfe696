//! What callers are told: each refusal reached as a caller reaches it, with its code and the words that say what to do.

mod common;

use std::sync::Arc;

use common::sim::SimDisk;
use common::ttl::{clock, env_at};
use common::{code, draft, env, env_on, set, set_if, small};
use spellkeep_core::env::fault::Fault;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::error::Coded;
use spellkeep_core::record::{Kind, StateClass};
use spellkeep_core::scope::{Scope, ScopeKind, check_key};
use spellkeep_core::store::{Store, StoreError, StoreOptions};
use spellkeep_core::wal::{Durability, Retention, WalOptions};

const S: &[u8] = b"\x04scout\0\0";

fn open(disk: &MemDisk) -> Store {
    Store::open(env(disk), small(Durability::Interval, true)).unwrap()
}

/// Code and words.
fn said<T>(result: Result<T, StoreError>) -> (&'static str, String) {
    result.map_or_else(|e| (e.code(), e.to_string()), |_| ("ok", String::new()))
}

#[track_caller]
fn says<T>(result: Result<T, StoreError>, code: &str, words: &str) {
    let (is, text) = said(result);
    assert!(is == code && text.contains(words), "{is}: {text}");
}

#[test]
fn an_option_out_of_range_is_named_and_its_neighbours_are_taken() {
    let with = |change: &dyn Fn(&mut StoreOptions)| {
        let mut options = StoreOptions::default();
        change(&mut options);
        said(options.check().map_err(StoreError::from))
    };
    let check = |name: &str, taken: [u64; 2], set: &dyn Fn(&mut StoreOptions, u64)| {
        for value in taken {
            assert_eq!(with(&|options| set(options, value)).0, "ok", "{name} {value}");
        }
        for value in [taken[0] - 1, taken[1] + 1] {
            let (code, words) = with(&|options| set(options, value));
            assert!(code == "store.option" && words.starts_with(name), "{value}: {code}: {words}");
        }
    };
    check("ring_bytes", [65_536, 1 << 30], &|options, value| options.wal.ring_bytes = value);
    check("segment_bytes", [65_536, 1 << 40], &|options, value| options.wal.segment_bytes = value);
    check("interval_ms", [1, 60_000], &|options, value| options.wal.interval_ms = value);
    check("view_budget_bytes", [65_536, 1 << 40], &|options, value| options.view_budget_bytes = value as usize);
    assert_eq!(with(&|options| options.wal.ring_bytes += 1).0, "store.option");
    for days in [0.0, 36_525.0] {
        assert!(Retention::new(None, days).is_ok());
    }
    for days in [-0.001, 36_525.1, f64::NAN, f64::INFINITY] {
        says(Retention::new(None, days).map_err(StoreError::from), "store.option", "keep_log_days");
    }
    // What the engine cannot do with at all, an opening refuses.
    let none = WalOptions { ring_bytes: 0, ..WalOptions::default() };
    says(Store::open(env(&MemDisk::new()), none), "store.option", "ring_bytes");
}

#[test]
fn what_the_system_refuses_has_the_code_of_what_a_caller_can_do() {
    const CODES: [(&str, &[i32]); 4] = [
        ("storage.full", &[libc::ENOSPC, libc::EDQUOT, libc::EFBIG]),
        ("storage.read_only", &[libc::EROFS, libc::EACCES, libc::EPERM]),
        ("storage.not_a_directory", &[libc::ENOTDIR, libc::EEXIST]),
        ("storage.io", &[libc::EIO, libc::EMFILE, libc::ENOENT]),
    ];
    for (code, errnos) in CODES {
        for &errno in errnos {
            let disk = SimDisk::default();
            disk.faults.add(Fault { op: "create", name: "MANIFEST", after_count: 0, fail_count: 1, errno });
            let refused = Store::open(env_on(Arc::new(disk)), small(Durability::Interval, true));
            says(refused, code, "create MANIFEST.tmp: ");
        }
    }
}

#[test]
fn a_store_that_cannot_answer_says_why_and_what_helps() {
    let disk = MemDisk::new();
    says(Store::look(&env(&disk)), "store.missing", "open it without read_only=True first");
    let store = open(&disk);
    let first = set(&store, S, "k", b"1").unwrap();
    says(set_if(&store, S, "k", b"2", Some(9)), "cas.version_mismatch", "expected version 9, found 1");
    says(set_if(&store, S, "k", b"2", Some(0)), "cas.version_mismatch", "expected version 0, found 1");
    assert_eq!(set_if(&store, S, "k", b"2", Some(first)).unwrap(), 2);
    says(Store::open(env(&disk), small(Durability::Interval, true)), "store.locked", "close it there first");
    let view = store.read_view(None).unwrap();
    view.close();
    says(view.get(S, b"k"), "view.ended", "closed; take another");
    let left = store.read_view(None).unwrap();
    store.close().unwrap();
    says(left.get(S, b"k"), "view.ended", "the store was closed");
    for closed in [
        said(set(&store, S, "k", b"3").map(drop)),
        said(set(&store, S, "k", &[3; 90_000]).map(drop)),
        said(store.checkpoint().map(drop)),
        said(store.verify().map(drop)),
        said(store.expire_due().map(drop)),
        said(store.evict()),
        said(store.thaw(&store.scope(S), b"k").map(drop)),
        said(store.history(&store.scope(S), "k", 1).map(drop)),
        said(store.changes(0).map(drop)),
        said(store.read_view(None).map(drop)),
    ] {
        assert_eq!(closed, ("store.closed", "the store is closed; open it again".to_owned()));
    }
    store.close().unwrap();
}

#[test]
fn views_that_lasted_too_long_say_which_option_they_met() {
    let clock = clock();
    let options = StoreOptions { view_budget_bytes: 65_536, ..small(Durability::Interval, true).into() };
    let store = Store::open(env_at(&MemDisk::new(), &clock), options).unwrap();
    set(&store, S, "k", &[1; 1000]).unwrap();
    let (aged, spent) = (store.read_view(Some(5)).unwrap(), store.read_view(None).unwrap());
    clock.advance_us(5);
    says(aged.get(S, b"k"), "view.ended", "older than its max_age_s");
    for i in 0..100u32 {
        set(&store, S, &format!("k{}", i % 2), &[2; 4000]).unwrap();
        drop(store.read_view(None).unwrap());
        set(&store, S, "k", &[3; 1000]).unwrap();
    }
    assert!(spent.get(S, b"k").is_ok(), "what one view does not see is not kept");
    let spent = (0..40u32).map(|i| {
        let view = store.read_view(None).unwrap();
        set(&store, S, "k", &[i as u8; 4000]).unwrap();
        view
    });
    let spent: Vec<_> = spent.collect();
    says(spent[0].get(S, b"k"), "view.ended", "raise view_budget_bytes");
}

#[test]
fn a_commit_that_has_no_room_now_is_told_from_one_that_never_will() {
    let store = open(&MemDisk::new());
    let map = store.scope(S);
    let mut large = draft(Kind::Set, S, "k", &[1; 100_000]);
    says(store.try_set(&map, &mut large, None), "store.busy", "larger than the ring takes");
    let mut refused = None;
    for _ in 0..100 {
        refused = store.try_set(&map, &mut draft(Kind::Set, S, "k", &[1; 2000]), None).err();
        if refused.is_some() {
            break;
        }
    }
    says(Err::<(), _>(refused.unwrap()), "store.busy", "busy");
    store.make_room(3000).unwrap();
    assert_eq!(code(store.try_set(&map, &mut draft(Kind::Set, S, "k", &[1; 2000]), None)), "ok");
}

#[test]
fn what_the_log_let_go_is_told_from_what_it_never_had() {
    let clock = clock();
    // By age alone: nothing goes that is younger than ten seconds.
    let keep = Retention { log_bytes: Some(0), age_us: 10_000_000 };
    let options = StoreOptions { keep, ..small(Durability::Interval, true).into() };
    let store = Store::open(env_at(&MemDisk::new(), &clock), options).unwrap();
    let fill = |from: u8| {
        for i in 0..30 {
            set(&store, S, "k", &[from + i; 4000]).unwrap();
            store.wal().drain(true).unwrap();
        }
    };
    fill(0);
    clock.advance_us(9_000_000);
    fill(50);
    assert_eq!(store.checkpoint().unwrap().segment_count, 0);
    clock.advance_us(2_000_000);
    let segment_count = store.checkpoint().unwrap().segment_count;
    let first = store.wal().first_lsn();
    assert!(segment_count > 0 && (2..=31).contains(&first), "{segment_count} segments, then {first}");
    says(store.changes(first - 2), "log.trimmed", &format!("begins with version {first} now"));
    assert!(store.changes(first - 1).unwrap().next_change().unwrap().is_some());
    says(store.wal().read(64).map_err(StoreError::from), "log.trimmed", "keep_log_bytes");
    says(store.wal().read(1 << 40).map_err(StoreError::from), "log.damaged", "zeros where a record should be");
    assert!(store.history(&store.scope(S), "k", 1000).unwrap().len() < 60);
}

#[test]
fn a_name_that_breaks_a_rule_has_the_code_of_the_rule() {
    let keys = [
        ("", "key.empty"),
        ("e\u{301}", "key.not_nfc"),
        ("a\nb", "key.control_character"),
        ("a\u{200B}b", "key.format_character"),
        ("a..b", "key.dot_dot"),
        ("a//b", "key.double_slash"),
        ("a\\b", "key.backslash"),
    ];
    for (key, code) in keys {
        assert_eq!(check_key(key).unwrap_err().code(), code, "{key:?}");
    }
    assert_eq!(check_key(&"k".repeat(257)).unwrap_err().code(), "key.too_long");
    let scope = |id: &str| Scope::new(ScopeKind::Agent, &[id]).map_err(|e| e.code());
    assert_eq!((scope("").err(), scope(&"i".repeat(257)).err()), (Some("scope.empty_id"), Some("scope.id_too_long")));
    assert_eq!(Scope::decode(b"\x09").unwrap_err().code(), "scope.malformed");
}

#[test]
fn a_draft_says_what_it_holds() {
    let draft = draft(Kind::Set, S, "key", b"value");
    assert_eq!(
        (draft.kind(), draft.class(), draft.scope(), draft.key()),
        (Kind::Set, StateClass::Standard, S, &b"key"[..])
    );
}

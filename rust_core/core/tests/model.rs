//! Random lives of a store against a plain model: every operation, kills, closes, changes of durability and mode.

mod common;

use common::oracle::{Oracle, rec};
use common::{WORDS, env, kill, small};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::Kind;
use spellkeep_core::store::{Store, StoreError};

#[derive(Clone, Debug)]
enum Act {
    Set(usize, usize, usize),
    Cas(usize, usize, bool),
    SetTtl(usize, usize, usize, u64),
    Wait(u64),
    Expire,
    Delete(usize, usize),
    Clear(usize),
    Batch(usize, Vec<(usize, bool)>, usize),
    Flush,
    Drain(bool),
    Check,
    Kill(usize, bool),
    Close(usize, bool),
}

const SCOPES: [&[u8]; 3] = [b"a", b"b", b"longer scope"];
const KEYS: [&str; 5] = ["k", "key", "another key", "x", "\u{e9}"];

fn act() -> impl Strategy<Value = Act> {
    let (scope, key) = (0..SCOPES.len(), 0..KEYS.len());
    let len = prop_oneof![6 => 0..300usize, 3 => 2000..9000usize, 1 => 30_000..70_000usize];
    prop_oneof![
        8 => (scope.clone(), key.clone(), len.clone()).prop_map(|(s, k, l)| Act::Set(s, k, l)),
        3 => (scope.clone(), key.clone(), any::<bool>()).prop_map(|(s, k, right)| Act::Cas(s, k, right)),
        3 => (scope.clone(), key.clone()).prop_map(|(s, k)| Act::Delete(s, k)),
        3 => (scope.clone(), key.clone(), len.clone(), 1..20u64).prop_map(|(s, k, l, ttl)| Act::SetTtl(s, k, l, ttl)),
        2 => (0..10u64).prop_map(Act::Wait),
        1 => Just(Act::Expire),
        1 => scope.clone().prop_map(Act::Clear),
        4 => (scope, proptest::collection::vec((key, any::<bool>()), 0..6), len).prop_map(|(s, k, l)| Act::Batch(s, k, l)),
        1 => Just(Act::Flush),
        2 => any::<bool>().prop_map(Act::Drain),
        1 => Just(Act::Check),
        1 => (0..3usize, any::<bool>()).prop_map(|(w, m)| Act::Kill(w, m)),
        1 => (0..3usize, any::<bool>()).prop_map(|(w, m)| Act::Close(w, m)),
    ]
}

fn do_one(oracle: &mut Oracle, store: &Store, number: usize, act: &Act) -> Result<(), StoreError> {
    let value = |len: usize| (number as u64).to_le_bytes().into_iter().cycle().take(len).collect::<Vec<_>>();
    match act {
        Act::Set(s, k, len) => oracle.set(store, SCOPES[*s], KEYS[*k], &value(*len)),
        Act::Cas(s, k, right) => {
            let expected = oracle.version(SCOPES[*s], KEYS[*k]) + u64::from(!right);
            oracle.cas(store, SCOPES[*s], KEYS[*k], &value(20), expected)
        }
        Act::SetTtl(s, k, len, ttl_us) => oracle.set_ttl(store, SCOPES[*s], KEYS[*k], &value(*len), *ttl_us),
        Act::Wait(us) => {
            oracle.advance(store, *us);
            Ok(())
        }
        Act::Expire => oracle.expire(store),
        Act::Delete(s, k) => oracle.delete(store, SCOPES[*s], KEYS[*k]),
        Act::Clear(s) => oracle.clear(store, SCOPES[*s]),
        Act::Batch(s, keys, len) => {
            let mut seen = Vec::new();
            let mut records = Vec::new();
            for (k, is_set) in keys {
                if !seen.contains(k) {
                    seen.push(*k);
                    let kind = if *is_set { Kind::Set } else { Kind::Delete };
                    let value = if *is_set { value(*len) } else { Vec::new() };
                    records.push(rec(kind, SCOPES[*s], KEYS[*k], &value));
                }
            }
            oracle.batch(store, records)
        }
        Act::Flush => oracle.flush(store),
        Act::Drain(sync) => Ok(store.wal().drain(*sync)?),
        Act::Check | Act::Kill(..) | Act::Close(..) => {
            oracle.check(store);
            Ok(())
        }
    }
}

fn live(acts: &[Act], word: usize, mapped: bool) {
    let disk = MemDisk::new();
    let mut oracle = Oracle::default();
    let mut store = Store::open(env(&disk), small(WORDS[word], mapped)).unwrap();
    for (number, act) in acts.iter().enumerate() {
        do_one(&mut oracle, &store, number, act).unwrap();
        if let Act::Kill(word, mapped) | Act::Close(word, mapped) = act {
            if matches!(act, Act::Close(..)) {
                oracle.close(&store).unwrap();
                drop(store);
            } else {
                kill(&disk, store);
            }
            store = Store::open(env(&disk), small(WORDS[*word], *mapped)).unwrap();
            oracle.reopened(&store, oracle.last());
            assert_eq!(store.recovery().log.clean, matches!(act, Act::Close(..)));
            assert_eq!((store.recovery().log.lost_count, store.recovery().log.cut_reason), (0, None));
        }
        oracle.check_memory(&store);
    }
    kill(&disk, store);
    let store = Store::open(env(&disk), small(WORDS[word], mapped)).unwrap();
    oracle.reopened(&store, oracle.last());
}

fn config() -> ProptestConfig {
    let rng_seed = RngSeed::Fixed(common::seed("a_store_is_what_a_plain_model_says"));
    ProptestConfig {
        cases: (150 * common::percent() as u32).div_ceil(100),
        failure_persistence: None,
        rng_seed,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_store_is_what_a_plain_model_says(
        acts in proptest::collection::vec(act(), 1..120),
        word in 0..3usize,
        mapped: bool,
    ) {
        live(&acts, word, mapped);
    }
}

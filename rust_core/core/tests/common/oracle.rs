//! What the store must hold: every record in order, which of them were acknowledged, which were said to be durable.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use spellkeep_core::error::Coded;
use spellkeep_core::record::{Kind, Lsn};
use spellkeep_core::store::{Batch, Op, Store, StoreError};
use spellkeep_core::wal::Durability;

use super::origins::{drafted, origin_of};
use super::ttl::sim_clock;
use super::{Rng, retry};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rec {
    pub kind: Kind,
    pub scope: Vec<u8>,
    pub key: String,
    pub value: Vec<u8>,
    pub expires_us: Option<u64>,
}

type Place = (Vec<u8>, String);
/// Version, value, expiry.
type Live = BTreeMap<Place, (Lsn, Vec<u8>, Option<u64>)>;

#[derive(Clone, Default)]
pub struct Oracle {
    /// Each record with its version.
    pub log: Vec<(Lsn, Rec)>,
    /// The last version of the log, which a record need not have: a power loss leaves versions out.
    last: Lsn,
    /// The last version that anybody saw, whatever became of it.
    given: Lsn,
    /// Versions at which a commit ends.
    ends: BTreeSet<Lsn>,
    /// What was set and not removed, expired or not.
    kept: Live,
    /// The time by which entries expire.
    now_us: u64,
    pub acked: Lsn,
    pub durable: Lsn,
    /// A commit that failed together with the log: it may be there, whole, or not.
    maybe: Vec<Rec>,
}

pub fn rec(kind: Kind, scope: &[u8], key: &str, value: &[u8]) -> Rec {
    Rec { kind, scope: scope.into(), key: key.into(), value: value.into(), expires_us: None }
}

impl Oracle {
    pub fn last(&self) -> Lsn {
        self.last
    }

    pub fn version(&self, scope: &[u8], key: &str) -> Lsn {
        self.live().get(&(scope.to_vec(), key.to_owned())).map_or(0, |(lsn, ..)| *lsn)
    }

    fn live(&self) -> Live {
        let is_live = |expires_us: &Option<u64>| expires_us.is_none_or(|expires_us| self.now_us < expires_us);
        let kept = self.kept.iter().filter(|(_, (_, _, expires_us))| is_live(expires_us));
        kept.map(|(place, entry)| (place.clone(), entry.clone())).collect()
    }

    fn push(&mut self, record: Rec) {
        self.last += 1;
        let lsn = self.last;
        let place = (record.scope.clone(), record.key.clone());
        match record.kind {
            Kind::Set => drop(self.kept.insert(place, (lsn, record.value.clone(), record.expires_us))),
            Kind::Delete | Kind::Expire => drop(self.kept.remove(&place)),
            Kind::Clear => self.kept.retain(|(scope, _), _| *scope != record.scope),
            Kind::Event => {}
            Kind::Skip => unreachable!("nobody asks for one"),
        }
        self.log.push((lsn, record));
    }

    /// Notes records that the store took as one commit, then asks for the acknowledgement.
    fn took(&mut self, store: &Store, lsn: Lsn, records: Vec<Rec>) -> Result<(), StoreError> {
        assert_eq!(lsn, self.last() + records.len() as Lsn, "versions have no gaps");
        assert!(self.last() >= self.given, "version {} was given before", self.last() + 1);
        records.into_iter().for_each(|r| self.push(r));
        self.ends.insert(lsn);
        store.wal().acknowledge(lsn)?;
        self.acked = lsn;
        if store.wal().options().durability == Durability::Sync {
            self.durable = lsn;
        }
        Ok(())
    }

    pub fn set(&mut self, store: &Store, scope: &[u8], key: &str, value: &[u8]) -> Result<(), StoreError> {
        let map = store.scope(scope);
        let mut new = drafted(Kind::Set, scope, key, value, None);
        match retry(store, new.frame_len(), || store.try_set(&map, &mut new, None)) {
            Err(StoreError::TooBig) => self.batch(store, vec![rec(Kind::Set, scope, key, value)]),
            done => self.took(store, done?, vec![rec(Kind::Set, scope, key, value)]),
        }
    }

    /// A compare-and-set that must succeed exactly when `expected` is the version.
    pub fn cas(
        &mut self,
        store: &Store,
        scope: &[u8],
        key: &str,
        value: &[u8],
        expected: Lsn,
    ) -> Result<(), StoreError> {
        let map = store.scope(scope);
        let mut new = drafted(Kind::Set, scope, key, value, None);
        let current = self.version(scope, key);
        match retry(store, new.frame_len(), || store.try_set(&map, &mut new, Some(expected))) {
            Err(StoreError::Conflict { expected: e, current: c, .. }) => {
                assert!(e == expected && c == current && expected != current, "conflict {e} {c}, wanted {current}");
                Ok(())
            }
            // The waiting form has no other path for the condition than the batch's own.
            Err(StoreError::TooBig) if expected == current => {
                self.batch(store, vec![rec(Kind::Set, scope, key, value)])
            }
            Err(StoreError::TooBig) => Ok(()),
            done => {
                let lsn = done?;
                assert_eq!(expected, current, "a set against another version was taken");
                self.took(store, lsn, vec![rec(Kind::Set, scope, key, value)])
            }
        }
    }

    /// A set of a value that lives for `ttl_us`.
    pub fn set_ttl(
        &mut self,
        store: &Store,
        scope: &[u8],
        key: &str,
        value: &[u8],
        ttl_us: u64,
    ) -> Result<(), StoreError> {
        let expires_us = Some(store.expires_us(ttl_us));
        let map = store.scope(scope);
        let mut new = drafted(Kind::Set, scope, key, value, expires_us);
        let record = Rec { expires_us, ..rec(Kind::Set, scope, key, value) };
        match retry(store, new.frame_len(), || store.try_set(&map, &mut new, None)) {
            Err(StoreError::TooBig) => self.batch(store, vec![record]),
            done => self.took(store, done?, vec![record]),
        }
    }

    /// Time passes.
    pub fn advance(&mut self, store: &Store, us: u64) {
        sim_clock().advance_us(us);
        self.now_us = store.expires_us(0);
    }

    /// What has expired is recorded, as the background thread does it: each a commit of its own.
    pub fn expire(&mut self, store: &Store) -> Result<(), StoreError> {
        let (before, live) = (self.last(), self.live());
        let done = store.expire_due();
        let mut written = Vec::new();
        for (scope, key) in self.kept.keys().filter(|place| !live.contains_key(place)) {
            let (lsn, kind) =
                store.scope(scope).last_record(key.as_bytes(), |e| (e.meta().lsn, e.meta().kind)).unwrap();
            assert!(kind == Kind::Expire || done.is_err(), "{key} has expired and nothing says so");
            if kind == Kind::Expire && lsn > before {
                written.push((lsn, rec(Kind::Expire, scope, key, b"")));
            }
        }
        written.sort_by_key(|(lsn, _)| *lsn);
        for (lsn, record) in written {
            assert_eq!(lsn, self.last() + 1);
            self.push(record);
            self.ends.insert(lsn);
        }
        assert_eq!(store.wal().last_lsn(), self.last(), "something else was expired");
        done?;
        store.wal().acknowledge(self.last())?;
        self.acked = self.last();
        if store.wal().options().durability == Durability::Sync {
            self.durable = self.last();
        }
        Ok(())
    }

    pub fn delete(&mut self, store: &Store, scope: &[u8], key: &str) -> Result<(), StoreError> {
        let map = store.scope(scope);
        let origin = origin_of(Kind::Delete, scope, key.as_bytes(), b"");
        let removed = retry(store, 512, || store.try_delete(&map, key, None, origin.get()))?;
        assert_eq!(removed.lsn != 0, self.version(scope, key) != 0);
        if removed.lsn == 0 { Ok(()) } else { self.took(store, removed.lsn, vec![rec(Kind::Delete, scope, key, b"")]) }
    }

    pub fn clear(&mut self, store: &Store, scope: &[u8]) -> Result<(), StoreError> {
        let map = store.scope(scope);
        let origin = origin_of(Kind::Clear, scope, b"", b"");
        let removed = retry(store, 512, || store.try_clear(&map, origin.get()))?;
        assert_eq!(removed.count, self.live().keys().filter(|(s, _)| s == scope).count());
        if removed.lsn == 0 { Ok(()) } else { self.took(store, removed.lsn, vec![rec(Kind::Clear, scope, "", b"")]) }
    }

    /// Sets and deletes, each of another key.
    pub fn batch(&mut self, store: &Store, mut records: Vec<Rec>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for r in &records {
            let draft = drafted(r.kind, &r.scope, &r.key, &r.value, r.expires_us);
            batch.push(Op { map: store.scope(&r.scope), draft, if_version: None });
        }
        let bytes = batch.bytes();
        records.retain(|r| r.kind == Kind::Set || self.version(&r.scope, &r.key) != 0);
        let done = store.batch(&mut batch).map(|versions| versions.into_iter().max().unwrap_or(0));
        self.tried(store, done, bytes, records)
    }

    pub fn emit(&mut self, store: &Store, scope: &[u8], key: &str, value: &[u8]) -> Result<(), StoreError> {
        let mut event = drafted(Kind::Event, scope, key, value, None);
        let (done, bytes) = (store.emit(&mut event), event.frame_len());
        self.tried(store, done, bytes, vec![rec(Kind::Event, scope, key, value)])
    }

    /// What became of a commit of so many bytes, which may be more than the ring takes.
    fn tried(
        &mut self,
        store: &Store,
        done: Result<Lsn, StoreError>,
        bytes: usize,
        records: Vec<Rec>,
    ) -> Result<(), StoreError> {
        match done {
            Err(e) => {
                if e.code() == "store.poisoned" && self.maybe.is_empty() {
                    self.maybe = records;
                }
                Err(e)
            }
            Ok(_) if records.is_empty() => Ok(()),
            Ok(lsn) => {
                self.took(store, lsn, records)?;
                let big = bytes as u64 > store.wal().ring_commit_bytes_max();
                if big && store.wal().options().durability != Durability::Process {
                    self.durable = lsn;
                }
                Ok(())
            }
        }
    }

    pub fn flush(&mut self, store: &Store) -> Result<(), StoreError> {
        let lsn = store.wal().flush()?;
        assert_eq!(lsn, self.last());
        (self.acked, self.durable) = (lsn, lsn);
        Ok(())
    }

    pub fn checkpoint(&mut self, store: &Store) -> Result<(), StoreError> {
        assert_eq!(store.checkpoint()?.lsn, self.last());
        (self.acked, self.durable) = (self.last(), self.last());
        Ok(())
    }

    pub fn close(&mut self, store: &Store) -> Result<(), StoreError> {
        store.close()?;
        (self.acked, self.durable) = (self.last(), self.last());
        Ok(())
    }

    /// One step of a workload, chosen by `rng`, for the smallest ring that people may ask for.
    pub fn step(&mut self, store: &Store, rng: &mut Rng) -> Result<(), StoreError> {
        self.step_of(store, rng, [0, 10, 200, 3000, 9000], 20_000)
    }

    /// One step, with values of these lengths, and of `large` three in a batch.
    pub fn step_of(&mut self, store: &Store, rng: &mut Rng, lens: [usize; 5], large: usize) -> Result<(), StoreError> {
        let scope: &[u8] = [b"one", b"two"][rng.below(2)];
        let key = format!("k{}", rng.below(6));
        let len = lens[rng.below(5)];
        let value = rng.next().to_le_bytes().repeat(len / 8);
        match rng.below(28) {
            26 => self.emit(store, scope, &key, &value),
            27 => self.emit(store, scope, "event", &value),
            20..=22 => self.set_ttl(store, scope, &key, &value, 1 + rng.next() % 20),
            23 | 24 => {
                self.advance(store, rng.next() % 10);
                Ok(())
            }
            25 => self.expire(store),
            0..=9 => self.set(store, scope, &key, &value),
            10 | 11 => {
                let expected = if rng.chance(70) { self.version(scope, &key) } else { rng.next() % 50 };
                self.cas(store, scope, &key, &value, expected)
            }
            12 | 13 => self.delete(store, scope, &key),
            14 => self.clear(store, scope),
            15 => self.flush(store),
            16 => {
                let value = vec![rng.below(256) as u8; large];
                self.batch(store, (0..3).map(|i| rec(Kind::Set, scope, &format!("k{i}"), &value)).collect())
            }
            _ => {
                let kind = |rng: &mut Rng| if rng.chance(70) { Kind::Set } else { Kind::Delete };
                let made = |i, kind| rec(kind, scope, &format!("k{i}"), if kind == Kind::Set { &value } else { b"" });
                self.batch(store, (0..3).map(|i| made(i, kind(rng))).collect())
            }
        }
    }
}

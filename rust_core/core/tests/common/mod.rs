//! What the tests of the store share: openings, waiting writes, a seed, and a disk that forgets what was not synced.
#![allow(dead_code)]

pub mod image;
pub mod oracle;
pub mod origins;
pub mod sim;
pub mod tree;
pub mod ttl;

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::env::{Disk, Env};
use spellkeep_core::error::Coded;
use spellkeep_core::record::{Draft, Kind, Lsn, Origin, StateClass};
use spellkeep_core::store::{Batch, Op, Store, StoreError};
use spellkeep_core::wal::{Durability, WalOptions};

pub const WORDS: [Durability; 3] = [Durability::Process, Durability::Interval, Durability::Sync];

/// The smallest ring and segments, so that everything goes around and over often.
pub fn small(durability: Durability, mapped: bool) -> WalOptions {
    let (ring_bytes, segment_bytes) = (64 << 10, 64 << 10);
    WalOptions { durability, ring_bytes, segment_bytes, mapped_ring: Some(mapped), ..WalOptions::default() }
}

pub fn env_on(disk: Arc<dyn Disk>) -> Env {
    Env { disk, clock: ttl::sim_clock(), threads: false, lasting: true }
}

pub fn env(disk: &MemDisk) -> Env {
    env_on(Arc::new(disk.clone()))
}

pub fn draft(kind: Kind, scope: &[u8], key: &str, value: &[u8]) -> Draft {
    Draft::of(kind, StateClass::Standard, scope, key.as_bytes(), value)
}

pub fn get(store: &Store, scope: &[u8], key: &str) -> Option<Vec<u8>> {
    store.scope(scope).get(key.as_bytes(), |entry| entry.value().to_vec())
}

/// Waits as the binding does, then for the acknowledgement.
pub fn retry<T>(
    store: &Store,
    bytes: usize,
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        match attempt() {
            Err(StoreError::Busy) => store.make_room(bytes)?,
            done => return done,
        }
    }
}

/// A set that is acknowledged when it returns Ok.
pub fn set_if(
    store: &Store,
    scope: &[u8],
    key: &str,
    value: &[u8],
    if_version: Option<Lsn>,
) -> Result<Lsn, StoreError> {
    let map = store.scope(scope);
    let mut new = draft(Kind::Set, scope, key, value);
    let lsn = match retry(store, new.frame_len(), || store.try_set(&map, &mut new, if_version)) {
        Err(StoreError::TooBig) => {
            let mut batch = Batch::default();
            batch.push(Op { map, draft: new, if_version });
            store.batch(&mut batch)?[0]
        }
        done => done?,
    };
    store.wal().acknowledge(lsn)?;
    Ok(lsn)
}

pub fn set(store: &Store, scope: &[u8], key: &str, value: &[u8]) -> Result<Lsn, StoreError> {
    set_if(store, scope, key, value, None)
}

/// A delete that is acknowledged when it returns Ok.
pub fn delete(store: &Store, scope: &[u8], key: &str) -> Result<Lsn, StoreError> {
    let map = store.scope(scope);
    let lsn = retry(store, 512, || store.try_delete(&map, key, None, Origin::NONE))?.lsn;
    store.wal().acknowledge(lsn)?;
    Ok(lsn)
}

/// A clear that is acknowledged when it returns Ok.
pub fn clear(store: &Store, scope: &[u8]) -> Result<Lsn, StoreError> {
    let map = store.scope(scope);
    let lsn = retry(store, 512, || store.try_clear(&map, Origin::NONE))?.lsn;
    store.wal().acknowledge(lsn)?;
    Ok(lsn)
}

/// Scope, key, and the value or nothing for a delete.
pub type BatchOp = (Vec<u8>, String, Option<Vec<u8>>);

/// A batch of sets and deletes (no value) that is acknowledged when it returns Ok.
pub fn batch(store: &Store, ops: &[BatchOp]) -> Result<Vec<Lsn>, StoreError> {
    let mut batch = Batch::default();
    for (scope, key, value) in ops {
        let kind = if value.is_some() { Kind::Set } else { Kind::Delete };
        let draft = draft(kind, scope, key, value.as_deref().unwrap_or_default());
        batch.push(Op { map: store.scope(scope), draft, if_version: None });
    }
    let versions = store.batch(&mut batch)?;
    store.wal().acknowledge(versions.iter().copied().max().unwrap_or(0))?;
    Ok(versions)
}

/// The process dies: nothing is closed, the lock goes.
pub fn kill(disk: &MemDisk, store: Store) {
    disk.break_lock();
    std::mem::forget(store);
}

pub fn code<T>(result: Result<T, StoreError>) -> &'static str {
    result.map_or_else(|e| e.code(), |_| "ok")
}

/// The seed in `SPELLKEEP_SEED` or a fresh one; printed, so that a failure can be run again.
pub fn seed(test: &str) -> u64 {
    let fresh = || std::collections::hash_map::RandomState::new().build_hasher().finish();
    let seed = std::env::var("SPELLKEEP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(fresh);
    println!("{test}: SPELLKEEP_SEED={seed}");
    seed
}

/// How much of a sweep runs: `SPELLKEEP_PERCENT`, or all of it.
pub fn percent() -> u64 {
    let wanted = std::env::var("SPELLKEEP_PERCENT").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or(100).clamp(1, 100)
}

/// As many of `all` as a shortened run takes, from everywhere in it.
pub fn thinned<T>(all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    all.step_by((100 / percent()) as usize)
}

/// xorshift64*.
pub struct Rng(u64);

impl Rng {
    pub fn from_env(test: &str) -> Self {
        Self::new(seed(test))
    }

    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// One of many that one seed stands for.
    pub fn of(seed: u64, number: u64) -> Self {
        let mixed = (seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        Self::new(mixed ^ mixed >> 29)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// A disk by itself: files and mapped memory of another, byte for byte.
pub fn copy(disk: &MemDisk) -> MemDisk {
    let twin = MemDisk::new();
    for dir in ["", "segments"] {
        for name in disk.list(dir).unwrap() {
            let name = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            if dir.is_empty() && name.contains('/') {
                continue;
            }
            let mut bytes = spellkeep_core::env::disk::read_file(disk, &name).unwrap();
            if let Some(region) = disk.region(&name) {
                bytes = tree::region_bytes(&region);
            }
            twin.open(&name, spellkeep_core::env::OpenHow::Create).unwrap();
            twin.alter(&name, |b| *b = bytes);
        }
    }
    twin
}

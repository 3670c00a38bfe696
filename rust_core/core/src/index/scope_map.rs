//! The scope table and, per scope, the map from key to entry.

use crate::checksum::xxh3_64_with_seed;
use seize::{Collector, LocalGuard};

use super::entry::{Entry, Meta};
use super::table::Table;
use crate::record::{Kind, Lsn, Pos};
use crate::sync::WriteToken;
use crate::sync::{Arc, AtomicU64, AtomicUsize, Ordering};

/// All scopes of a store.
pub struct Index {
    collector: Arc<Collector>,
    seed: u64,
    scopes: papaya::HashMap<Box<[u8]>, Arc<ScopeMap>>,
}

/// One scope: its keys, how many are live, and when it was last cleared.
pub struct ScopeMap {
    scope: Box<[u8]>,
    collector: Arc<Collector>,
    seed: u64,
    table: Table,
    live: AtomicUsize,
    /// Bytes of live values, and of values that a clear has hidden and nobody has freed yet.
    live_bytes: AtomicUsize,
    hidden_bytes: AtomicUsize,
    cleared_lsn: AtomicU64,
    cleared_pos: AtomicU64,
}

impl Index {
    /// An empty index whose hashes depend on `seed`.
    pub fn new(seed: u64) -> Self {
        Self { collector: Arc::new(Collector::new()), seed, scopes: papaya::HashMap::new() }
    }

    /// The map of a scope, made when missing. Keep it: later reads and writes through it skip this lookup.
    pub fn scope(&self, scope: &[u8]) -> Arc<ScopeMap> {
        let scopes = self.scopes.pin();
        let make = || {
            Arc::new(ScopeMap {
                scope: scope.into(),
                collector: Arc::clone(&self.collector),
                seed: self.seed,
                table: Table::default(),
                live: AtomicUsize::new(0),
                live_bytes: AtomicUsize::new(0),
                hidden_bytes: AtomicUsize::new(0),
                cleared_lsn: AtomicU64::new(0),
                cleared_pos: AtomicU64::new(0),
            })
        };
        Arc::clone(scopes.get(scope).unwrap_or_else(|| scopes.get_or_insert_with(scope.into(), make)))
    }

    /// The map of a scope that was ever written or asked for.
    pub fn find(&self, scope: &[u8]) -> Option<Arc<ScopeMap>> {
        self.scopes.pin().get(scope).cloned()
    }

    /// Every scope ever touched, ordered by its encoding.
    pub fn scopes(&self) -> Vec<Arc<ScopeMap>> {
        let mut all: Vec<_> = self.scopes.pin().values().cloned().collect();
        all.sort_unstable_by(|a, b| a.scope.cmp(&b.scope));
        all
    }
}

/// Where a key stands, found once per write. True for as long as the append lock is held.
pub struct Place<'m> {
    map: &'m ScopeMap,
    guard: LocalGuard<'m>,
    hash: u32,
    old_bytes: usize,
    /// The live version; 0 when there is no live value.
    pub live_lsn: Lsn,
    /// Where the key's last record stands; 0 when it never had one.
    pub prev_pos: Pos,
}

/// Changes a counter that only the holder of the append lock changes.
fn shift(counter: &AtomicUsize, more: usize, less: usize) {
    counter.store(counter.load(Ordering::Relaxed) + more - less, Ordering::Relaxed);
}

impl Place<'_> {
    /// Puts the entry of a committed record in place of what was found.
    #[inline]
    pub fn apply(&self, token: &mut WriteToken, mut meta: Meta, value_and_key: &[u8]) {
        meta.hash = self.hash;
        let map = self.map;
        map.table.put(token, &self.guard, Entry::new(meta, value_and_key));
        let (was_live, is_live) = (self.live_lsn != 0, meta.kind == Kind::Set);
        shift(&map.live, usize::from(is_live), usize::from(was_live));
        shift(if was_live { &map.live_bytes } else { &map.hidden_bytes }, 0, self.old_bytes);
        shift(&map.live_bytes, value_and_key.len() - usize::from(meta.key_len), 0);
    }
}

impl ScopeMap {
    /// Encoded scope.
    pub fn scope(&self) -> &[u8] {
        &self.scope
    }

    fn hash(&self, key: &[u8]) -> u32 {
        xxh3_64_with_seed(key, self.seed) as u32
    }

    fn is_live(&self, entry: &Entry) -> bool {
        entry.meta().kind == Kind::Set && entry.meta().lsn > self.cleared_lsn.load(Ordering::Acquire)
    }

    /// Calls `look` with the live entry of `key`. Never waits.
    #[inline]
    pub fn get<R>(&self, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let guard = self.collector.enter();
        self.table.get(&guard, self.hash(key), key, |entry| self.is_live(entry).then(|| look(entry))).flatten()
    }

    /// Calls `look` with the last record of `key`, live, tombstone or cleared.
    pub fn last_record<R>(&self, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let guard = self.collector.enter();
        self.table.get(&guard, self.hash(key), key, look)
    }

    /// What a write to `key` must know.
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Place<'_> {
        let (hash, guard) = (self.hash(key), self.collector.enter());
        let seen = self.table.get(&guard, hash, key, |entry| {
            (if self.is_live(entry) { entry.meta().lsn } else { 0 }, entry.meta().pos, entry.value().len())
        });
        let (live_lsn, prev_pos, old_bytes) = seen.unwrap_or((0, 0, 0));
        Place { map: self, guard, hash, old_bytes, live_lsn, prev_pos }
    }

    /// Hides every entry written before `lsn`, at once for all readers. Cost: O(1).
    pub fn apply_clear(&self, _token: &mut WriteToken, lsn: Lsn, pos: Pos) {
        // The place first: whoever sees the version finds the record.
        self.cleared_pos.store(pos, Ordering::Release);
        self.cleared_lsn.store(lsn, Ordering::Release);
        self.live.store(0, Ordering::Relaxed);
        shift(&self.hidden_bytes, self.live_bytes.swap(0, Ordering::Relaxed), 0);
    }

    /// Whether freeing what clears have hidden is worth a walk over the table: it then frees at least as much memory as
    /// the table's cells take up, so that clears cost O(1) each, whatever the scope once held.
    pub fn is_worth_freeing(&self) -> bool {
        let guard = self.collector.enter();
        self.hidden_bytes.load(Ordering::Relaxed) >= self.table.size(&guard).0 * size_of::<usize>()
    }

    /// Keys that a clear has hidden but whose values still take up memory.
    pub fn hidden_keys(&self) -> Vec<Box<[u8]>> {
        let mut keys = Vec::new();
        let guard = self.collector.enter();
        self.table.for_each(&guard, |entry| {
            if entry.meta().kind == Kind::Set && !self.is_live(entry) && !entry.value().is_empty() {
                keys.push(entry.key().into());
            }
        });
        keys
    }

    /// Notes the last record of a key that a clear has removed since.
    pub fn put_hidden(&self, token: &mut WriteToken, mut meta: Meta, key: &[u8]) {
        meta.hash = self.hash(key);
        self.table.put(token, &self.collector.enter(), Entry::new(meta, key));
    }

    /// Frees the value of a hidden key, keeping the locator of its last record for its history.
    pub fn free_hidden(&self, token: &mut WriteToken, key: &[u8]) {
        let guard = self.collector.enter();
        let hidden = self.table.get(&guard, self.hash(key), key, |entry| {
            let (meta, bytes) = (*entry.meta(), entry.value().len());
            (meta.kind == Kind::Set && !self.is_live(entry) && bytes > 0).then_some((meta, bytes))
        });
        if let Some((meta, bytes)) = hidden.flatten() {
            self.table.put(token, &guard, Entry::new(meta, key));
            shift(&self.hidden_bytes, 0, bytes);
        }
    }

    /// Version and place of the scope's last clear; zeros when it never was.
    pub fn cleared(&self) -> (Lsn, Pos) {
        (self.cleared_lsn.load(Ordering::Acquire), self.cleared_pos.load(Ordering::Acquire))
    }

    /// Live keys.
    pub fn live_count(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The live entries whose key starts with `prefix`, ordered by key. Cost: O(n) over the scope, and the sort.
    pub fn list(&self, prefix: &[u8]) -> Vec<Entry> {
        let mut found = Vec::new();
        let guard = self.collector.enter();
        self.table.for_each(&guard, |entry| {
            if entry.key().starts_with(prefix) && self.is_live(entry) {
                found.push(entry.clone());
            }
        });
        found.sort_unstable_by(|a, b| a.key().cmp(b.key()));
        found
    }

    /// Bytes held: entries and cells.
    pub fn size_bytes(&self) -> usize {
        let guard = self.collector.enter();
        let mut bytes = self.table.size(&guard).0 * size_of::<usize>();
        self.table.for_each(&guard, |entry| bytes += entry.size_bytes());
        bytes
    }
}

impl Meta {
    /// The fixed part of a committed record's entry.
    pub fn new(lsn: Lsn, pos: Pos, time_us: u64, key_len: usize, kind: Kind, class: crate::record::StateClass) -> Self {
        Self { lsn, pos, time_us, hash: 0, key_len: key_len as u16, kind, class }
    }
}

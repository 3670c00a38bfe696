//! The scope table and, per scope, the map from key to entry.

use crate::checksum::xxh3_64_with_seed;
use seize::Collector;

use super::entry::{Entry, Meta};
use super::expiries::{Expiries, Expiring, Forgotten};
use super::order::Order;
use super::place::{Place, shift};
use super::resident::Resident;
use super::schedule::Schedule;
use super::table::Table;
use super::undo::Undo;
use crate::env::ExpiryClock;
use crate::env::thread::Alarm;
use crate::record::{Kind, Lsn, Pos, StateClass};
use crate::sync::WriteToken;
use crate::sync::{Arc, AtomicU64, AtomicUsize, OnceLock, Ordering};

/// All scopes of a store.
pub struct Index {
    shared: Arc<Shared>,
    scopes: papaya::HashMap<Box<[u8]>, Arc<ScopeMap>>,
}

/// What all scopes of an index have in common.
pub(super) struct Shared {
    pub(super) resident: Resident,
    pub(super) collector: Collector,
    seed: u64,
    pub(super) clock: Arc<ExpiryClock>,
    pub(super) schedule: Schedule,
    pub(super) undo: Undo,
}

/// One scope: its keys, how many are live, and when it was last cleared.
pub struct ScopeMap {
    pub(super) scope: Box<[u8]>,
    pub(super) shared: Arc<Shared>,
    pub(super) table: Table,
    /// Keys with a value that no clear has hidden; of these, the ones that have expired are in `expiries`.
    pub(super) kept: AtomicUsize,
    /// Bytes of their values, and of values that a clear has hidden and nobody has freed yet.
    pub(super) kept_bytes: AtomicUsize,
    pub(super) hidden_bytes: AtomicUsize,
    /// Made with the first entry that expires.
    pub(super) expiries: OnceLock<Box<Expiries>>,
    /// Made with the first list, unless the scope is small.
    pub(super) order: OnceLock<Box<Order>>,
    cleared_lsn: AtomicU64,
    cleared_pos: AtomicU64,
}

impl Index {
    /// An empty index whose hashes depend on `seed` and whose entries expire by `clock`. It retains no more than
    /// `view_budget_bytes` for read views.
    pub fn new(seed: u64, clock: Arc<ExpiryClock>, view_budget_bytes: usize) -> Self {
        let undo = Undo::new(view_budget_bytes);
        let shared = Shared {
            resident: Resident::default(),
            collector: Collector::new(),
            seed,
            clock,
            schedule: Schedule::default(),
            undo,
        };
        Self { shared: Arc::new(shared), scopes: papaya::HashMap::new() }
    }

    /// The time by which entries expire.
    pub fn clock(&self) -> &ExpiryClock {
        &self.shared.clock
    }

    /// Bytes of values in memory.
    pub fn resident_bytes(&self) -> usize {
        self.shared.resident.bytes()
    }

    /// Whom to ring when there are more than the limit. Set once.
    pub fn set_memory_alarm(&self, alarm: Alarm) {
        self.shared.resident.set_alarm(alarm);
    }

    /// Rings the alarm, once, when there are more than so many. A change that comes meanwhile may ring late.
    pub fn ring_above(&self, _token: &mut WriteToken, bytes: usize) {
        self.shared.resident.set_limit(bytes);
    }

    /// When which scope has something to expire.
    pub fn schedule(&self) -> &Schedule {
        &self.shared.schedule
    }

    /// The read views, and what is retained for them.
    pub fn undo(&self) -> &Undo {
        &self.shared.undo
    }

    /// A scope that may have an entry which has expired by `now_us` and has no record of it yet.
    pub fn due_scope(&self, now_us: u64) -> Option<Arc<ScopeMap>> {
        self.find(&self.shared.schedule.due_scope(now_us)?)
    }

    /// The map of a scope, made when missing. Keep it: later reads and writes through it skip this lookup.
    pub fn scope(&self, scope: &[u8]) -> Arc<ScopeMap> {
        let scopes = self.scopes.pin();
        let make = || {
            Arc::new(ScopeMap {
                scope: scope.into(),
                shared: Arc::clone(&self.shared),
                table: Table::default(),
                kept: AtomicUsize::new(0),
                kept_bytes: AtomicUsize::new(0),
                hidden_bytes: AtomicUsize::new(0),
                expiries: OnceLock::new(),
                order: OnceLock::new(),
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

impl ScopeMap {
    /// Encoded scope.
    pub fn scope(&self) -> &[u8] {
        &self.scope
    }

    /// Hash of a key: what the table goes by.
    pub fn hash(&self, key: &[u8]) -> u32 {
        xxh3_64_with_seed(key, self.shared.seed) as u32
    }

    /// Whether an entry holds a value that no clear has hidden; it may have expired.
    #[inline]
    pub(super) fn is_kept(&self, entry: &Entry) -> bool {
        entry.meta().kind == Kind::Set && entry.meta().lsn > self.cleared_lsn.load(Ordering::Acquire)
    }

    /// Whether a reader sees it. The clock is read only for entries that expire.
    #[inline]
    fn is_live(&self, entry: &Entry) -> bool {
        self.is_kept(entry) && entry.expires_us().is_none_or(|expires_us| self.shared.clock.now_us() < expires_us)
    }

    /// Calls `look` with the live entry of `key`. Never waits.
    #[inline]
    pub fn get<R>(&self, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let guard = self.shared.collector.enter();
        self.table.get(&guard, self.hash(key), key, |entry| self.is_live(entry).then(|| look(entry))).flatten()
    }

    /// Calls `look` with the last record of `key`, live, tombstone or cleared.
    pub fn last_record<R>(&self, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let guard = self.shared.collector.enter();
        self.table.get(&guard, self.hash(key), key, look)
    }

    /// What a write to `key` must know.
    #[inline]
    pub fn locate(&self, key: &[u8]) -> Place<'_> {
        self.locate_hashed(self.hash(key), key)
    }

    /// The same of a key whose hash is known.
    #[inline]
    pub fn locate_hashed(&self, hash: u32, key: &[u8]) -> Place<'_> {
        let guard = self.shared.collector.enter();
        let seen = self.table.get(&guard, hash, key, |entry| {
            let set_lsn = if entry.meta().kind == Kind::Set { entry.meta().lsn } else { 0 };
            let kept_lsn = if self.is_kept(entry) { set_lsn } else { 0 };
            let expires_us = if kept_lsn == 0 { None } else { entry.expires_us() };
            let is_sealed = entry.meta().class == StateClass::Sensitive;
            (set_lsn, kept_lsn, expires_us, is_sealed, entry.meta().pos, entry.value_len())
        });
        let (set_lsn, kept_lsn, expires_us, is_sealed, prev_pos, old_bytes) = seen.unwrap_or((0, 0, None, false, 0, 0));
        let expired = expires_us.is_some_and(|expires_us| expires_us <= self.shared.clock.now_us());
        let live_lsn = if expired { 0 } else { kept_lsn };
        let is_sealed = is_sealed && live_lsn != 0;
        Place { map: self, guard, hash, old_bytes, set_lsn, kept_lsn, expires_us, live_lsn, is_sealed, prev_pos }
    }

    /// Hides every entry written before `lsn`, at once for all readers. Cost: O(1), without the freeing of what it returns.
    pub fn apply_clear(&self, _token: &mut WriteToken, lsn: Lsn, pos: Pos) -> Forgotten {
        let mut expiries = self.expiries.get().map(|expiries| expiries.change());
        self.retain_clear(self.cleared_lsn.load(Ordering::Relaxed), lsn);
        // The place first: whoever sees the version finds the record.
        self.cleared_pos.store(pos, Ordering::Release);
        self.cleared_lsn.store(lsn, Ordering::Release);
        self.kept.store(0, Ordering::Relaxed);
        shift(&self.hidden_bytes, self.kept_bytes.swap(0, Ordering::Relaxed), 0);
        expiries.as_mut().map(|expiries| expiries.forget_all()).unwrap_or_default()
    }

    /// Whether freeing what clears have hidden is worth a walk over the table: it then frees at least as much memory as
    /// the table's cells take up, so that clears cost O(1) each, whatever the scope once held.
    pub fn is_worth_freeing(&self) -> bool {
        let guard = self.shared.collector.enter();
        self.hidden_bytes.load(Ordering::Relaxed) >= self.table.size_bytes(&guard)
    }

    /// Keys that a clear has hidden but whose values still take up memory.
    pub fn hidden_keys(&self) -> Vec<Box<[u8]>> {
        let mut keys = Vec::new();
        let guard = self.shared.collector.enter();
        self.table.for_each(&guard, |entry| {
            if entry.meta().kind == Kind::Set && !self.is_kept(entry) && !entry.value().is_empty() {
                keys.push(entry.key().into());
            }
        });
        keys
    }

    /// Notes the last record of a key that a clear has removed since.
    pub fn put_hidden(&self, token: &mut WriteToken, meta: Meta, key: &[u8]) {
        let entry = Entry::new(meta.without_expiry(), key);
        self.table.put(token, &self.shared.collector.enter(), self.hash(key), entry);
    }

    /// Frees the value of a hidden key, keeping the locator of its last record for its history. Not while there are read
    /// views, which may see it: then it answers false.
    pub fn free_hidden(&self, token: &mut WriteToken, key: &[u8]) -> bool {
        if self.shared.undo.is_active() {
            return false;
        }
        let (hash, guard) = (self.hash(key), self.shared.collector.enter());
        let hidden = self.table.get(&guard, hash, key, |entry| {
            let (meta, bytes) = (entry.meta(), entry.value().len());
            (meta.kind == Kind::Set && !self.is_kept(entry) && bytes > 0).then_some((meta, bytes))
        });
        if let Some((meta, bytes)) = hidden.flatten() {
            self.table.put(token, &guard, hash, Entry::new(meta.without_expiry(), key));
            shift(&self.hidden_bytes, 0, bytes);
            self.shared.resident.shift(0, bytes);
        }
        true
    }

    /// Version and place of the scope's last clear; zeros when it never was.
    pub fn cleared(&self) -> (Lsn, Pos) {
        (self.cleared_lsn.load(Ordering::Acquire), self.cleared_pos.load(Ordering::Acquire))
    }

    /// Live keys. Cost: O(1), and O(log n) for each that has expired since the last time.
    pub fn live_count(&self) -> usize {
        match self.expiries.get() {
            None => self.kept.load(Ordering::Relaxed),
            Some(expiries) => {
                let now_us = self.shared.clock.now_us();
                expiries.count(now_us, |due_count| self.kept.load(Ordering::Relaxed) - due_count)
            }
        }
    }

    /// The first entries that have expired by `now_us` and have no record of it yet. When there is none, the scope's
    /// place in the schedule is put right.
    pub fn due(&self, now_us: u64, limit: usize) -> Vec<Expiring> {
        let expiries = self.expiries.get();
        expiries.map_or_else(Vec::new, |e| e.due(now_us, limit, &self.shared.schedule, &self.scope))
    }

    /// Calls `look` with an entry that expires, if no other has come in its place.
    pub fn get_expiring<R>(&self, item: &Expiring, look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let guard = self.shared.collector.enter();
        self.table.get_version(&guard, item.hash, item.lsn, look)
    }

    /// Bytes held: entries, cells and the order of the keys.
    pub fn size_bytes(&self) -> usize {
        let guard = self.shared.collector.enter();
        let mut bytes = self.table.size_bytes(&guard);
        bytes += self.expiries.get().map_or(0, |expiries| expiries.size_bytes());
        bytes += self.order.get().map_or(0, |order| order.size_bytes());
        self.table.for_each(&guard, |entry| bytes += entry.size_bytes());
        bytes
    }
}

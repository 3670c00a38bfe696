//! The read views of an index: they begin, retain what others replace, and end.

use std::collections::BTreeSet;

use super::entry::Entry;
use super::life::{Ending, Life};
use super::retained::{Active, Held, Retained, Version, ViewId};
use super::turns::Turns;
use crate::limits::READ_VIEWS_MAX;
use crate::record::Lsn;
use crate::sync::{AtomicU64, MutexGuard, Ordering};

/// Things looked at in one turn of the lock when a view has ended: by whoever ended it, and by a writer.
const SWEPT_AT_ONCE: usize = 64;
const SWEPT_BY_WRITER: usize = 16;
/// Bytes that a retained thing takes up besides its entry.
const OVERHEAD_BYTES: usize = 128;

/// The views of an index, and what they retain.
pub struct Undo {
    /// One above the last version that the newest view sees; 0 without views.
    below_lsn: AtomicU64,
    budget_bytes: usize,
    state: Turns<Retained>,
}

impl Undo {
    pub(super) fn new(budget_bytes: usize) -> Self {
        Self { below_lsn: AtomicU64::new(0), budget_bytes, state: Turns::default() }
    }

    fn state(&self) -> MutexGuard<'_, Retained> {
        self.state.turn()
    }

    /// Whether a view sees what was written with this version, 0 standing for nothing. For the holder of the append
    /// lock, under which views begin: one load.
    #[inline]
    pub(super) fn is_seen(&self, lsn: Lsn) -> bool {
        lsn != 0 && lsn < self.below_lsn.load(Ordering::Relaxed)
    }

    /// Whether there is any view.
    pub fn is_active(&self) -> bool {
        self.below_lsn.load(Ordering::Relaxed) != 0
    }

    /// Views, and bytes retained for them.
    pub fn figures(&self) -> (usize, usize) {
        let state = self.state();
        (state.views.len(), state.bytes)
    }

    /// Begins a view of everything up to `lsn`, for the holder of the append lock. None when there are too many.
    pub fn begin(&self, lsn: Lsn, ends_us: u64, life: &Life) -> Option<ViewId> {
        let mut state = self.state.change();
        if state.views.len() >= READ_VIEWS_MAX {
            return None;
        }
        state.last_number += 1;
        let id = ViewId { lsn, number: state.last_number };
        state.views.insert(id, Active { life: life.clone(), ends_us, held: Vec::new(), bytes: 0 });
        state.has_ends |= ends_us != u64::MAX;
        self.below_lsn.store(lsn + 1, Ordering::Relaxed);
        Some(id)
    }

    /// Retains an entry that `by` is about to replace. Past the budget the oldest view ends.
    pub(super) fn retain(&self, scope: usize, hash: u32, entry: Entry, by: Lsn, steady_us: impl FnOnce() -> u64) {
        let item = Held { scope, hash: Some(hash), lsn: entry.meta().lsn, bytes: entry.size_bytes() + OVERHEAD_BYTES };
        let mut state = self.state.change();
        if state.hold(item) {
            state.entries.entry((scope, hash)).or_default().push((entry, by));
            self.keep_within(&mut state, steady_us);
        }
    }

    /// Whether a view goes by a clear of this version, 0 standing for none. As [`Undo::is_seen`].
    pub(super) fn is_clear_seen(&self, lsn: Lsn) -> bool {
        lsn < self.below_lsn.load(Ordering::Relaxed)
    }

    /// Retains the version of a scope's last clear, which `by` is about to replace, and counts the values that stay in
    /// memory for it, hidden.
    pub(super) fn retain_clear(
        &self,
        scope: usize,
        former: Lsn,
        by: Lsn,
        hidden_bytes: usize,
        steady_us: impl FnOnce() -> u64,
    ) {
        let mut state = self.state.change();
        if state.hold(Held { scope, hash: None, lsn: former, bytes: OVERHEAD_BYTES + hidden_bytes }) {
            state.clears.entry(scope).or_default().push((former, by));
            self.keep_within(&mut state, steady_us);
        }
    }

    fn keep_within(&self, state: &mut Retained, steady_us: impl FnOnce() -> u64) {
        if state.has_ends {
            let now_us = steady_us();
            let over: Vec<ViewId> =
                state.views.iter().filter(|(_, view)| view.ends_us <= now_us).map(|(id, _)| *id).collect();
            over.into_iter().for_each(|id| self.end_in(state, id, Ending::Age));
        }
        while state.bytes > self.budget_bytes
            && let Some(oldest) = state.views.keys().next().copied()
        {
            self.end_in(state, oldest, Ending::Budget);
        }
        drop(state.sweep(SWEPT_BY_WRITER));
    }

    fn end_in(&self, state: &mut Retained, id: ViewId, why: Ending) {
        if let Some(view) = state.views.remove(&id) {
            // Before anything that it needs goes away: whoever reads through it looks at this last.
            view.life.end(why);
            state.bytes -= view.bytes;
            state.left.push((id, view.held));
        }
        state.has_ends = state.views.values().any(|view| view.ends_us != u64::MAX);
        let below_lsn = state.views.keys().next_back().map_or(0, |newest| newest.lsn + 1);
        self.below_lsn.store(below_lsn, Ordering::Relaxed);
    }

    /// Ends a view, if it has not ended, and frees what no other one needs. Returns the scopes whose hidden values may be
    /// freed now. Cost: O(what it retained), in small turns of the lock.
    pub fn end(&self, id: ViewId, why: Ending) -> BTreeSet<Box<[u8]>> {
        self.end_in(&mut self.state(), id, why);
        loop {
            let mut state = self.state();
            let swept = state.sweep(SWEPT_AT_ONCE);
            if state.left.is_empty() {
                return if state.views.is_empty() { state.start_over() } else { BTreeSet::new() };
            }
            drop(state);
            drop(swept);
            self.state.give_way();
        }
    }

    /// Ends every view: the store is closed.
    pub fn end_all(&self) {
        let all: Vec<ViewId> = self.state().views.keys().copied().collect();
        all.into_iter().for_each(|id| drop(self.end(id, Ending::StoreClosed)));
    }

    /// Notes that a scope has hidden values that may be freed when there is no view. False when there is none now.
    pub fn put_off(&self, scope: &[u8]) -> bool {
        let mut state = self.state();
        let wait = !state.views.is_empty();
        if wait {
            state.put_off.insert(scope.into());
        }
        wait
    }

    /// The entry of a key as of `lsn`, when it was replaced since.
    pub(super) fn entry_at(&self, scope: usize, hash: u32, key: &[u8], lsn: Lsn) -> Option<Entry> {
        let state = self.state();
        let versions = state.entries.get(&(scope, hash))?;
        let seen = |(entry, by): &&Version| entry.meta().lsn <= lsn && lsn < *by && entry.key() == key;
        versions.iter().find(seen).map(|(entry, _)| entry.clone())
    }

    /// The version of the scope's last clear as of `lsn`, when another came since.
    pub(super) fn clear_at(&self, scope: usize, lsn: Lsn) -> Option<Lsn> {
        let state = self.state();
        state.clears.get(&scope)?.iter().find(|(former, by)| *former <= lsn && lsn < *by).map(|(former, _)| *former)
    }
}

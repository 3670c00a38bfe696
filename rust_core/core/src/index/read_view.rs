//! A scope as it was at an earlier moment: what the table has, unless it came later; then what was retained.

use super::entry::Entry;
use super::place::Place;
use super::scope_map::ScopeMap;
use crate::record::{Kind, Lsn};
use crate::sync::Ordering;

/// What a view goes by: nothing above the version is there, and what had expired by the time is gone.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The last version that counts.
    pub lsn: Lsn,
    /// By the clock of expiry.
    pub now_us: u64,
}

impl Place<'_> {
    /// Keeps what a view sees from going away with its place in the table. Before that place is given to `by`: a reader
    /// that finds `by` there looks for what was retained.
    #[inline]
    pub(super) fn retain(&self, by: Lsn) {
        if self.map.shared.undo.is_seen(self.set_lsn) {
            self.retain_for_views(by);
        }
    }

    #[cold]
    fn retain_for_views(&self, by: Lsn) {
        let map = self.map;
        if let Some(entry) = map.table.get_version(&self.guard, self.hash, self.set_lsn, Entry::clone) {
            map.shared.undo.retain(map.id(), self.hash, entry, by, || map.shared.clock.steady_us());
        }
    }
}

impl ScopeMap {
    /// What tells it from the other scopes of its index, none of which ever goes away.
    fn id(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Keeps the last clear for views that do not see the one that comes.
    pub(super) fn retain_clear(&self, former: Lsn, by: Lsn) {
        let (undo, clock) = (&self.shared.undo, &self.shared.clock);
        if undo.is_clear_seen(former) {
            let hidden_bytes = self.kept_bytes.load(Ordering::Relaxed);
            undo.retain_clear(self.id(), former, by, hidden_bytes, || clock.steady_us());
        }
    }

    /// The version of the last clear that a view sees; 0 when there was none.
    pub(super) fn cleared_at(&self, lsn: Lsn) -> Lsn {
        let (cleared_lsn, _) = self.cleared();
        if cleared_lsn <= lsn { cleared_lsn } else { self.shared.undo.clear_at(self.id(), lsn).unwrap_or(0) }
    }

    /// What a view sees of the entry that the table has now.
    pub(super) fn at(&self, now: &Entry, cleared_lsn: Lsn, moment: Moment) -> Option<Entry> {
        let entry = if now.meta().lsn <= moment.lsn {
            now.clone()
        } else {
            self.shared.undo.entry_at(self.id(), self.hash(now.key()), now.key(), moment.lsn)?
        };
        let is_kept = entry.meta().kind == Kind::Set && entry.meta().lsn > cleared_lsn;
        let is_live = is_kept && entry.expires_us().is_none_or(|expires_us| moment.now_us < expires_us);
        is_live.then_some(entry)
    }

    /// The live entry of `key` at a moment that a view holds. Cost: as a read of now, and a look at what was retained if
    /// the key was written since.
    pub fn get_at(&self, key: &[u8], moment: Moment) -> Option<Entry> {
        let guard = self.shared.collector.enter();
        let now = self.table.get(&guard, self.hash(key), key, Entry::clone)?;
        self.at(&now, self.cleared_at(moment.lsn), moment)
    }

    /// Whether there is a live entry at a moment that a view holds. Cost: O(n) over the scope.
    pub fn has_any_at(&self, moment: Moment) -> bool {
        let cleared_lsn = self.cleared_at(moment.lsn);
        let guard = self.shared.collector.enter();
        let mut has_any = false;
        self.table.for_each(&guard, |now| has_any = has_any || self.at(now, cleared_lsn, moment).is_some());
        has_any
    }
}

//! Lists: the keys of a scope that start with a prefix, in order.

use std::cell::OnceCell;

use super::entry::Entry;
use super::order::Order;
use super::read_view::Moment;
use super::scope_map::ScopeMap;
use super::sorted::Keys;
use crate::sync::{Ordering, fence};

/// A table of no more cells than this is sorted for each list: that takes some microseconds.
const SMALL_CELLS: usize = 128;

impl ScopeMap {
    /// The live entries whose key starts with `prefix`, ordered by key. Cost: O(log n), what is found, and what has come
    /// or gone since the last list; the first list of a scope sorts its keys.
    pub fn list(&self, prefix: &[u8]) -> Vec<Entry> {
        // One moment for the whole list.
        let now_us = OnceCell::new();
        let is_over = |expires_us| expires_us <= *now_us.get_or_init(|| self.shared.clock.now_us());
        self.listed(prefix, |entry| {
            let is_live = self.is_kept(entry) && !entry.expires_us().is_some_and(is_over);
            is_live.then(|| entry.clone())
        })
    }

    /// The live entries at a moment that a view holds, as [`ScopeMap::list`].
    pub fn list_at(&self, prefix: &[u8], moment: Moment) -> Vec<Entry> {
        let cleared_lsn = self.cleared_at(moment.lsn);
        self.listed(prefix, |now| self.at(now, cleared_lsn, moment))
    }

    /// Notes a key that has come to be there, for the next list. After its entry was put into the table.
    #[inline]
    pub(super) fn note(&self, key: &[u8]) {
        // Either whoever makes the order sees the entry, or this sees the order.
        fence(Ordering::SeqCst);
        if let Some(order) = self.order.get() {
            order.note(key);
        }
    }

    /// What `look` gives for the entries whose key starts with `prefix`, in order.
    fn listed(&self, prefix: &[u8], look: impl Fn(&Entry) -> Option<Entry>) -> Vec<Entry> {
        let guard = self.shared.collector.enter();
        let mut found = Vec::new();
        if self.order.get().is_none() && self.table.size(&guard).0 <= SMALL_CELLS {
            self.table.for_each(&guard, |entry| {
                if entry.key().starts_with(prefix) {
                    found.extend(look(entry));
                }
            });
            found.sort_unstable_by(|a, b| a.key().cmp(b.key()));
            return found;
        }
        let order = self.order.get_or_init(Box::default);
        let mut gone_count = 0;
        order.sorted(|| self.keys()).for_each(prefix, |key| {
            let seen = self.table.get(&guard, self.hash(key), key, |entry| {
                let seen = look(entry);
                gone_count += usize::from(seen.is_none() && self.is_gone(entry));
                seen
            });
            found.extend(seen.flatten());
        });
        if gone_count > found.len() {
            self.forget_gone(order, prefix);
        }
        found
    }

    /// Every key that readers may see, and some that they may not.
    fn keys(&self) -> Keys {
        fence(Ordering::SeqCst);
        let mut keys = Keys::default();
        let guard = self.shared.collector.enter();
        self.table.for_each(&guard, |entry| {
            if !self.is_gone(entry) {
                keys.push(entry.key());
            }
        });
        keys
    }

    #[cold]
    fn forget_gone(&self, order: &Order, prefix: &[u8]) {
        let guard = self.shared.collector.enter();
        order.forget(prefix, |key| {
            let is_gone = self.table.get(&guard, self.hash(key), key, |entry| self.is_gone(entry));
            is_gone.unwrap_or(false)
        });
    }

    /// Whether no reader sees the key, nor a view an earlier entry of it. In this order: a view that sees one began before
    /// the entry went.
    fn is_gone(&self, entry: &Entry) -> bool {
        !self.is_kept(entry) && !self.shared.undo.is_active()
    }
}

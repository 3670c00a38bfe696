//! What is retained for read views: which view holds what, and where that is found.
//!
//! A replaced entry goes to the newest view there is: every view that sees it is older than what replaced it. When a view
//! ends, each thing that it holds goes to the next older view, or away if that one is too old to see it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::entry::Entry;
use super::life::Life;
use crate::record::Lsn;

/// The moment that a view shows, and what tells it from another view of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ViewId {
    /// The last version that it sees.
    pub lsn: Lsn,
    pub(super) number: u64,
}

/// Something retained: an entry of this hash and version, or a clear of this version.
pub(super) struct Held {
    pub(super) scope: usize,
    pub(super) hash: Option<u32>,
    pub(super) lsn: Lsn,
    pub(super) bytes: usize,
}

pub(super) struct Active {
    pub(super) life: Life,
    /// By the steady clock; `u64::MAX`: never.
    pub(super) ends_us: u64,
    pub(super) held: Vec<Held>,
    pub(super) bytes: usize,
}

impl Active {
    fn take(&mut self, item: Held) {
        self.bytes += item.bytes;
        self.held.push(item);
    }
}

/// An entry and the version that replaced it.
pub(super) type Version = (Entry, Lsn);

#[derive(Default)]
pub(super) struct Retained {
    pub(super) views: BTreeMap<ViewId, Active>,
    pub(super) last_number: u64,
    pub(super) entries: HashMap<(usize, u32), Vec<Version>>,
    /// Per scope, the version of each former clear and of the one after it.
    pub(super) clears: HashMap<usize, Vec<(Lsn, Lsn)>>,
    /// What views held that have ended.
    pub(super) left: Vec<(ViewId, Vec<Held>)>,
    /// Bytes of all that is held, without what is left.
    pub(super) bytes: usize,
    /// Whether a view has a time to end.
    pub(super) has_ends: bool,
    /// Scopes whose hidden values wait to be freed.
    pub(super) put_off: BTreeSet<Box<[u8]>>,
}

impl Retained {
    /// Gives an item to the newest view. False when there is none, which another thread may have seen to meanwhile.
    pub(super) fn hold(&mut self, item: Held) -> bool {
        let Some(mut newest) = self.views.last_entry().filter(|newest| item.lsn <= newest.key().lsn) else {
            return false;
        };
        self.bytes += item.bytes;
        newest.get_mut().take(item);
        true
    }

    /// Without views: gives the memory of the tables back, and says which scopes have hidden values to free.
    pub(super) fn start_over(&mut self) -> BTreeSet<Box<[u8]>> {
        (self.entries, self.clears) = Default::default();
        std::mem::take(&mut self.put_off)
    }

    /// Passes some of what is left on to older views. Returns what nobody needs, to be freed without the lock.
    pub(super) fn sweep(&mut self, limit: usize) -> Vec<Entry> {
        let mut freed = Vec::new();
        for _ in 0..limit {
            let Some((id, held)) = self.left.last_mut() else { break };
            let Some(item) = held.pop() else {
                self.left.pop();
                continue;
            };
            match self.views.range_mut(..*id).next_back().filter(|(older, _)| item.lsn <= older.lsn) {
                Some((_, view)) => {
                    self.bytes += item.bytes;
                    view.take(item);
                }
                None => freed.extend(self.forget(&item)),
            }
        }
        freed
    }

    fn forget(&mut self, item: &Held) -> Option<Entry> {
        let Some(hash) = item.hash else {
            let clears = self.clears.get_mut(&item.scope)?;
            clears.retain(|(former, _)| *former != item.lsn);
            if clears.is_empty() {
                self.clears.remove(&item.scope);
            }
            return None;
        };
        let versions = self.entries.get_mut(&(item.scope, hash))?;
        let at = versions.iter().position(|(entry, _)| entry.meta().lsn == item.lsn)?;
        let (entry, _) = versions.swap_remove(at);
        if versions.is_empty() {
            self.entries.remove(&(item.scope, hash));
        }
        Some(entry)
    }
}

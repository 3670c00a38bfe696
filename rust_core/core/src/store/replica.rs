//! What snapshots and the log come to, version per key: what the index is held against.

use std::collections::HashMap;

use crate::checkpoint::{Row, SnapshotError, SnapshotFile};
use crate::index::Entry;
use crate::record::{Frame, Kind, Lsn, Mark};
use crate::store::Store;

/// The versions of the live keys of every scope, from one source and the log behind it.
#[derive(Default)]
pub(super) struct Replica {
    /// The file of the snapshot; empty for the log alone.
    pub(super) file: String,
    /// What the source has.
    pub(super) mark: Option<Mark>,
    /// Rows of the source.
    pub(super) row_count: u64,
    scopes: HashMap<Vec<u8>, Scope>,
}

#[derive(Default)]
struct Scope {
    cleared: Lsn,
    live: HashMap<Vec<u8>, Lsn>,
}

impl Replica {
    /// From the log alone, for one that begins at its beginning.
    pub(super) fn of_log() -> Self {
        Self { mark: Some(Mark::START), ..Self::default() }
    }

    /// From a snapshot: every row is verified, and is in its place.
    pub(super) fn of_snapshot(snapshot: &SnapshotFile) -> Result<Self, SnapshotError> {
        let mut replica = Self { file: snapshot.path(), mark: Some(snapshot.mark()), ..Self::default() };
        snapshot.for_each(&mut |row: &Row<'_>| {
            replica.row_count += 1;
            replica.take(&row.frame);
        })?;
        Ok(replica)
    }

    /// Applies a record of the log, unless the source has it.
    pub(super) fn follow(&mut self, frame: &Frame<'_>) {
        if self.mark.is_some_and(|mark| frame.lsn > mark.lsn) {
            self.take(frame);
        }
    }

    fn take(&mut self, frame: &Frame<'_>) {
        if !frame.kind.changes_entries() {
            return;
        }
        let scope = self.scopes.entry(frame.scope().to_vec()).or_default();
        match frame.kind {
            // In a snapshot a clear comes before the keys that it has removed.
            Kind::Clear => *scope = Scope { cleared: frame.lsn, live: HashMap::new() },
            Kind::Set if frame.lsn > scope.cleared => drop(scope.live.insert(frame.key().to_vec(), frame.lsn)),
            _ => drop(scope.live.remove(frame.key())),
        }
    }

    /// How this and the index of a store differ, as of version `upto`; None when they do not.
    pub(super) fn differs(&self, store: &Store, upto: Lsn) -> Option<String> {
        for (scope, keys) in &self.scopes {
            let map = store.find_scope(scope);
            for (key, lsn) in &keys.live {
                let is = map.as_ref().and_then(|map| map.last_record(key, |entry: &Entry| entry.meta().lsn));
                if is.is_none_or(|is| is != *lsn && is <= upto) {
                    let key = String::from_utf8_lossy(key);
                    return Some(format!("{key:?} is at version {} in memory and at {lsn} here", is.unwrap_or(0)));
                }
            }
        }
        for map in store.live_scopes() {
            let here = self.scopes.get(map.scope());
            for entry in map.list(b"").iter().filter(|entry| entry.meta().lsn <= upto) {
                if here.and_then(|scope| scope.live.get(entry.key())).is_none() {
                    let key = String::from_utf8_lossy(entry.key());
                    return Some(format!("{key:?} is at version {} in memory and not here", entry.meta().lsn));
                }
            }
        }
        None
    }
}

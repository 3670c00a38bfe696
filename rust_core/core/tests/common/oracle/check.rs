//! Whether a store shows what it must, in memory, in its feed and in its histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use spellkeep_core::record::{Kind, Lsn};
use spellkeep_core::store::{Change, Store};

use super::super::origins::origin_of;
use super::{Live, Oracle, Place, Rec};

impl Oracle {
    fn history(&self, place: &Place) -> Vec<(Lsn, Kind)> {
        let mut found = Vec::new();
        let mut live = false;
        for (lsn, r) in &self.log {
            let own =
                r.kind != Kind::Event && r.scope == place.0 && (r.key == place.1 || (r.kind == Kind::Clear && live));
            if own {
                live = r.kind == Kind::Set;
                found.push((*lsn, r.kind));
            }
        }
        found.reverse();
        found
    }

    /// Memory shows exactly what the store took.
    pub fn check_memory(&self, store: &Store) {
        let mut seen = BTreeMap::new();
        for map in store.live_scopes() {
            for entry in store.list(&map, "") {
                let key = String::from_utf8_lossy(entry.key()).into_owned();
                assert_eq!(map.get(entry.key(), |e| e.meta().lsn), Some(entry.meta().lsn));
                let found = (entry.meta().lsn, entry.value().to_vec(), entry.expires_us());
                seen.insert((map.scope().to_vec(), key), found);
            }
        }
        let live = self.live();
        assert!(seen == live, "contents differ: {:?} and {:?}", brief(&seen), brief(&live));
        assert_eq!(store.stats().1, live.len());
    }

    /// As [`Oracle::check_memory`]; nothing is said once a commit failed together with the log.
    pub fn check_memory_unless_maybe(&self, store: &Store) {
        if self.maybe.is_empty() {
            self.check_memory(store);
        }
    }

    /// After a reopening: everything up to some version, whole commits, at least up to `floor`. Goes on from there.
    pub fn reopened(&mut self, store: &Store, floor: Lsn) {
        let next = store.wal().last_lsn();
        let last = last_record(store);
        let floor = self.log.iter().map(|(lsn, _)| *lsn).filter(|lsn| *lsn <= floor).max().unwrap_or(0);
        assert!(last >= floor, "version {floor} was acknowledged and {last} is the last one there");
        self.given = self.given.max(self.acked);
        if last > self.last() {
            for r in std::mem::take(&mut self.maybe) {
                self.push(r);
            }
            self.ends.insert(self.last());
        }
        assert!(last == 0 || self.ends.contains(&last), "version {last} does not end a commit");
        let log = std::mem::take(&mut self.log);
        self.kept.clear();
        self.maybe.clear();
        for (lsn, record) in log.into_iter().take_while(|(lsn, _)| *lsn <= last) {
            self.last = lsn - 1;
            self.push(record);
        }
        self.ends.retain(|end| *end <= last);
        self.last = next;
        self.ends.insert(next);
        (self.acked, self.durable) = (last, last);
        self.now_us = store.expires_us(0);
        self.check(store);
    }

    /// Memory, changes and histories show exactly what the store took.
    pub fn check(&self, store: &Store) {
        self.check_memory(store);
        let mut changes = store.changes(0).unwrap();
        let first = store.wal().first_lsn();
        let mut expected = self.log.iter().skip_while(|(lsn, _)| *lsn < first);
        while let Some(change) = changes.next_change().unwrap() {
            check_origin(&change);
            let key = String::from_utf8_lossy(change.key()).into_owned();
            let (scope, value, expires_us) = (change.scope().to_vec(), change.value().to_vec(), change.expires_us);
            let got = Rec { kind: change.kind, scope, key, value, expires_us };
            assert_eq!(Some(&(change.lsn, got)), expected.next());
        }
        assert!(expected.next().is_none());
        let places: BTreeSet<Place> = self.log.iter().map(|(_, r)| (r.scope.clone(), r.key.clone())).collect();
        for place in places.iter().filter(|(_, key)| !key.is_empty()) {
            let map: Arc<_> = store.scope(&place.0);
            let got = store.history(&map, &place.1, usize::MAX).unwrap();
            got.iter().for_each(check_origin);
            let mut expected = self.history(place);
            let newest = expected.first().copied();
            expected.retain(|(lsn, _)| *lsn >= first);
            // A clear is told as the end of what it removed.
            while expected.pop_if(|(_, kind)| *kind == Kind::Clear).is_some() {}
            if expected.is_empty() && self.live().contains_key(place) {
                expected.extend(newest);
            }
            assert_eq!(got.iter().map(|c| (c.lsn, c.kind)).collect::<Vec<_>>(), expected, "{place:?}");
        }
    }
}

fn check_origin(change: &Change) {
    let wanted = origin_of(change.kind, change.scope(), change.key(), change.value());
    assert_eq!(change.origin(), wanted.get(), "version {}", change.lsn);
}

/// The last version that is a record's: one in the log, or what a snapshot has everything up to.
fn last_record(store: &Store) -> Lsn {
    let mut changes = store.changes(0).unwrap();
    let mut last = store.recovery().snapshot_lsn;
    while let Some(change) = changes.next_change().unwrap() {
        last = change.lsn.max(last);
    }
    last
}

fn brief(state: &Live) -> Vec<(&str, Lsn, usize, Option<u64>)> {
    state.iter().map(|((_, key), (lsn, value, until))| (key.as_str(), *lsn, value.len(), *until)).collect()
}

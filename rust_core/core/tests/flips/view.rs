//! Everything that a store can be asked, and what a plain model of its records says that it must answer.

use std::collections::{BTreeMap, BTreeSet};

use spellkeep_core::record::{Kind, Lsn, StateClass};
use spellkeep_core::store::{Change, Store, StoreError};
use spellkeep_core::wal::WalError;

/// Scope and key.
pub type Place = (Box<[u8]>, Box<[u8]>);
/// Version, time, class, value.
type Held = (Lsn, u64, StateClass, Box<[u8]>);

/// More changes than any of these stores has: a reader that goes on behind them has lost its way.
const CHANGES_MAX: usize = 1000;

/// What a store answers; None where it says that it is damaged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct View {
    pub changes: Option<Vec<Change>>,
    /// By listing every scope.
    listed: BTreeMap<Place, Held>,
    /// Place by place.
    got: BTreeMap<Place, Held>,
    counted: usize,
    histories: BTreeMap<Place, Option<Vec<Change>>>,
}

impl View {
    /// Asks for everything, and for the value and the history of each of `places` whether it is there or not.
    pub fn read(store: &Store, places: &BTreeSet<Place>) -> Result<Self, StoreError> {
        let mut view = Self { changes: told(Self::changes(store))?, ..Self::default() };
        for map in store.live_scopes() {
            for entry in store.list(&map, "") {
                let meta = entry.meta();
                let held = (meta.lsn, meta.time_us, meta.class, entry.value().into());
                view.listed.insert((map.scope().into(), entry.key().into()), held);
            }
        }
        for (scope, key) in places {
            let (map, place) = (store.scope(scope), (scope.clone(), key.clone()));
            let held = |e: &spellkeep_core::index::Entry| {
                let meta = e.meta();
                (meta.lsn, meta.time_us, meta.class, e.value().into())
            };
            if let Some(held) = map.get(key, held) {
                view.got.insert(place.clone(), held);
            }
            let text = std::str::from_utf8(key).unwrap();
            view.histories.insert(place, told(store.history(&map, text, CHANGES_MAX))?);
        }
        view.counted = store.stats().1;
        Ok(view)
    }

    fn changes(store: &Store) -> Result<Vec<Change>, StoreError> {
        let (mut all, mut changes) = (Vec::new(), store.changes(0).unwrap());
        while let Some(change) = changes.next_change()? {
            assert!(all.len() < CHANGES_MAX, "the changes have no end");
            all.push(change);
        }
        Ok(all)
    }

    /// What these records come to.
    fn of(changes: &[Change], places: &BTreeSet<Place>) -> Self {
        let mut live = BTreeMap::new();
        let mut histories: BTreeMap<Place, Vec<Change>> = places.iter().map(|p| (p.clone(), Vec::new())).collect();
        for change in changes {
            let place = (Box::from(change.scope()), Box::from(change.key()));
            match change.kind {
                Kind::Set => {
                    drop(live.insert(place.clone(), (change.lsn, change.time_us, change.class, change.value().into())));
                }
                Kind::Delete | Kind::Expire => drop(live.remove(&place)),
                Kind::Event => continue,
                Kind::Skip => unreachable!("the feed leaves them out"),
                Kind::Clear => {
                    for ((scope, _), history) in &mut histories {
                        let removes = history.first().is_some_and(|last| last.kind == Kind::Set);
                        if **scope == *change.scope() && removes {
                            history.insert(0, change.clone());
                        }
                    }
                    live.retain(|(scope, _): &Place, _| **scope != *change.scope());
                    continue;
                }
            }
            histories.entry(place).or_default().insert(0, change.clone());
        }
        let histories = histories.into_iter().map(|(place, history)| (place, Some(history))).collect();
        Self { changes: Some(changes.to_vec()), got: live.clone(), counted: live.len(), listed: live, histories }
    }

    /// Whether the entries are those of the other; of the past, one may have more.
    pub fn holds(&self, other: &Self) -> bool {
        (&self.listed, &self.got, self.counted) == (&other.listed, &other.got, other.counted)
    }

    /// Whether every answer that is there is the same.
    fn agrees(&self, other: &Self) -> bool {
        fn same<T: PartialEq>(mine: &Option<T>, other: &Option<T>) -> bool {
            mine.is_none() || mine == other
        }
        let histories = self.histories.len() == other.histories.len()
            && self
                .histories
                .iter()
                .zip(&other.histories)
                .all(|(mine, other)| mine.0 == other.0 && same(mine.1, other.1));
        histories && same(&self.changes, &other.changes) && self.holds(other)
    }
}

pub fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Wal(WalError::Damaged(_) | WalError::NotAStore(_)))
}

/// None for damage; other errors stay.
fn told<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Err(e) if is_damage(&e) => Ok(None),
        done => done.map(Some),
    }
}

/// The records that were written, and what they come to.
pub struct Truth {
    pub places: BTreeSet<Place>,
    whole: View,
}

/// How what a store answers relates to what was written.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is just that.
    All,
    /// Some answers are just that, the others say damage.
    Damaged,
    /// It is just what the first records come to, whole commits up to this version.
    Prefix(Lsn),
    /// Neither.
    Wrong,
}

impl Truth {
    pub fn new(changes: Vec<Change>) -> Self {
        let keyed = changes.iter().filter(|change| !matches!(change.kind, Kind::Clear | Kind::Event));
        let mut places: BTreeSet<Place> = keyed.map(|c| (c.scope().into(), c.key().into())).collect();
        places.insert((Box::from(*b"\x01"), Box::from(*b"never written")));
        Self { whole: View::of(&changes, &places), places }
    }

    pub fn see(&self, view: &View) -> Seen {
        if *view == self.whole {
            return Seen::All;
        }
        if view.agrees(&self.whole) {
            return Seen::Damaged;
        }
        let (Some(seen), Some(all)) = (&view.changes, &self.whole.changes) else { return Seen::Wrong };
        let Some(first) = all.get(..seen.len()) else { return Seen::Wrong };
        if first.last().is_none_or(|change| !change.in_batch) && *view == View::of(first, &self.places) {
            Seen::Prefix(first.len() as Lsn)
        } else {
            Seen::Wrong
        }
    }
}

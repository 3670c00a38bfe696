//! Read views: many reads of one moment.

use super::cold::{Pin, whole_at};
use super::commit::free_hidden;
use super::{Store, StoreError};
use crate::env::fork;
use crate::index::{Ending, Entry, Index, Life, Moment, ScopeMap, ViewId};
use crate::record::Lsn;
use crate::sync::{Arc, Mutex, MutexGuard, Weak};
use crate::wal::{Wal, WalError};

/// The store as it was when the view was taken. Dropping it ends it; it does not keep the store open.
pub struct ReadView {
    index: Weak<Index>,
    wal: Weak<Wal>,
    id: ViewId,
    moment: Moment,
    life: Life,
    ends_us: u64,
    fork_generation: u32,
    /// Where values leave memory.
    pin: Mutex<Option<Pin>>,
}

impl Store {
    /// Takes a view of everything committed so far; of a batch it sees all or nothing. It ends by itself when `max_age_us`
    /// have passed.
    ///
    /// # Errors
    /// [`StoreError::TooManyViews`]; the store is closed.
    ///
    /// # Cost
    /// O(1). While there are views, each write keeps the entry that it replaces if a view sees it, without copying it.
    pub fn read_view(&self, max_age_us: Option<u64>) -> Result<ReadView, StoreError> {
        self.check()?;
        // Before the moment: what is cold then, the pin keeps.
        let pin = self.pin();
        let (life, clock) = (Life::default(), self.index.clock());
        let ends_us = max_age_us.map_or(u64::MAX, |max_age_us| clock.steady_us().saturating_add(max_age_us));
        let begun = self.wal.with_last_lsn(|lsn| {
            let id = self.index.undo().begin(lsn, ends_us, &life)?;
            Some((id, Moment { lsn, now_us: clock.now_us() }))
        });
        let (id, moment) = begun.ok_or(StoreError::TooManyViews)?;
        let (index, wal) = (Arc::downgrade(&self.index), Arc::downgrade(&self.wal));
        let view = ReadView {
            index,
            wal,
            id,
            moment,
            life,
            ends_us,
            fork_generation: fork::generation(),
            pin: Mutex::new(pin),
        };
        // Whoever closed the store meanwhile may not have met this view.
        self.check()?;
        Ok(view)
    }
}

impl ReadView {
    /// The last version that it sees.
    pub fn version(&self) -> Lsn {
        self.moment.lsn
    }

    /// Why it has ended; None while it lasts.
    pub fn ending(&self) -> Option<Ending> {
        let Some(index) = self.index.upgrade() else { return self.life.ending().or(Some(Ending::StoreClosed)) };
        if self.life.ending().is_none() && self.ends_us != u64::MAX && index.clock().steady_us() >= self.ends_us {
            self.end(Ending::Age);
        }
        self.life.ending()
    }

    fn is_forked(&self) -> bool {
        self.fork_generation != fork::generation()
    }

    /// Refuses when it has ended, or was taken by the parent of this process.
    ///
    /// # Errors
    /// [`StoreError::ViewEnded`]; forked.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.is_forked() {
            return Err(WalError::Forked.into());
        }
        self.ending().map_or(Ok(()), |why| Err(StoreError::ViewEnded(why)))
    }

    fn reading<R>(&self, look: impl FnOnce(&Index) -> R) -> Result<R, StoreError> {
        self.check()?;
        let index = self.index.upgrade().ok_or(StoreError::ViewEnded(Ending::StoreClosed))?;
        let found = look(&index);
        // What it needs goes away only after it has ended, so what was found before is right.
        match self.life.ending() {
            None => Ok(found),
            Some(why) => Err(StoreError::ViewEnded(why)),
        }
    }

    /// The entry of a key.
    ///
    /// # Errors
    /// [`StoreError::ViewEnded`]; forked.
    pub fn get(&self, scope: &[u8], key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.reading(|index| index.find(scope)?.get_at(key, self.moment))
    }

    /// The entries of a scope whose key starts with `prefix`, ordered by key. They stay readable when the view ends.
    ///
    /// # Errors
    /// As [`ReadView::get`].
    pub fn list(&self, scope: &[u8], prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let listed = |map: Arc<ScopeMap>| map.list_at(prefix.as_bytes(), self.moment);
        self.reading(|index| index.find(scope).map_or_else(Vec::new, listed))
    }

    /// An entry that it found, with its value.
    ///
    /// # Errors
    /// As [`ReadView::get`]; damage, or the system's.
    pub fn whole(&self, scope: &[u8], entry: Entry) -> Result<Entry, StoreError> {
        if !entry.is_cold() {
            return Ok(entry);
        }
        self.check()?;
        let wal = self.wal.upgrade().ok_or(StoreError::ViewEnded(Ending::StoreClosed))?;
        whole_at(&wal, self.pin().as_ref(), scope, entry)
    }

    /// The scopes that hold a key, in order. Cost: O(keys of the store).
    ///
    /// # Errors
    /// As [`ReadView::get`].
    pub fn scopes(&self) -> Result<Vec<Arc<ScopeMap>>, StoreError> {
        self.reading(|index| {
            let mut scopes = index.scopes();
            scopes.retain(|map| map.has_any_at(self.moment));
            scopes
        })
    }

    /// Ends it, and frees what no other view needs. Cost: O(what it retained).
    pub fn close(&self) {
        if !self.is_forked() {
            self.end(Ending::Closed);
        }
    }

    fn pin(&self) -> MutexGuard<'_, Option<Pin>> {
        self.pin.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn end(&self, why: Ending) {
        self.pin().take();
        let Some(index) = self.index.upgrade() else { return };
        let hidden = index.undo().end(self.id, why);
        if let Some(wal) = self.wal.upgrade() {
            hidden.iter().filter_map(|scope| index.find(scope)).for_each(|map| free_hidden(&wal, index.undo(), &map));
        }
    }
}

impl Drop for ReadView {
    fn drop(&mut self) {
        self.close();
    }
}

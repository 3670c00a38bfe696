//! Single writes: set, delete, clear. The version check, the version and the append are one step under the append lock.

use super::{Store, StoreError};
use crate::index::{Meta, Place, ScopeMap, Undo};
use crate::record::{Draft, Kind, Lsn, Origin, Pos, StateClass};
use crate::wal::{Append, Wal};

/// What a delete or clear did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The version of the removal; 0 when there was nothing to remove and nothing was written.
    pub lsn: Lsn,
    /// Keys removed.
    pub count: usize,
}

/// How many hidden values are freed in one go under the append lock after a clear.
const FREE_AT_ONCE: usize = 256;

pub(super) fn check_version(if_version: Option<Lsn>, at: &Place<'_>, index: usize) -> Result<(), StoreError> {
    match if_version {
        Some(expected) if expected != at.live_lsn => {
            Err(StoreError::Conflict { expected, current: at.live_lsn, index })
        }
        _ => Ok(()),
    }
}

#[inline]
pub(super) fn check_seal(draft: &Draft, at: &Place<'_>) -> Result<(), StoreError> {
    if at.is_sealed && draft.keeps_seal() { Err(StoreError::Sealed) } else { Ok(()) }
}

#[inline]
pub(super) fn meta_of(draft: &Draft, lsn: Lsn, pos: Pos, time_us: u64) -> Meta {
    let expires = draft.expires_us().is_some();
    Meta::new((lsn, pos), time_us, draft.key().len(), draft.kind(), draft.class(), expires)
}

impl Store {
    /// Stores a drafted value. Afterwards readers see it; it is acknowledgeable once [`crate::wal::Wal::acknowledge`]
    /// says so. Never waits.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when it would take the place of a sealed value and keeps seals; [`StoreError::Conflict`] when `if_version` is not the live version (0 = none); [`StoreError::Busy`] and
    /// [`StoreError::TooBig`] when the commit would have to wait; nothing was written then.
    #[inline]
    pub fn try_set(&self, map: &ScopeMap, draft: &mut Draft, if_version: Option<Lsn>) -> Result<Lsn, StoreError> {
        self.check()?;
        let time_us = self.wal.env().clock.now_us();
        let mut append = self.wal.append(draft.frame_len())?;
        let at = map.locate(draft.key());
        check_version(if_version, &at, 0)?;
        check_seal(draft, &at)?;
        let lsn = Self::put(&mut append, &at, draft, time_us);
        append.done();
        if draft.expires_us().is_some() {
            self.reaper.note();
        }
        Ok(lsn)
    }

    #[inline]
    pub(super) fn put(append: &mut Append<'_>, at: &Place<'_>, draft: &mut Draft, time_us: u64) -> Lsn {
        let (lsn, pos) = append.push(draft, time_us, at.prev_pos, 0);
        at.apply(append.token(), meta_of(draft, lsn, pos, time_us), draft.entry_bytes());
        lsn
    }

    /// Removes a key. Afterwards readers do not see it and its history goes on with a tombstone.
    ///
    /// # Errors
    /// As [`Store::try_set`].
    pub fn try_delete(
        &self,
        map: &ScopeMap,
        key: &str,
        if_version: Option<Lsn>,
        origin: Origin<'_>,
    ) -> Result<Removed, StoreError> {
        self.check()?;
        let mut draft = Draft::from(Kind::Delete, StateClass::Standard, map.scope(), key.as_bytes(), &[], origin);
        let time_us = self.wal.env().clock.now_us();
        let mut append = self.wal.append(draft.frame_len())?;
        let at = map.locate(draft.key());
        check_version(if_version, &at, 0)?;
        if at.live_lsn == 0 {
            return Ok(Removed { lsn: 0, count: 0 });
        }
        let lsn = Self::put(&mut append, &at, &mut draft, time_us);
        append.done();
        Ok(Removed { lsn, count: 1 })
    }

    /// Removes every key of a scope with one record. Afterwards no reader sees any of them; values are freed after.
    ///
    /// # Errors
    /// As [`Store::try_set`].
    ///
    /// # Cost
    /// O(1) for the removal; amortised O(1) per key for giving the memory back, in small steps.
    pub fn try_clear(&self, map: &ScopeMap, origin: Origin<'_>) -> Result<Removed, StoreError> {
        self.check()?;
        let mut draft = Draft::from(Kind::Clear, StateClass::Standard, map.scope(), &[], &[], origin);
        let time_us = self.wal.env().clock.now_us();
        let mut append = self.wal.append(draft.frame_len())?;
        let count = map.live_count();
        if count == 0 {
            return Ok(Removed { lsn: 0, count });
        }
        let (lsn, pos) = append.push(&mut draft, time_us, map.cleared().1, 0);
        let forgotten = map.apply_clear(append.token(), lsn, pos);
        append.done();
        drop(forgotten);
        if map.is_worth_freeing() {
            free_hidden(&self.wal, self.index.undo(), map);
        }
        Ok(Removed { lsn, count })
    }
}

/// Frees what clears have hidden, in small turns of the append lock; when there are read views, the last one does.
pub(super) fn free_hidden(wal: &Wal, undo: &Undo, map: &ScopeMap) {
    if undo.put_off(map.scope()) {
        return;
    }
    for keys in map.hidden_keys().chunks(FREE_AT_ONCE) {
        let freed = wal.with_token(|token| keys.iter().all(|key| map.free_hidden(token, key)));
        // A view that began meanwhile sees none of them, and the next clear frees the rest.
        if !freed && undo.put_off(map.scope()) {
            return;
        }
    }
}

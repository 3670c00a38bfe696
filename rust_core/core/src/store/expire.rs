//! What has expired gets a record, a durable tombstone, and its value is freed. Readers do not wait for that: for them
//! it is gone from the moment on.

use super::{Store, StoreError};
use crate::index::{Expiring, Index, ScopeMap};
use crate::record::{Draft, Kind, StateClass};
use crate::wal::{Refused, Wal};

/// Most records written in one turn of the append lock, so that no writer waits long for it.
const RECORDS_AT_ONCE: usize = 16;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// There was nothing to do.
    Idle,
    /// So many entries were given their record; there may be more.
    Wrote(usize),
    /// There was no room for the records; there may be now.
    Busy,
}

impl Store {
    /// When a value set now with this time to live stops being there, in microseconds since the Unix epoch.
    pub fn expires_us(&self, ttl_us: u64) -> u64 {
        self.index.clock().now_us().saturating_add(ttl_us)
    }

    /// Writes the records of everything that has expired by now; how many. A background thread does the same.
    ///
    /// # Errors
    /// The disk is full, or the store is closed or poisoned. What was written until then is written.
    pub fn expire_due(&self) -> Result<usize, StoreError> {
        self.check()?;
        let mut count = 0;
        loop {
            match step(&self.wal, &self.index)? {
                Step::Idle => return Ok(count),
                Step::Wrote(more) => count += more,
                Step::Busy => {}
            }
        }
    }
}

/// One turn of the append lock's worth of expiring.
pub(super) fn step(wal: &Wal, index: &Index) -> Result<Step, StoreError> {
    let now_us = index.clock().now_us();
    let Some(map) = index.due_scope(now_us) else { return Ok(Step::Idle) };
    let (mut bytes, mut records) = (0, Vec::new());
    for item in map.due(now_us, RECORDS_AT_ONCE) {
        let Some(draft) = draft_of(&map, &item) else { continue };
        if !records.is_empty() && (bytes + draft.frame_len()) as u64 > wal.ring_commit_bytes_max() {
            break;
        }
        bytes += draft.frame_len();
        records.push((item, draft));
    }
    if records.is_empty() {
        return Ok(Step::Wrote(0));
    }
    match write(wal, &map, bytes, &mut records) {
        Err(StoreError::Busy) => wal.make_room(bytes).map(|()| Step::Busy).map_err(Into::into),
        written => written.map(Step::Wrote),
    }
}

fn draft_of(map: &ScopeMap, item: &Expiring) -> Option<Draft> {
    map.get_expiring(item, |entry| Draft::of(Kind::Expire, StateClass::Standard, map.scope(), entry.key(), &[]))
}

fn write(wal: &Wal, map: &ScopeMap, bytes: usize, records: &mut [(Expiring, Draft)]) -> Result<usize, StoreError> {
    let time_us = wal.env().clock.now_us();
    let mut append = wal.append(bytes).map_err(|refused: Refused| StoreError::from(refused))?;
    let mut count = 0;
    for (item, draft) in records {
        let at = map.locate(draft.key());
        // Somebody may have set or removed the key meanwhile: as any compare-and-delete, this one is for its version only.
        if at.expired_lsn() == item.version() {
            Store::put(&mut append, &at, draft, time_us);
            count += 1;
        }
    }
    append.done();
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::env::clock::SimClock;
    use crate::record::Fields;
    use crate::sync::Arc;
    use crate::wal::WalOptions;

    fn set(store: &Store, map: &ScopeMap, key: &[u8], expires_us: Option<u64>) -> u64 {
        let mut draft = Draft::default();
        draft.begin(Kind::Set, StateClass::Standard, map.scope());
        draft.value_buf().extend_from_slice(b"value");
        draft.end_with(key, Fields { expires_us, ..Fields::default() });
        store.try_set(map, &mut draft, None).unwrap()
    }

    #[test]
    fn a_key_that_was_set_anew_between_the_look_and_the_write_stays() {
        let clock = Arc::new(SimClock::at(1000));
        let env = Env { clock: Arc::clone(&clock) as _, threads: false, ..Env::memory() };
        let store = Store::open(env, WalOptions::default()).unwrap();
        let map = store.scope(b"scope");
        for key in [&b"anew"[..], b"anew, expired", b"deleted", b"left"] {
            set(&store, &map, key, Some(1010));
        }
        clock.advance_us(10);
        let mut records: Vec<_> =
            map.due(1010, 9).into_iter().map(|item| (item, draft_of(&map, &item).unwrap())).collect();
        let anew = set(&store, &map, b"anew", None);
        let expired_anew = set(&store, &map, b"anew, expired", Some(1005));
        assert_eq!(write(&store.wal, &map, 4096, &mut records).unwrap(), 2);
        assert_eq!(map.get(b"anew", |entry| entry.meta().lsn), Some(anew));
        let left = map.due(1010, 9);
        assert_eq!(left.iter().map(Expiring::version).collect::<Vec<_>>(), [expired_anew]);
        assert_eq!((store.expire_due().unwrap(), map.live_count()), (1, 1));
    }
}

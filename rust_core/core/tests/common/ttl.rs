//! Entries that expire, on a clock that the test moves.

use std::sync::Arc;

use spellkeep_core::env::Env;
use spellkeep_core::env::clock::SimClock;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::record::{Draft, Fields, Kind, Lsn, StateClass};
use spellkeep_core::store::{Batch, Op, Store, StoreError};

use super::{env, retry};

thread_local! {
    static CLOCK: Arc<SimClock> = clock();
}

/// The clock of every simulated store that this thread opens. It moves when a workload says so.
pub fn sim_clock() -> Arc<SimClock> {
    CLOCK.with(Arc::clone)
}

/// Some day in 2023.
pub const DAY_US: u64 = 1_700_000_000_000_000;

pub fn clock() -> Arc<SimClock> {
    Arc::new(SimClock::at(DAY_US))
}

pub fn env_at(disk: &MemDisk, clock: &Arc<SimClock>) -> Env {
    Env { clock: Arc::clone(clock) as _, ..env(disk) }
}

pub fn draft_until(scope: &[u8], key: &str, value: &[u8], expires_us: Option<u64>) -> Draft {
    let mut draft = Draft::default();
    draft.begin(Kind::Set, StateClass::Standard, scope);
    draft.value_buf().extend_from_slice(value);
    draft.end_with(key.as_bytes(), Fields { expires_us, ..Fields::default() });
    draft
}

/// A set of a value that lives for `ttl_us`, acknowledged when it returns Ok.
pub fn set_ttl(store: &Store, scope: &[u8], key: &str, value: &[u8], ttl_us: u64) -> Result<Lsn, StoreError> {
    let map = store.scope(scope);
    let mut draft = draft_until(scope, key, value, Some(store.expires_us(ttl_us)));
    let lsn = match retry(store, draft.frame_len(), || store.try_set(&map, &mut draft, None)) {
        Err(StoreError::TooBig) => {
            let mut batch = Batch::default();
            batch.push(Op { map, draft, if_version: None });
            store.batch(&mut batch)?[0]
        }
        done => done?,
    };
    store.wal().acknowledge(lsn)?;
    Ok(lsn)
}

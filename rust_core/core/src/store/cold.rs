//! Cold values: their keys are in memory, and they themselves are where the log or a snapshot has them.

use super::checkpoint::Checkpointer;
use super::pins::Pins;
use super::{Store, StoreError};
use crate::checkpoint::{SnapshotError, SnapshotReader};
use crate::index::{Entry, Index, Meta, ScopeMap};
use crate::record::{Frame, Pos};
use crate::sync::Arc;
use crate::wal::{Damage, Wal, WalError};

/// Values that leave memory in one turn of the append lock.
const FREEZE_AT_ONCE: usize = 64;
/// So often a value may move on between the look at its key and the read.
const TRIES: usize = 100;

/// Keeps the log and the snapshot that were there when it was made, so that what was cold then can still be read.
pub struct Pin {
    pins: Arc<Pins>,
    number: u64,
    log_start: Pos,
    reader: Option<SnapshotReader>,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.pins.end(self.number);
    }
}

/// The entry of a frame, with its value.
fn entry_of(frame: &Frame<'_>, pos: Pos) -> Entry {
    let expires = frame.fields.expires_us.is_some();
    let meta = Meta::new((frame.lsn, pos), frame.time_us, frame.key().len(), frame.kind, frame.class, expires);
    Entry::new(meta, frame.entry_bytes())
}

/// Reads the version that a cold entry names: from the log, or from the snapshot where the log is gone. None when neither
/// has it (any more).
fn fetch(
    wal: &Wal,
    scope: &[u8],
    entry: &Entry,
    log_start: Pos,
    reader: Option<&SnapshotReader>,
) -> Result<Option<Entry>, StoreError> {
    let (pos, lsn) = (entry.meta().pos, entry.meta().lsn);
    let is_it = |frame: &Frame<'_>| frame.lsn == lsn && frame.scope() == scope && frame.key() == entry.key();
    let found = |bytes: &[u8]| Frame::parse(bytes, wal.seed()).ok().filter(is_it).map(|frame| entry_of(&frame, pos));
    if pos >= log_start {
        match wal.read_written(pos) {
            Ok(bytes) => {
                let what = "a value is not where its key says";
                let damage = || Damage::new(&wal.env().disk.path_of("segments"), pos, lsn, what);
                return found(&bytes).map(Some).ok_or_else(|| WalError::from(damage()).into());
            }
            // Unless it was trimmed since.
            Err(e) if pos >= wal.log_start() => return Err(e.into()),
            Err(_) => {}
        }
    }
    let row = reader.map(|reader| reader.get(&[scope, entry.key()].concat(), pos)).transpose()?.flatten();
    Ok(row.and_then(|bytes| found(&bytes)))
}

/// An entry as a pin sees it, with its value.
pub(super) fn whole_at(wal: &Wal, pin: Option<&Pin>, scope: &[u8], entry: Entry) -> Result<Entry, StoreError> {
    if !entry.is_cold() {
        return Ok(entry);
    }
    let (log_start, reader) = pin.map_or((wal.log_start(), None), |pin| (pin.log_start, pin.reader.as_ref()));
    let what = "a value that a key names is in no snapshot";
    fetch(wal, scope, &entry, log_start, reader)?.ok_or_else(|| nowhere(wal, what))
}

fn nowhere(wal: &Wal, what: &str) -> StoreError {
    let file = wal.env().disk.path_of(crate::checkpoint::SNAPSHOT_DIR);
    SnapshotError::Damaged { file, what: what.to_owned() }.into()
}

impl Checkpointer {
    fn pin(&self) -> Pin {
        let (number, log_start) = self.pins.begin(|| self.wal.log_start());
        let reader = self.snapshots.current().map(|snapshot| snapshot.reader());
        Pin { pins: Arc::clone(&self.pins), number, log_start, reader }
    }
}

impl Store {
    /// Keeps what is cold now readable as it is now. None where every value stays in memory.
    pub fn pin(&self) -> Option<Pin> {
        self.memory_budget_bytes.map(|_| self.keeper.checkpointer.pin())
    }

    /// The live entry of a key whose value was cold. It comes back into memory.
    ///
    /// # Errors
    /// Damage, or the system's.
    ///
    /// # Cost
    /// One or two reads of a file.
    pub fn thaw(&self, map: &ScopeMap, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        for _ in 0..TRIES {
            self.check()?;
            let Some(entry) = map.get(key, Entry::clone) else { return Ok(None) };
            if !entry.is_cold() {
                return Ok(Some(entry));
            }
            let reader = self.keeper.checkpointer.snapshots.current().map(|snapshot| snapshot.reader());
            if let Some(whole) = fetch(&self.wal, map.scope(), &entry, self.wal.log_start(), reader.as_ref())? {
                self.wal.with_token(|token| map.thaw(token, &whole));
                return Ok(Some(whole));
            }
        }
        Err(nowhere(&self.wal, "a value that a key names is in neither the log nor a snapshot"))
    }

    /// An entry of a list, with its value, as of when the pin was made.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn whole(&self, pin: Option<&Pin>, scope: &[u8], entry: Entry) -> Result<Entry, StoreError> {
        whole_at(&self.wal, pin, scope, entry)
    }

    /// Bytes of values in memory.
    pub fn resident_bytes(&self) -> usize {
        self.index.resident_bytes()
    }

    /// Lets values leave memory until they are within the budget. A background thread does the same.
    ///
    /// # Errors
    /// The log could not be written.
    pub fn evict(&self) -> Result<(), StoreError> {
        self.check()?;
        match self.memory_budget_bytes {
            Some(budget_bytes) => Ok(evict(&self.wal, &self.index, budget_bytes)?),
            None => Ok(()),
        }
    }
}

/// Lets values leave memory until an eighth of the budget is free, and has the alarm rung when it is used up again.
pub(super) fn evict(wal: &Wal, index: &Index, budget_bytes: u64) -> Result<(), WalError> {
    let budget_bytes = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
    let wanted = budget_bytes - budget_bytes / 8;
    let worth = budget_bytes / 16;
    // Writers go on meanwhile: again, as long as it is worth it.
    while index.resident_bytes() > wanted && freeze_all(wal, index, wanted)? > worth {}
    // Where little could go, not every write shall ring.
    let limit = budget_bytes.max(index.resident_bytes() + worth);
    wal.with_token(|token| index.ring_above(token, limit));
    Ok(())
}

/// Goes once over all keys, until no more than `wanted` bytes are left; how many bytes have left.
fn freeze_all(wal: &Wal, index: &Index, wanted: usize) -> Result<usize, WalError> {
    let below = wal.last_lsn();
    wal.ensure_written(below)?;
    let mut left = 0;
    for map in index.scopes() {
        let mut hand = 0;
        loop {
            for some in map.evictable(&mut hand, below).chunks(FREEZE_AT_ONCE) {
                left += wal
                    .with_token(|token| -> usize { some.iter().map(|(key, lsn)| map.freeze(token, key, *lsn)).sum() });
                if index.resident_bytes() <= wanted {
                    return Ok(left);
                }
            }
            if hand == 0 {
                break;
            }
        }
    }
    Ok(left)
}

//! Reading the past: the records of one key, newest first, and all records in order.

use std::ops::Range;

use super::{Store, StoreError};
use crate::index::{Entry, ScopeMap};
use crate::record::{Frame, Kind, Lsn, Pos, StateClass};
use crate::wal::{Damage, Scan, WalError};

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its version.
    pub lsn: Lsn,
    /// When, in wall-clock microseconds since the Unix epoch.
    pub time_us: u64,
    /// Set, delete, expiry, or clear of the whole scope.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
    /// Whether a batch goes on with the next change.
    pub in_batch: bool,
    /// Encoded scope.
    pub scope: Box<[u8]>,
    /// Key; empty for a clear.
    pub key: Box<[u8]>,
    /// Encoded value; empty unless it was set.
    pub value: Box<[u8]>,
    /// When the value stops being there, in wall-clock microseconds since the Unix epoch; None: never.
    pub expires_us: Option<u64>,
    prev_pos: Pos,
}

impl From<&Frame<'_>> for Change {
    fn from(frame: &Frame<'_>) -> Self {
        Self {
            lsn: frame.lsn,
            time_us: frame.time_us,
            kind: frame.kind,
            class: frame.class,
            in_batch: !frame.ends_commit(),
            scope: frame.scope().into(),
            key: frame.key().into(),
            value: frame.value().into(),
            expires_us: frame.fields.expires_us,
            prev_pos: frame.prev_pos,
        }
    }
}

impl Change {
    /// The one that a live entry comes from. Of its batch nothing is known.
    fn of_entry(scope: &[u8], entry: &Entry) -> Self {
        let meta = entry.meta();
        Self {
            lsn: meta.lsn,
            time_us: meta.time_us,
            kind: Kind::Set,
            class: meta.class,
            in_batch: false,
            scope: scope.into(),
            key: entry.key().into(),
            value: entry.value().into(),
            expires_us: entry.expires_us(),
            prev_pos: 0,
        }
    }
}

impl Store {
    fn change_at(&self, pos: Pos, lsns: Range<Lsn>, scope: &[u8], key: &[u8]) -> Result<Change, StoreError> {
        let bytes = self.wal.read(pos)?;
        // `Wal::read` has verified the checksums; a record of another key here would be a wrong locator.
        match Frame::parse(&bytes, self.wal.seed()) {
            Ok(frame) if lsns.contains(&frame.lsn) && frame.scope() == scope && frame.key() == key => {
                Ok((&frame).into())
            }
            _ => {
                let what = format!("the record before version {} of a key is not where its locator says", lsns.end);
                Err(WalError::from(Damage::new(&self.wal.env().disk.path_of("segments"), pos, 0, what)).into())
            }
        }
    }

    /// None when the log was trimmed past `pos` while it was read.
    fn kept(&self, read: Result<Change, StoreError>, pos: Pos) -> Result<Option<Change>, StoreError> {
        match read {
            Err(_) if pos < self.wal.log_start() => Ok(None),
            read => read.map(Some),
        }
    }

    /// The changes of one key that the log still has, newest first, at most `limit`; a clear of the scope counts when it
    /// removed the key. The change that a live value comes from is there even when the log has none.
    ///
    /// # Errors
    /// Damage, or the system's.
    ///
    /// # Cost
    /// One log read per change and per clear of the scope. No lock that writers use is held.
    pub fn history(&self, map: &ScopeMap, key: &str, limit: usize) -> Result<Vec<Change>, StoreError> {
        self.check()?;
        let (scope, key) = (map.scope(), key.as_bytes());
        // The record first: a clear that comes in between then stands above it, and none below it is missed.
        let (last, mut pos) = map.last_record(key, |entry| (entry.meta().lsn, entry.meta().pos)).unwrap_or((0, 0));
        let mut lsns = last..last + 1;
        let mut clear_pos = map.cleared().1;
        let mut clear_lsns = 1..Lsn::MAX;
        let mut clear: Option<Change> = None;
        let mut below = Lsn::MAX;
        let mut changes = Vec::new();
        while pos >= self.wal.log_start() && changes.len() < limit {
            let Some(change) = self.kept(self.change_at(pos, lsns, scope, key), pos)? else { break };
            let mut cleared_by = None;
            // The oldest clear above this record is the one that removed it.
            loop {
                if clear.is_none() && clear_pos >= self.wal.log_start() {
                    clear = self.kept(self.change_at(clear_pos, clear_lsns.clone(), scope, &[]), clear_pos)?;
                    (clear_pos, clear_lsns) = clear.as_ref().map_or((0, 1..1), |c| (c.prev_pos, 1..c.lsn));
                }
                match clear.take() {
                    Some(c) if c.lsn > change.lsn => cleared_by = Some(c),
                    older => {
                        clear = older;
                        break;
                    }
                }
            }
            if let Some(clear) = cleared_by.filter(|c| change.kind == Kind::Set && c.lsn < below) {
                changes.push(clear);
            }
            (pos, below, lsns) = (change.prev_pos, change.lsn, 1..change.lsn);
            changes.push(change);
        }
        if changes.is_empty() && last != 0 && limit > 0 {
            // Its record has left the log; what lives is known all the same.
            changes.extend(self.thaw(map, key)?.map(|entry| Change::of_entry(scope, &entry)));
        }
        changes.truncate(limit);
        Ok(changes)
    }

    /// All changes with a version above `since`, oldest first, of every scope; above 0: all that the log has.
    ///
    /// # Errors
    /// [`WalError::Trimmed`] when the log no longer goes back to `since`.
    pub fn changes(&self, since: Lsn) -> Result<Changes, StoreError> {
        self.check()?;
        let first_lsn = self.wal.first_lsn();
        if since != 0 && since < first_lsn - 1 {
            return Err(WalError::Trimmed { first_lsn }.into());
        }
        Ok(Changes(self.wal.scan(since)))
    }
}

/// A cursor over committed changes.
pub struct Changes(Scan);

impl Changes {
    /// The next change; None when there is none yet.
    ///
    /// # Errors
    /// Damage, or the system's; the cursor stays where it is.
    pub fn next_change(&mut self) -> Result<Option<Change>, StoreError> {
        loop {
            match self.0.next(|frame, _| (frame.kind != Kind::Skip).then(|| Change::from(frame)))? {
                Some(None) => {}
                Some(change) => return Ok(change),
                None => return Ok(None),
            }
        }
    }
}

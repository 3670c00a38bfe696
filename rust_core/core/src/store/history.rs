//! Reading the past: the records of one key, newest first, and all records in order.

use std::ops::Range;

use super::{Store, StoreError};
use crate::index::{Entry, ScopeMap};
use crate::record::{Frame, Kind, Lsn, Origin, Pos, StateClass};
use crate::wal::{Damage, Scan, WalError};

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its version.
    pub lsn: Lsn,
    /// When, in wall-clock microseconds since the Unix epoch.
    pub time_us: u64,
    /// Set, delete, expiry, clear of the whole scope, or event.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
    /// Whether a batch goes on with the next change.
    pub in_batch: bool,
    /// When the value stops being there, in wall-clock microseconds since the Unix epoch; None: never.
    pub expires_us: Option<u64>,
    /// Where in the log its record stands, for [`Store::change_of`]; 0 when it was not read from there.
    pub pos: Pos,
    prev_pos: Pos,
    /// Scope, value, key, origin, side by side: a feed makes many of these, each with one piece of memory.
    body: Box<[u8]>,
    scope_end: usize,
    value_end: usize,
    key_end: usize,
}

impl From<&Frame<'_>> for Change {
    fn from(frame: &Frame<'_>) -> Self {
        Self {
            lsn: frame.lsn,
            time_us: frame.time_us,
            kind: frame.kind,
            class: frame.class,
            in_batch: !frame.ends_commit(),
            expires_us: frame.fields.expires_us,
            prev_pos: frame.prev_pos,
            ..Self::made(frame.scope(), frame.key(), frame.value(), frame.fields.origin)
        }
    }
}

impl Change {
    /// Encoded scope.
    pub fn scope(&self) -> &[u8] {
        &self.body[..self.scope_end]
    }

    /// Key; empty for a clear; of an event its type.
    pub fn key(&self) -> &[u8] {
        &self.body[self.value_end..self.key_end]
    }

    /// Encoded value; empty where the kind has none.
    pub fn value(&self) -> &[u8] {
        &self.body[self.scope_end..self.value_end]
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin<'_> {
        Origin::of(&self.body[self.key_end..])
    }

    /// One of these parts, its other fields to be set.
    fn made(scope: &[u8], key: &[u8], value: &[u8], origin: Origin<'_>) -> Self {
        let (scope_end, value_end) = (scope.len(), scope.len() + value.len());
        Self {
            lsn: 0,
            time_us: 0,
            kind: Kind::Set,
            class: StateClass::Standard,
            in_batch: false,
            expires_us: None,
            pos: 0,
            prev_pos: 0,
            body: [scope, value, key, origin.bytes()].concat().into(),
            scope_end,
            value_end,
            key_end: value_end + key.len(),
        }
    }

    /// One of these parts, its other fields to be set; None when the last is no origin.
    pub fn of_parts(scope: &[u8], key: &[u8], value: &[u8], origin: &[u8]) -> Option<Self> {
        Origin::read(origin).map(|origin| Self::made(scope, key, value, origin))
    }

    /// Whether both say the same, wherever they were read.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let head = |c: &Self| (c.lsn, c.time_us, c.kind, c.class, c.in_batch, c.expires_us);
        let ends = |c: &Self| (c.scope_end, c.value_end, c.key_end);
        head(self) == head(other) && ends(self) == ends(other) && self.body == other.body
    }

    /// The one that a live entry comes from. Of its batch and its origin nothing is known.
    fn of_entry(scope: &[u8], entry: &Entry) -> Self {
        let meta = entry.meta();
        let (lsn, time_us, class, expires_us) = (meta.lsn, meta.time_us, meta.class, entry.expires_us());
        Self { lsn, time_us, class, expires_us, ..Self::made(scope, entry.key(), entry.value(), Origin::NONE) }
    }
}

impl Store {
    fn change_at(&self, pos: Pos, lsns: Range<Lsn>, scope: &[u8], key: &[u8]) -> Result<Change, StoreError> {
        let bytes = self.wal.read(pos)?;
        // `Wal::read` has verified the checksums; a record of another key here would be a wrong locator.
        let of_the_key = |frame: &Frame<'_>| {
            // An event may be called as a key is.
            frame.kind.changes_entries() && frame.scope() == scope && frame.key() == key
        };
        match Frame::parse(&bytes, self.wal.seed()) {
            Ok(frame) if lsns.contains(&frame.lsn) && of_the_key(&frame) => Ok(Change { pos, ..Change::from(&frame) }),
            _ => {
                let what = format!("the record before version {} of a key is not where its locator says", lsns.end);
                Err(WalError::from(Damage::new(&self.wal.env().disk.path_of("segments"), pos, 0, what)).into())
            }
        }
    }

    /// The change with a version, whose record stands at `pos`.
    ///
    /// # Errors
    /// [`WalError::Trimmed`] when the log no longer goes back to it; damage when another record stands there.
    ///
    /// # Cost
    /// One or two reads.
    pub fn change_of(&self, lsn: Lsn, pos: Pos) -> Result<Change, StoreError> {
        self.check()?;
        let bytes = self.wal.read(pos)?;
        match Frame::parse(&bytes, self.wal.seed()) {
            Ok(frame) if frame.lsn == lsn => Ok(Change { pos, ..Change::from(&frame) }),
            _ => {
                let what = format!("the record of version {lsn} is not where it was read before");
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
            changes.extend(self.last_change(map, key)?);
        }
        changes.truncate(limit);
        Ok(changes)
    }

    /// The change that a live value comes from, when its record has left the log: the snapshot has it. A store in memory
    /// has none, and so nobody knows where it came from.
    fn last_change(&self, map: &ScopeMap, key: &[u8]) -> Result<Option<Change>, StoreError> {
        let Some(entry) = self.thaw(map, key)? else { return Ok(None) };
        let reader = self.keeper.checkpointer.snapshots.current().map(|snapshot| snapshot.reader());
        let place = [map.scope(), key].concat();
        let row = reader.map(|reader| reader.get(&place, entry.meta().pos)).transpose()?.flatten();
        let frame = row.as_ref().and_then(|bytes| Frame::parse(bytes, self.wal.seed()).ok());
        let same = frame.filter(|frame| frame.lsn == entry.meta().lsn);
        Ok(Some(same.map_or_else(|| Change::of_entry(map.scope(), &entry), |frame| Change::from(&frame))))
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
            match self.0.next(|frame, pos| (frame.kind != Kind::Skip).then(|| Change { pos, ..Change::from(frame) }))? {
                Some(None) => {}
                Some(change) => return Ok(change),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::record::Draft;
    use crate::wal::WalOptions;

    /// It was read from the start of its segment each time, so that who asked again and again read ever more.
    #[test]
    fn a_start_near_the_end_of_a_long_segment_is_found_at_once() {
        let store = Store::open(Env { threads: false, ..Env::memory() }, WalOptions::default()).unwrap();
        let map = store.scope(b"scope");
        let mut last = 0;
        for i in 0..6000_u32 {
            let key = (i % 50).to_le_bytes();
            let mut draft = Draft::of(Kind::Set, StateClass::Standard, map.scope(), &key, &[7; 1000]);
            last = store.try_set(&map, &mut draft, None).unwrap();
            if i % 100 == 0 {
                store.wal.drain(true).unwrap();
            }
        }
        let left = |since| store.wal.end() - store.changes(since).unwrap().0.pos();
        assert!(store.wal.stats().segment_count == 1 && left(0) > 6_000_000);
        assert!(left(last) < 600_000, "{} bytes to read for nothing", left(last));
        assert!((3_000_000..3_600_000).contains(&left(last / 2)), "{} bytes for half of it", left(last / 2));
    }
}

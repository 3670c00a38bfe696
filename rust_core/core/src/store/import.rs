//! Taking records over from another log, with their times.

use super::{Store, StoreError};
use crate::record::{Draft, FLAG_BATCH, FLAG_BATCH_LAST, Frame, Kind, Lsn, Pos};
use crate::store::commit::meta_of;
use crate::sync::WriteToken;
use crate::wal::Refused;

/// A record of another log.
pub(super) struct Imported {
    draft: Draft,
    time_us: u64,
    lsn: Lsn,
}

impl From<&Frame<'_>> for Imported {
    fn from(frame: &Frame<'_>) -> Self {
        let mut draft = Draft::default();
        draft.begin(frame.kind, frame.class, frame.scope());
        draft.value_buf().extend_from_slice(frame.value());
        draft.end_with(frame.key(), frame.fields);
        Self { draft, time_us: frame.time_us, lsn: frame.lsn }
    }
}

impl Store {
    /// Appends records as one commit, with their times, and with their versions when `keep_versions`.
    ///
    /// # Errors
    /// The system's; nothing was written then.
    pub(super) fn import(&self, records: &mut [Imported], keep_versions: bool) -> Result<(), StoreError> {
        let Some(first) = records.first() else { return Ok(()) };
        if keep_versions {
            self.wal.skip_versions(first.lsn);
        }
        let bytes = records.iter().map(|record| record.draft.frame_len()).sum();
        let mut append = loop {
            match self.wal.append(bytes) {
                Ok(append) => break append,
                Err(Refused::Busy) => self.make_room(bytes)?,
                Err(Refused::TooBig) => return self.import_big(records),
                Err(Refused::Failed(e)) => return Err(e.into()),
            }
        };
        let count = records.len();
        let mut placed = Vec::with_capacity(count);
        for (i, record) in records.iter_mut().enumerate() {
            let flags = match count - i {
                1 if count == 1 => 0,
                1 => FLAG_BATCH_LAST,
                _ => FLAG_BATCH,
            };
            let prev_pos = self.prev_pos(&record.draft);
            placed.push(append.push(&mut record.draft, record.time_us, prev_pos, flags));
        }
        for (record, (lsn, pos)) in records.iter().zip(placed) {
            self.put_imported(append.token(), &record.draft, lsn, pos, record.time_us);
        }
        append.done();
        Ok(())
    }

    fn import_big(&self, records: &mut [Imported]) -> Result<(), StoreError> {
        let gate = loop {
            match self.wal.gate()? {
                Some(gate) => break gate,
                None => self.wal.drain(false)?,
            }
        };
        let prev: Vec<Pos> = records.iter().map(|record| self.prev_pos(&record.draft)).collect();
        let time_us = records[0].time_us;
        let mut drafts: Vec<Draft> = records.iter_mut().map(|record| std::mem::take(&mut record.draft)).collect();
        gate.commit(&mut drafts, &prev, time_us, |token, first, positions, drafts| {
            for (i, draft) in drafts.iter().enumerate() {
                self.put_imported(token, draft, first + i as Lsn, positions[i], time_us);
            }
        })?;
        Ok(())
    }

    fn prev_pos(&self, draft: &Draft) -> Pos {
        if !draft.kind().changes_entries() {
            return 0;
        }
        let map = self.index.scope(draft.scope());
        if draft.kind() == Kind::Clear { map.cleared().1 } else { map.locate(draft.key()).prev_pos }
    }

    fn put_imported(&self, token: &mut WriteToken, draft: &Draft, lsn: Lsn, pos: Pos, time_us: u64) {
        if !draft.kind().changes_entries() {
            return;
        }
        let map = self.index.scope(draft.scope());
        if draft.kind() == Kind::Clear {
            drop(map.apply_clear(token, lsn, pos));
        } else {
            map.locate(draft.key()).apply(token, meta_of(draft, lsn, pos, time_us), draft.entry_bytes());
        }
    }
}

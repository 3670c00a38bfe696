//! A row of a snapshot: a record as the log had it, whole, and where it stood.

use std::collections::btree_map::Entry;

use super::Rows;
use crate::record::le::u64_at;
use crate::record::{Frame, Kind, Pos};

/// Bytes before the frame: its position in the log.
pub(super) const POS_BYTES: usize = 8;

/// One verified row.
pub struct Row<'a> {
    /// Where the record stood in the log.
    pub pos: Pos,
    /// The record.
    pub frame: Frame<'a>,
}

impl<'a> Row<'a> {
    /// The row of a frame.
    pub fn encode(pos: Pos, frame: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POS_BYTES + frame.len());
        Self::fill(&mut bytes, pos, frame);
        bytes
    }

    fn fill(bytes: &mut Vec<u8>, pos: Pos, frame: &[u8]) {
        bytes.clear();
        bytes.extend_from_slice(&pos.to_le_bytes());
        bytes.extend_from_slice(frame);
    }

    /// Puts the row of a frame where it belongs, in place of the one that is there; how many bytes more are held then.
    pub fn put(rows: &mut Rows, pos: Pos, frame: &Frame<'_>) -> usize {
        match rows.entry(Self::place_of(frame)) {
            Entry::Vacant(free) => {
                let place_bytes = free.key().len();
                place_bytes + free.insert(Self::encode(pos, frame.bytes())).capacity()
            }
            Entry::Occupied(mut taken) => {
                let room = taken.get().capacity();
                Self::fill(taken.get_mut(), pos, frame.bytes());
                taken.get().capacity() - room
            }
        }
    }

    /// Verifies the row at the start of `bytes`; what follows it is ignored. None when it is not what was written.
    pub(super) fn read(bytes: &'a [u8], seed: u64) -> Option<Self> {
        let frame = Frame::parse(bytes.get(POS_BYTES..)?, seed).ok()?;
        Some(Self { pos: u64_at(bytes, 0), frame })
    }

    /// Bytes of it.
    pub(super) fn len(&self) -> usize {
        POS_BYTES + self.frame.bytes().len()
    }

    /// Verifies a row that stands at `place`; None when it is not what was written there.
    pub fn parse(place: &[u8], bytes: &'a [u8], seed: u64) -> Option<Self> {
        let frame = Frame::parse(bytes.get(POS_BYTES..)?, seed).ok()?;
        let whole = frame.bytes().len() + POS_BYTES == bytes.len();
        let there = place.strip_prefix(frame.scope()) == Some(frame.key());
        (whole && there).then_some(Self { pos: u64_at(bytes, 0), frame })
    }

    /// Where the frame of a row is placed: its encoded scope, then its key.
    pub fn place_of(frame: &Frame<'_>) -> Vec<u8> {
        [frame.scope(), frame.key()].concat()
    }

    /// Position and kind of a stored row, without verifying it.
    pub(super) fn peek(bytes: &[u8]) -> Option<(Pos, Kind)> {
        const KIND_AT: usize = 52;
        let kind = bytes.get(POS_BYTES + KIND_AT).and_then(|kind| Kind::from_byte(*kind))?;
        Some((u64_at(bytes, 0), kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Draft, Seal, StateClass};

    const SCOPE: &[u8] = b"\x04scout\0\0";
    const SEED: u64 = 9;

    #[test]
    fn a_row_that_is_not_what_was_written_there_is_not_believed() {
        let (lsn, seed) = (1, SEED);
        let seal = Seal { lsn, time_us: 2, prev_pos: 0, epoch: 1, prev_sum: 0, unsynced_count: 0, flags: 0, seed };
        let mut draft = Draft::of(Kind::Set, StateClass::Standard, SCOPE, b"key", b"value");
        let row = Row::encode(640, draft.seal(&seal).0);
        let place = [SCOPE, b"key"].concat();
        assert!(Row::parse(&place, &row, SEED).is_some_and(|row| row.pos == 640 && row.frame.value() == b"value"));
        // Another key, another scope that ends where the key begins, another store.
        assert!(Row::parse(&[SCOPE, b"kez"].concat(), &row, SEED).is_none());
        assert!(Row::parse(&[SCOPE, b"keys"].concat(), &row, SEED).is_none());
        assert!(Row::parse(b"\x01key", &row, SEED).is_none());
        assert!(Row::parse(&place, &row, SEED + 1).is_none());
        // Cut off anywhere, or with something behind it.
        assert!((0..row.len()).all(|len| Row::parse(&place, &row[..len], SEED).is_none()));
        assert!(Row::parse(&place, &[&row[..], &[0; 8]].concat(), SEED).is_none());
    }

    #[test]
    fn rows_are_counted_by_what_they_hold_whichever_record_of_a_key_comes_last() {
        let (mut rows, mut bytes) = (Rows::new(), 0);
        for (lsn, len) in [10usize, 5000, 10, 200_000, 3000].into_iter().enumerate() {
            let (lsn, seed) = (lsn as u64 + 1, SEED);
            let seal = Seal { lsn, time_us: 2, prev_pos: 0, epoch: 1, prev_sum: 0, unsynced_count: 0, flags: 0, seed };
            for key in [b"one", b"two"] {
                let mut draft = Draft::of(Kind::Set, StateClass::Standard, SCOPE, key, &vec![7; len]);
                let frame = draft.seal(&seal).0;
                bytes += Row::put(&mut rows, 640, &Frame::parse(frame, SEED).unwrap());
                assert_eq!(rows[&[SCOPE, key].concat()], Row::encode(640, frame));
            }
            let held: usize = rows.iter().map(|(place, row)| place.len() + row.capacity()).sum();
            assert_eq!(bytes, held);
        }
        assert!(bytes > 400_000);
    }
}

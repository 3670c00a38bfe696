//! A row of a snapshot: a record as the log had it, whole, and where it stood.

use crate::record::le::u64_at;
use crate::record::{Frame, Kind, Pos};

/// Bytes before the frame: its position in the log.
const POS_BYTES: usize = 8;

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
        bytes.extend_from_slice(&pos.to_le_bytes());
        bytes.extend_from_slice(frame);
        bytes
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

//! A point of the log between two commits: what a snapshot holds everything up to, and where reading goes on.

use super::le::{id_at, u32_at, u64_at};
use super::{Frame, Kind, LOG_START, Lsn, Pos};

/// Where one commit ends and the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Version of the last record before it; 0 at the start of the log.
    pub lsn: Lsn,
    /// Position of the first byte behind that record.
    pub pos: Pos,
    /// Low half of that record's checksum: what the next one carries as `prev_sum`.
    pub sum: u32,
    /// Which opening of the store wrote that record.
    pub epoch: u32,
}

/// Whether a record of this kind and with version `next` may come after version `lsn`.
#[inline]
pub fn follows(lsn: Lsn, next: Lsn, kind: Kind) -> bool {
    next == lsn.wrapping_add(1) || (next > lsn && kind == Kind::Skip)
}

/// Bytes of a mark with the id of its store.
pub const MARK_BYTES: usize = 40;

impl Mark {
    /// Before the first record.
    pub const START: Self = Self { lsn: 0, pos: LOG_START, sum: 0, epoch: 0 };

    /// Whether a frame comes next: it names the record before it, and leaves out versions only where it says so.
    #[inline]
    pub fn precedes(&self, frame: &Frame<'_>) -> bool {
        frame.prev_sum == self.sum && frame.epoch >= self.epoch && follows(self.lsn, frame.lsn, frame.kind)
    }

    /// Goes on behind a frame that stands here.
    #[inline]
    pub fn pass(&mut self, frame: &Frame<'_>) {
        self.pos += frame.bytes().len() as u64;
        self.lsn = frame.lsn;
        self.sum = frame.sum();
        self.epoch = frame.epoch;
    }

    /// As it is stored, with the id of the store that it belongs to.
    pub fn encode(&self, store_id: &[u8; 16]) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        bytes[..16].copy_from_slice(store_id);
        bytes[16..24].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.pos.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.sum.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes
    }

    /// Reads a stored one, with the id of its store.
    pub fn decode(bytes: &[u8]) -> Option<(Self, [u8; 16])> {
        (bytes.len() == MARK_BYTES).then(|| {
            let mark = Self {
                lsn: u64_at(bytes, 16),
                pos: u64_at(bytes, 24),
                sum: u32_at(bytes, 32),
                epoch: u32_at(bytes, 36),
            };
            (mark, id_at(bytes, 0))
        })
    }
}

//! Reading committed records back: one by position, or all in order.

use super::segment::Segment;
use super::{Damage, Wal, WalError};
use crate::record::{FRAME_HEADER_BYTES, Fault, Frame, Lsn, Mark, Pos, frame_len};
use crate::sync::Arc;

/// First read of a record; most fit.
const READ_AHEAD_BYTES: usize = 1024;
/// A scan reads the log in pieces of this.
const SCAN_BYTES: usize = 256 << 10;

impl Wal {
    fn segment_of(&self, pos: Pos) -> Option<(Arc<Segment>, Pos)> {
        let catalog = self.segments();
        let index = catalog.partition_point(|s| s.header.start <= pos).checked_sub(1)?;
        let end = catalog.get(index + 1).map_or(Pos::MAX, |next| next.header.start);
        Some((Arc::clone(&catalog[index]), end))
    }

    /// Why there is no segment for a position: a wrong one, or the log was closed meanwhile.
    fn no_record(&self, pos: Pos) -> WalError {
        if self.is_closed() { WalError::Closed } else { WalError::NotAStore(format!("the log has no record at {pos}")) }
    }

    fn damage(&self, segment: &Segment, pos: Pos, what: String) -> WalError {
        Damage::new(&segment.file.path(), segment.offset(pos), 0, what).into()
    }

    /// Everything appended so far can be read from segments afterwards.
    fn written_so_far(&self) -> Result<(), WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        self.ensure_written(self.last_lsn())
    }

    /// The bytes of the record at `pos`, checksums verified. Cost: one or two reads.
    ///
    /// # Errors
    /// Damage when there is no believable record; the system's errors.
    pub fn read(&self, pos: Pos) -> Result<Vec<u8>, WalError> {
        self.written_so_far()?;
        let Some((segment, _)) = self.segment_of(pos) else { return Err(self.no_record(pos)) };
        let mut bytes = vec![0; READ_AHEAD_BYTES];
        let read = segment.file.read_full_at(&mut bytes, segment.offset(pos))?;
        bytes.truncate(read);
        let len = frame_len(&bytes, self.seed).map_err(|f| self.damage(&segment, pos, fault_text(f)))?;
        if len > bytes.len() {
            let have = bytes.len();
            bytes.resize(len, 0);
            let more = segment.file.read_full_at(&mut bytes[have..], segment.offset(pos) + have as u64)?;
            bytes.truncate(have + more);
        }
        bytes.truncate(len);
        match Frame::parse(&bytes, self.seed) {
            Ok(_) => Ok(bytes),
            Err(fault) => Err(self.damage(&segment, pos, fault_text(fault))),
        }
    }

    /// A scan over what follows a mark.
    pub fn scan_from(self: &Arc<Self>, mark: &Mark) -> Scan {
        Scan { wal: Arc::clone(self), since: mark.lsn, pos: mark.pos, buffer: Vec::new(), used: 0 }
    }

    /// A scan over all records with a version above `since`.
    pub fn scan(self: &Arc<Self>, since: Lsn) -> Scan {
        let catalog = self.segments();
        let index = catalog.partition_point(|s| s.header.first_lsn <= since.saturating_add(1)).saturating_sub(1);
        let start = catalog.get(index).map_or(crate::record::LOG_START, |s| s.header.start);
        Scan { wal: Arc::clone(self), since, pos: start, buffer: Vec::new(), used: 0 }
    }
}

/// Reads committed records in order, as far as they go at the time of each call.
pub struct Scan {
    wal: Arc<Wal>,
    since: Lsn,
    pos: Pos,
    buffer: Vec<u8>,
    used: usize,
}

impl Scan {
    /// Calls `look` with the next record and its position, or returns None at the end of the log; more may come later.
    ///
    /// # Errors
    /// Damage or the system's errors; the scan stays where it is.
    pub fn next<R>(&mut self, look: impl FnOnce(&Frame<'_>, Pos) -> R) -> Result<Option<R>, WalError> {
        let seed = self.wal.seed;
        loop {
            let there = &self.buffer[self.used..];
            let frame_bytes = match frame_len(there, seed) {
                Ok(len) if len <= there.len() => len,
                Err(fault) if there.len() >= FRAME_HEADER_BYTES => return Err(self.damage_at(self.pos, fault)),
                known => {
                    if !self.fill(known.unwrap_or(FRAME_HEADER_BYTES))? {
                        return Ok(None);
                    }
                    continue;
                }
            };
            let (start, pos) = (self.used, self.pos);
            let frame = match Frame::parse(&self.buffer[start..start + frame_bytes], seed) {
                Ok(frame) => frame,
                Err(fault) => return Err(self.damage_at(pos, fault)),
            };
            self.used += frame_bytes;
            self.pos += frame_bytes as u64;
            if frame.lsn > self.since {
                self.since = frame.lsn;
                return Ok(Some(look(&frame, pos)));
            }
        }
    }

    fn damage_at(&self, pos: Pos, fault: Fault) -> WalError {
        match self.wal.segment_of(pos) {
            Some((segment, _)) => self.wal.damage(&segment, pos, fault_text(fault)),
            None => self.wal.no_record(pos),
        }
    }

    /// Reads from the current position so that at least `wanted` bytes are there; false at the end of the log.
    fn fill(&mut self, wanted: usize) -> Result<bool, WalError> {
        self.wal.written_so_far()?;
        let end = super::held(&self.wal.drain).written;
        if self.pos >= end {
            return Ok(false);
        }
        let Some((segment, segment_end)) = self.wal.segment_of(self.pos) else {
            return Err(self.damage_at(self.pos, Fault::Empty));
        };
        let left = (end.min(segment_end) - self.pos) as usize;
        self.buffer.clear();
        self.used = 0;
        self.buffer.resize(SCAN_BYTES.max(wanted).min(left), 0);
        let read = segment.file.read_full_at(&mut self.buffer, segment.offset(self.pos))?;
        self.buffer.truncate(read);
        if read < wanted {
            return Err(self.damage_at(self.pos, Fault::Short));
        }
        Ok(true)
    }
}

pub(super) fn fault_text(fault: Fault) -> String {
    match fault {
        Fault::Empty => "zeros where a record should be",
        Fault::Header => "a record whose header does not hold",
        Fault::Short => "a record that is cut off",
        Fault::Body => "a record whose checksum does not hold",
        Fault::Unknown => "a record of a kind that this version does not know",
    }
    .to_owned()
}

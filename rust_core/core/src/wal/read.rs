//! Reading committed records back: one by position, or all in order.

use super::segment::{Segment, SegmentHeader};
use super::{Damage, Wal, WalError};
use crate::record::le::{u32_at, u64_at};
use crate::record::{FRAME_HEADER_BYTES, Fault, Frame, Kind, Lsn, Mark, Pos, frame_len};
use crate::sync::Arc;

/// First read of a record; most fit.
const READ_AHEAD_BYTES: usize = 1024;
/// A scan reads the log in pieces of this.
const SCAN_BYTES: usize = 256 << 10;

impl Wal {
    /// The segment that holds a position, open, and the header of the one after it.
    fn segment_of(&self, pos: Pos) -> Result<(Arc<Segment>, Option<SegmentHeader>), WalError> {
        let find = || self.catalog.find(pos);
        let Some((header, next)) = find() else { return Err(self.no_record(pos)) };
        let refused = match self.catalog.open(&*self.env.disk, &header) {
            Ok(segment) => return Ok((segment, next)),
            Err(refused) => refused,
        };
        if let (true, Some(next)) = (refused.is_not_found() && self.is_read_only(), next) {
            // Nothing is removed here: whoever writes the store has let its log go that far.
            self.catalog.trim(next.start);
        }
        // Or it was let go after it was found.
        Err(if find().is_some_and(|(now, _)| now == header) { refused } else { self.no_record(pos) })
    }

    /// Why there is no segment for a position: a wrong one, or the log was closed meanwhile.
    fn no_record(&self, pos: Pos) -> WalError {
        if self.is_closed() {
            return WalError::Closed;
        }
        match self.catalog.first() {
            Some(first) if pos < first.start => WalError::Trimmed { first_lsn: first.first_lsn },
            _ => WalError::NotAStore(format!("the log has no record at {pos}")),
        }
    }

    fn damage(&self, header: &SegmentHeader, pos: Pos, what: String) -> WalError {
        Damage::new(&self.env.disk.path_of(&header.name()), header.offset(pos), 0, what).into()
    }

    /// Everything appended so far can be read from segments afterwards.
    fn written_so_far(&self) -> Result<(), WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        self.ensure_written(self.last_lsn())
    }

    /// The bytes of the record at `pos`: its checksums hold, and what follows it, if that is there, continues it. Cost: one
    /// or two reads.
    ///
    /// # Errors
    /// Damage when there is no believable record, or another one than was written there; the system's errors.
    pub fn read(&self, pos: Pos) -> Result<Vec<u8>, WalError> {
        self.written_so_far()?;
        self.read_written(pos)
    }

    /// As [`Wal::read`], for a record that is known to be in a segment.
    ///
    /// # Errors
    /// As [`Wal::read`].
    pub fn read_written(&self, pos: Pos) -> Result<Vec<u8>, WalError> {
        let (segment, next) = self.segment_of(pos)?;
        let damaged = |fault| self.damage(&segment.header, pos, fault_text(fault));
        let mut bytes = vec![0; READ_AHEAD_BYTES];
        let read = segment.file.read_full_at(&mut bytes, segment.offset(pos))?;
        bytes.truncate(read);
        let len = frame_len(&bytes, self.seed).map_err(damaged)?;
        if len + FRAME_HEADER_BYTES > bytes.len() {
            // Even a length with a checksum is given memory only as far as the file goes.
            let left = segment.file.len_named()?.saturating_sub(segment.offset(pos));
            let have = bytes.len();
            bytes.resize(have.max(left.min((len + FRAME_HEADER_BYTES) as u64) as usize), 0);
            let more = segment.file.read_full_at(&mut bytes[have..], segment.offset(pos) + have as u64)?;
            bytes.truncate(have + more);
        }
        let frame = Frame::parse(&bytes, self.seed).map_err(damaged)?;
        // A record of another segment, of the same key and followed by its own successor, would pass all other checks.
        let of_segment = segment.header.first_lsn..next.map_or(Lsn::MAX, |next| next.first_lsn);
        if !of_segment.contains(&frame.lsn) {
            return Err(self.damage(&segment.header, pos, OUT_OF_PLACE.to_owned()));
        }
        let next =
            next.filter(|next| next.start == pos + len as u64).map(|next| (next.first_lsn, next.prev_sum, Kind::Set));
        let follows = next.or_else(|| {
            let rest = &bytes[len..];
            let kind = || Kind::from_byte(rest[52]).unwrap_or(Kind::Set);
            frame_len(rest, self.seed).ok().map(|_| (u64_at(rest, 8), u32_at(rest, 36), kind()))
        });
        if follows.is_some_and(|follows| !self.may_follow(frame.lsn, frame.sum(), follows)) {
            return Err(self.damage(&segment.header, pos, OUT_OF_PLACE.to_owned()));
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    /// A scan over what follows a mark.
    pub fn scan_from(self: &Arc<Self>, mark: &Mark) -> Scan {
        let (since, pos, lsn, sum) = (mark.lsn, mark.pos, mark.lsn, mark.sum);
        Scan { wal: Arc::clone(self), since, pos, lsn, sum, buffer: Vec::new(), used: 0, filled: 0 }
    }

    /// A scan over all records with a version above `since`.
    pub fn scan(self: &Arc<Self>, since: Lsn) -> Scan {
        let first = self.catalog.find_version(since);
        let (pos, lsn, sum) =
            first.map_or((crate::record::LOG_START, 0, 0), |first| (first.start, first.first_lsn - 1, first.prev_sum));
        // Nearer, where that is known.
        let near = self.feed.before(since).filter(|head| head.pos > pos);
        let (pos, lsn, sum) = near.map_or((pos, lsn, sum), |head| (head.pos, head.lsn, head.sum));
        Scan { wal: Arc::clone(self), since, pos, lsn, sum, buffer: Vec::new(), used: 0, filled: 0 }
    }
}

/// Reads committed records in order, as far as they go at the time of each call.
pub struct Scan {
    wal: Arc<Wal>,
    since: Lsn,
    pos: Pos,
    /// Version and checksum of the record before `pos`.
    lsn: Lsn,
    sum: u32,
    /// `used..filled` of it is the log from `pos` on.
    buffer: Vec<u8>,
    used: usize,
    filled: usize,
}

impl Scan {
    /// Where the next record stands.
    pub fn pos(&self) -> Pos {
        self.pos
    }

    /// Calls `look` with the next record and its position, or returns None at the end of the log; more may come later.
    ///
    /// # Errors
    /// Damage or the system's errors; the scan stays where it is.
    pub fn next<R>(&mut self, look: impl FnOnce(&Frame<'_>, Pos) -> R) -> Result<Option<R>, WalError> {
        let seed = self.wal.seed;
        loop {
            let there = &self.buffer[self.used..self.filled];
            let frame_bytes = match frame_len(there, seed) {
                Ok(len) if len <= there.len() => len,
                Err(fault) if there.len() >= FRAME_HEADER_BYTES => {
                    return Err(self.damage_at(self.pos, fault_text(fault)));
                }
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
                Err(fault) => return Err(self.damage_at(pos, fault_text(fault))),
            };
            if !self.wal.may_follow(self.lsn, self.sum, (frame.lsn, frame.prev_sum, frame.kind)) {
                return Err(self.damage_at(pos, OUT_OF_PLACE.to_owned()));
            }
            (self.lsn, self.sum) = (frame.lsn, frame.sum());
            self.used += frame_bytes;
            self.pos += frame_bytes as u64;
            if frame.lsn > self.since {
                self.since = frame.lsn;
                return Ok(Some(look(&frame, pos)));
            }
        }
    }

    fn damage_at(&self, pos: Pos, what: String) -> WalError {
        match self.wal.catalog.find(pos) {
            Some((header, _)) => self.wal.damage(&header, pos, what),
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
        let (segment, next) = self.wal.segment_of(self.pos)?;
        let end = next.map_or(end, |next| end.min(next.start));
        let left = (end - self.pos) as usize;
        let have = self.filled - self.used;
        let len = SCAN_BYTES.max(wanted).min(left).max(have);
        // What was read of a record that is cut off here is not read again.
        self.buffer.copy_within(self.used..self.filled, 0);
        (self.used, self.filled) = (0, have);
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.filled +=
            segment.file.read_full_at(&mut self.buffer[have..len], segment.offset(self.pos) + have as u64)?;
        if self.filled < wanted {
            return Err(self.damage_at(self.pos, fault_text(Fault::Short)));
        }
        Ok(true)
    }
}

const OUT_OF_PLACE: &str = "a record that belongs elsewhere in the log";

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

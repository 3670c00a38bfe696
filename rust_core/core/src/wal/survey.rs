//! A survey of the log: every byte of it is read, nothing is changed, and nothing that is found stops it.

use super::findings::{Found, Grounds, grounds};
use super::read::fault_text;
use super::ring::{Marks, Ring};
use super::segment::{SEGMENT_DIR, SegmentHeader};
use super::{Damage, WalError};
use crate::env::{Disk, OpenHow};
use crate::record::{Fault, Frame, Kind, Lsn, Mark, Pos};

/// What a survey found.
#[derive(Debug, Default)]
pub struct Survey {
    /// What is not as it was written, in the order of the log.
    pub damages: Vec<Damage>,
    /// Files read.
    pub file_count: usize,
    /// Bytes of them.
    pub byte_count: u64,
    /// Whole records.
    pub record_count: u64,
    /// The store's id, from the manifest or else from what else has it.
    pub store_id: Option<[u8; 16]>,
    /// Where the log begins.
    pub first: Option<Mark>,
    /// Where it ends.
    pub end: Option<Mark>,
    /// Stretches without a whole commit: where each begins, and the mark behind it.
    pub holes: Vec<(Pos, Mark)>,
}

impl Survey {
    /// What frames are seeded with.
    pub fn seed(&self) -> u64 {
        crate::checksum::xxh3_64(&self.store_id.unwrap_or_default())
    }
}

/// How far a survey goes.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Up to this version: what stands behind it is still being written, or is no part of the log.
    pub upto: Lsn,
    /// Whether the ring is looked at; not while its owner writes it.
    pub ring: bool,
}

/// Reads the whole log, and shows each record of a whole commit with where it stands.
///
/// # Errors
/// The system's. Damage is no error here.
///
/// # Cost
/// One sequential read of the log, a segment at a time in memory.
pub fn survey(disk: &dyn Disk, reach: Reach, see: &mut dyn FnMut(&Frame<'_>, Pos)) -> Result<Survey, WalError> {
    let mut survey = Survey::default();
    let grounds = grounds(disk, reach.ring, &mut survey)?;
    let mut walk = Walk { disk, reach, seed: survey.seed(), grounds, survey, see, ring: None };
    walk.segments()?;
    walk.end();
    Ok(walk.survey)
}

/// The id of a store, damaged or not: what its frames are known by. Zeros when nothing tells it.
///
/// # Errors
/// The system's.
pub fn store_id(disk: &dyn Disk) -> Result<[u8; 16], WalError> {
    let mut survey = Survey::default();
    grounds(disk, true, &mut survey)?;
    Ok(survey.store_id.unwrap_or_default())
}

/// Bytes of the stream from `base` on.
struct Stretch {
    bytes: Vec<u8>,
    base: Pos,
}

impl Stretch {
    fn at(&self, pos: Pos) -> &[u8] {
        pos.checked_sub(self.base).and_then(|skip| self.bytes.get(skip as usize..)).unwrap_or_default()
    }
}

struct Walk<'a> {
    disk: &'a dyn Disk,
    reach: Reach,
    seed: u64,
    grounds: Grounds,
    survey: Survey,
    see: &'a mut dyn FnMut(&Frame<'_>, Pos),
    ring: Option<Stretch>,
}

impl Walk<'_> {
    fn note(&mut self, file: String, offset: u64, len_bytes: u64, after: Lsn, next: Lsn, what: String) {
        let damage = Damage::new(&file, offset, after, what);
        self.survey.damages.push(Damage { len_bytes, next_good_lsn: next, ..damage });
    }

    fn frame<'s>(&self, stretch: &'s Stretch, cursor: &Mark) -> Result<Frame<'s>, Fault> {
        let frame = Frame::parse(stretch.at(cursor.pos), self.seed)?;
        let chains = cursor.precedes(&frame) && frame.epoch <= self.grounds.epoch_max();
        if chains { Ok(frame) } else { Err(Fault::Empty) }
    }

    /// The end of the commit at a mark; `Err` has the place in it that does not hold.
    fn commit(&self, stretch: &Stretch, from: &Mark) -> Result<Mark, (Fault, Mark)> {
        let mut cursor = *from;
        loop {
            let frame = self.frame(stretch, &cursor).map_err(|fault| (fault, cursor))?;
            cursor.pass(&frame);
            if frame.ends_commit() {
                return Ok(cursor);
            }
        }
    }

    fn show(&mut self, stretch: &Stretch, from: &Mark, to: &Mark) {
        let mut cursor = *from;
        while cursor.pos < to.pos {
            let Ok(frame) = self.frame(stretch, &cursor) else { return };
            if frame.kind != Kind::Skip {
                (self.see)(&frame, cursor.pos);
                self.survey.record_count += 1;
            }
            cursor.pass(&frame);
        }
    }

    fn segments(&mut self) -> Result<(), WalError> {
        let segments = std::mem::take(&mut self.grounds.segments);
        let mut cursor = None;
        for (index, segment) in segments.iter().enumerate() {
            let end = segments.get(index + 1).map(|next| next.header.start);
            let stretch = load(self.disk, segment, end)?;
            let start = self.begin(segment, &stretch, cursor);
            self.survey.first.get_or_insert(start);
            if start.lsn >= self.reach.upto {
                cursor = Some(start);
                break;
            }
            let (at, done) = self.walk(segment, &stretch, start, end);
            cursor = Some(at);
            if done {
                break;
            }
        }
        self.survey.end = cursor;
        Ok(())
    }

    /// The mark at the start of a segment: what its header says, or else its first record.
    fn begin(&mut self, segment: &Found, stretch: &Stretch, before: Option<Mark>) -> Mark {
        let SegmentHeader { start, first_lsn, prev_sum, .. } = segment.header;
        let told = (first_lsn > 0).then(|| Mark { lsn: first_lsn - 1, pos: start, sum: prev_sum, epoch: 0 });
        // A segment begins with a commit, so its first record is as good a beginning as any.
        let seen = || {
            let frame = Frame::parse(stretch.at(start), self.seed).ok()?;
            Some(Mark { lsn: frame.lsn.checked_sub(1)?, pos: start, sum: frame.prev_sum, epoch: 0 })
        };
        let here = told.or_else(seen);
        match (before, here) {
            (Some(before), Some(here)) if (before.pos, before.lsn, before.sum) == (here.pos, here.lsn, here.sum) => {
                before
            }
            (Some(before), Some(here)) => {
                if self.survey.holes.last().is_none_or(|(_, mark)| mark.pos != start) {
                    let what = format!("the log breaks off at byte {} of the stream, before this segment", before.pos);
                    self.note(self.disk.path_of(&segment.name), 0, 0, before.lsn, here.lsn + 1, what);
                    self.survey.holes.push((before.pos, here));
                }
                if let Some((_, mark)) = self.survey.holes.last_mut() {
                    *mark = here;
                }
                if let Some(last) = self.survey.damages.last_mut().filter(|d| d.next_good_lsn == 0) {
                    last.next_good_lsn = here.lsn + 1;
                }
                here
            }
            (None, Some(here)) => here,
            (before, None) => Mark { pos: start, ..before.unwrap_or(Mark::START) },
        }
    }

    /// Walks one segment. True when the survey has come as far as it goes.
    fn walk(&mut self, segment: &Found, stretch: &Stretch, from: Mark, end: Option<Pos>) -> (Mark, bool) {
        let mut cursor = from;
        while end.is_none_or(|end| cursor.pos < end) {
            if cursor.lsn >= self.reach.upto {
                return (cursor, true);
            }
            let (fault, at) = match self.commit(stretch, &cursor) {
                Ok(to) => {
                    self.show(stretch, &cursor, &to);
                    cursor = to;
                    continue;
                }
                Err(torn) => torn,
            };
            if let Some(to) = self.in_ring(segment, &cursor, fault) {
                cursor = to;
                continue;
            }
            let Some(next) = self.resume(stretch, at.pos, cursor.lsn) else {
                let Some(end) = end else { return (cursor, true) };
                let len = end - at.pos;
                self.note(
                    self.disk.path_of(&segment.name),
                    segment.header.offset(at.pos),
                    len,
                    cursor.lsn,
                    0,
                    fault_text(fault),
                );
                let lost = Mark { pos: end, ..cursor };
                self.survey.holes.push((cursor.pos, lost));
                return (lost, false);
            };
            let (offset, len) = (segment.header.offset(at.pos), next.pos - at.pos);
            self.note(self.disk.path_of(&segment.name), offset, len, cursor.lsn, next.lsn + 1, fault_text(fault));
            self.survey.holes.push((cursor.pos, next));
            cursor = next;
        }
        (cursor, false)
    }

    /// Goes on with a commit that the segment does not hold and the ring does.
    fn in_ring(&mut self, segment: &Found, cursor: &Mark, fault: Fault) -> Option<Mark> {
        if self.ring.is_none() {
            let (ring, _) = self.grounds.ring.as_mut()?;
            self.ring = Some(Stretch { bytes: ring.copy_from(cursor.pos), base: cursor.pos });
        }
        let stretch = self.ring.take()?;
        let done = self.commit(&stretch, cursor);
        if let Ok(to) = &done {
            if cursor.lsn < self.grounds.durable_lsn() {
                let (file, offset) = (self.disk.path_of(&segment.name), segment.header.offset(cursor.pos));
                let what = format!("{}, which the ring still has", fault_text(fault));
                self.note(file, offset, to.pos - cursor.pos, cursor.lsn, cursor.lsn + 1, what);
            }
            self.show(&stretch, cursor, to);
        }
        self.ring = Some(stretch);
        done.ok()
    }

    /// Where whole commits go on behind damage: at a record that stands alone, or behind the end of a batch.
    fn resume(&self, stretch: &Stretch, from: Pos, after: Lsn) -> Option<Mark> {
        let mut pos = from;
        let end = stretch.base + stretch.bytes.len() as u64;
        while pos < end {
            let whole = Frame::parse(stretch.at(pos), self.seed);
            let Some(frame) = whole.ok().filter(|f| f.lsn > after && f.epoch <= self.grounds.epoch_max()) else {
                pos += 8;
                continue;
            };
            let mut mark = Mark { lsn: frame.lsn - 1, pos, sum: frame.prev_sum, epoch: 0 };
            if frame.flags & (crate::record::FLAG_BATCH | crate::record::FLAG_BATCH_LAST) == 0 {
                return Some(mark);
            }
            // Its beginning may be gone, and then the rest of the batch does not count.
            match self.commit(stretch, &mark) {
                Ok(behind) => {
                    mark = behind;
                    return Some(mark);
                }
                Err((_, at)) => pos = at.pos.max(pos + 8),
            }
        }
        None
    }

    /// Says what is missing at the end.
    fn end(&mut self) {
        let (Some(end), Some(upto)) = (self.survey.end, self.grounds.must_reach(self.reach.upto)) else { return };
        if end.lsn < upto {
            let what = format!("the log ends before version {upto}, which was written");
            self.note(self.disk.path_of(SEGMENT_DIR), 0, 0, end.lsn, upto + 1, what);
        }
    }
}

fn load(disk: &dyn Disk, segment: &Found, end: Option<Pos>) -> Result<Stretch, WalError> {
    let file = disk.open(&segment.name, OpenHow::Read)?;
    let base = segment.header.start;
    let there = file.len_named()?.saturating_sub(segment.header.offset(base));
    let mut bytes = vec![0; end.map_or(there, |end| there.min(end - base)) as usize];
    let read = file.read_full_at(&mut bytes, segment.header.offset(base))?;
    bytes.truncate(read);
    Ok(Stretch { bytes, base })
}

/// A ring with its marks, where it was opened.
pub(super) type OpenRing = (Ring, Marks);

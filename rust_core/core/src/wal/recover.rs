//! Recovery: reads every segment and the ring, believes whole commits only, and tells a torn tail from damage.
//!
//! A tail is cut only when it cannot have been acknowledged, or when unsynced bytes may have been lost with the power.
//! Everything else that does not hold is damage and stops the opening.

use std::collections::VecDeque;

use super::catalog::headers_of;
use super::look::Opener;
use super::manifest::Manifest;
use super::read::fault_text;
use super::report::RecoveryReport;
use super::ring::Ring;
use super::segment::{SEGMENT_DIR, SEGMENT_VERSION, Segment, SegmentHeader};
use super::{Damage, WalError};
use crate::env::{Disk, OpenHow};
use crate::record::{FRAME_HEADER_BYTES, Fault, Frame, Kind, LOG_START, Lsn, Mark, Pos};

pub(super) struct Recovered {
    pub(super) end: Mark,
    /// Of every segment, by start.
    pub(super) headers: Vec<SegmentHeader>,
    /// The last of them, open for what comes.
    pub(super) last: Segment,
    pub(super) report: RecoveryReport,
}

/// What an opening fills. Called with the directory locked.
pub trait Replay {
    /// Starts over with what a snapshot has, and says where the log goes on from.
    ///
    /// # Errors
    /// What is there cannot be gone on from.
    fn begin(&mut self, store_id: &[u8; 16], log_start: Pos) -> Result<Mark, WalError>;

    /// Takes the next believed record, and where it stands.
    fn apply(&mut self, frame: &Frame<'_>, pos: Pos);
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

    /// The frame at the cursor, if it chains to what is believed.
    fn next(&self, cursor: &Mark, known: &Manifest) -> Result<Frame<'_>, Fault> {
        let frame = Frame::parse(self.at(cursor.pos), known.seed())?;
        if cursor.precedes(&frame) && frame.epoch <= known.epoch { Ok(frame) } else { Err(Fault::Empty) }
    }

    /// Walks one commit, a lone record or a whole batch; `Err` has the cursor behind its believable beginning.
    fn commit(&self, from: &Mark, known: &Manifest) -> Result<Mark, (Fault, Mark)> {
        let mut cursor = *from;
        loop {
            let frame = self.next(&cursor, known).map_err(|fault| (fault, cursor))?;
            cursor.pass(&frame);
            if frame.ends_commit() {
                return Ok(cursor);
            }
        }
    }

    /// Hands on each frame between two marks that [`Stretch::commit`] has verified.
    fn apply(
        &self,
        from: &Mark,
        to: &Mark,
        known: &Manifest,
        replay: &mut dyn Replay,
        report: &mut RecoveryReport,
    ) -> u64 {
        let mut cursor = *from;
        let mut count = 0;
        while cursor.pos < to.pos {
            let Ok(frame) = self.next(&cursor, known) else { break };
            if frame.kind != Kind::Skip {
                replay.apply(&frame, cursor.pos);
                report.last_lsn = frame.lsn;
                count += 1;
            }
            cursor.pass(&frame);
        }
        report.record_count += count;
        count
    }
}

/// Reads into `bytes`, whose memory the segment before it had: fresh pages would take longer than the reading.
fn load(segment: &Segment, from: Pos, end: Option<Pos>, mut bytes: Vec<u8>) -> Result<Stretch, WalError> {
    let at = segment.offset(from);
    let there = segment.file.len_named()?.saturating_sub(at);
    bytes.resize(end.map_or(there, |end| (end - from).min(there)) as usize, 0);
    let read = segment.file.read_full_at(&mut bytes, at)?;
    bytes.truncate(read);
    Ok(Stretch { bytes, base: from })
}

/// Reads the log from where a snapshot leaves off, handing on each record, and leaves a last segment that ends where the
/// log ends.
pub(super) fn recover(
    disk: &dyn Disk,
    known: &Manifest,
    ring: Option<&mut Ring>,
    replay: &mut dyn Replay,
    opener: Opener,
) -> Result<Recovered, WalError> {
    let mut headers = headers_of(disk, known)?;
    // With the first opening the store gets its first segment, before its manifest says so.
    if headers.is_empty() && known.epoch == 0 {
        let header = SegmentHeader {
            store_id: known.store_id,
            start: LOG_START,
            first_lsn: 1,
            generation: 0,
            prev_sum: 0,
            version: SEGMENT_VERSION,
        };
        Segment::create(disk, header, 0, [&[], &[]])?;
        headers.push(header);
    }
    let mut report = RecoveryReport { clean: known.clean, segment_count: headers.len(), ..RecoveryReport::default() };
    let Some((last, sealed)) = headers.split_last() else {
        return Err(Damage::new(&disk.path_of(SEGMENT_DIR), 0, 0, "every segment is missing").into());
    };
    let mut cursor = replay.begin(&known.store_id, known.log_start)?;
    let from = cursor;
    report.last_lsn = from.lsn;
    let last = Segment::open(disk, &last.name(), &known.store_id, OpenHow::Write)?;
    reaches(disk, &headers, &last, known, &from)?;
    let mut spare = Vec::new();
    for (header, next) in sealed.iter().zip(headers.iter().skip(1)) {
        let segment = Segment::reopen(disk, header)?;
        if next.start <= from.pos {
            // All of it is in the snapshot; it is kept for histories, which verify what they read.
            follows(&segment, next)?;
            continue;
        }
        begin(&segment, &cursor)?;
        let stretch = load(&segment, cursor.pos, Some(next.start), spare)?;
        while cursor.pos < next.start {
            let end = stretch.commit(&cursor, known).map_err(|(fault, at)| damage(&segment, &at, fault))?;
            stretch.apply(&cursor, &end, known, replay, &mut report);
            cursor = end;
        }
        spare = stretch.bytes;
    }
    begin(&last, &cursor)?;
    let stretch = load(&last, cursor.pos, None, spare)?;
    let mut tail = Tail { disk, known, segment: &last, stretch, ring: None, patches: Vec::new(), torn: None, opener };
    tail.walk(&mut cursor, ring, &mut report, replay);
    let durable_lsn = tail.judge(&from, &cursor, &mut report)?;
    tail.mend(&cursor, durable_lsn)?;
    Ok(Recovered { end: cursor, headers, last, report })
}

/// Refuses a log that no longer has what it must have: what was kept, and what a snapshot leaves off at.
fn reaches(
    disk: &dyn Disk,
    headers: &[SegmentHeader],
    last: &Segment,
    known: &Manifest,
    from: &Mark,
) -> Result<(), WalError> {
    let first = headers.first().map_or(LOG_START, |first| first.start);
    if first > known.log_start.min(from.pos) {
        let what = format!("the log begins at byte {first} of the stream, and was kept from {} on", known.log_start);
        return Err(Damage::new(&disk.path_of(SEGMENT_DIR), 0, from.lsn, what).into());
    }
    if last.header.start <= from.pos && last.file.len_named()? < last.offset(from.pos) {
        let what = format!("the log is cut off before version {}, which a snapshot has", from.lsn);
        return Err(Damage::new(&last.file.path(), last.file.len_named()?, from.lsn, what).into());
    }
    Ok(())
}

/// Refuses a segment that does not reach to the next one.
fn follows(segment: &Segment, next: &SegmentHeader) -> Result<(), WalError> {
    if segment.file.len_named()? < segment.offset(next.start) {
        let what = "the log breaks off before the next segment";
        return Err(Damage::new(&segment.file.path(), segment.file.len_named()?, segment.header.first_lsn, what).into());
    }
    Ok(())
}

fn begin(segment: &Segment, cursor: &Mark) -> Result<(), WalError> {
    let header = &segment.header;
    if header.start < cursor.pos && header.first_lsn <= cursor.lsn {
        return Ok(());
    }
    if (header.start, header.first_lsn, header.prev_sum) != (cursor.pos, cursor.lsn + 1, cursor.sum) {
        let what = format!("the log breaks off before this segment (byte {} of the stream)", cursor.pos);
        return Err(Damage::new(&segment.file.path(), 0, cursor.lsn, what).into());
    }
    Ok(())
}

fn damage(segment: &Segment, at: &Mark, fault: Fault) -> WalError {
    Damage::new(&segment.file.path(), segment.offset(at.pos), at.lsn, fault_text(fault)).into()
}

/// The end of the log: the last segment and what the ring holds beyond it or in place of it.
struct Tail<'a> {
    disk: &'a dyn Disk,
    known: &'a Manifest,
    segment: &'a Segment,
    stretch: Stretch,
    ring: Option<(Stretch, super::ring::Marks)>,
    /// Stretches that only the ring held, to be written to the segment.
    patches: Vec<(Pos, Vec<u8>)>,
    /// Where a commit begins believably and does not end.
    torn: Option<(Fault, Pos)>,
    opener: Opener,
}

impl Tail<'_> {
    fn walk(
        &mut self,
        cursor: &mut Mark,
        ring: Option<&mut Ring>,
        report: &mut RecoveryReport,
        replay: &mut dyn Replay,
    ) {
        let known = self.known;
        let mut ring = ring;
        loop {
            match self.stretch.commit(cursor, known) {
                Ok(end) => {
                    self.stretch.apply(cursor, &end, known, replay, report);
                    *cursor = end;
                    continue;
                }
                Err((fault, at)) => self.torn = Some((fault, at.pos)),
            }
            if let Some(ring) = ring.take() {
                self.ring = Some((Stretch { bytes: ring.copy_from(cursor.pos), base: cursor.pos }, ring.marks()));
            }
            let Some((stretch, _)) = &self.ring else { return };
            match stretch.commit(cursor, known) {
                Ok(end) => {
                    report.ring_record_count += stretch.apply(cursor, &end, known, replay, report);
                    let bytes = stretch.at(cursor.pos)[..(end.pos - cursor.pos) as usize].to_vec();
                    match self.patches.last_mut() {
                        Some((start, patch)) if *start + patch.len() as u64 == cursor.pos => patch.extend(bytes),
                        _ => self.patches.push((cursor.pos, bytes)),
                    }
                    *cursor = end;
                }
                Err((fault, at)) => {
                    if self.torn.is_none_or(|(_, pos)| pos < at.pos) {
                        self.torn = Some((fault, at.pos));
                    }
                    return;
                }
            }
        }
    }

    /// Decides whether the log may end at the cursor. Returns the last version that was certainly durable.
    fn judge(&self, from: &Mark, cursor: &Mark, report: &mut RecoveryReport) -> Result<Lsn, WalError> {
        let known = self.known;
        let (fault, torn_pos) = self.torn.unwrap_or((Fault::Empty, cursor.pos));
        let damaged = |what: String| -> Result<Lsn, WalError> {
            let offset = self.segment.offset(torn_pos);
            Err(Damage::new(&self.segment.file.path(), offset, cursor.lsn, what).into())
        };
        let marks = self.ring.as_ref().map(|(_, marks)| *marks).filter(|m| m.epoch == u64::from(known.epoch));
        let durable_lsn = known.end_lsn.max(from.lsn).max(marks.map_or(0, |m| m.synced_lsn));
        if cursor.lsn < durable_lsn {
            return damaged(format!("{}; versions up to {durable_lsn} were durable", fault_text(fault)));
        }
        if known.clean && (cursor.pos, cursor.lsn) != (known.end, known.end_lsn) {
            return damaged(format!("the log goes on behind version {}, where it was closed", known.end_lsn));
        }
        let is_written = self.opener == Opener::Onlooker;
        let same_cache = is_written || known.incarnation == self.disk.incarnation()?;
        let mut last_seen = marks.map_or(cursor.lsn, |m| m.last_lsn);
        if same_cache && last_seen > cursor.lsn {
            return damaged(format!("{}; versions up to {last_seen} were acknowledged", fault_text(fault)));
        }
        if is_written {
            // What stands behind the end came, or was coming, while this was read: everything before it had been here.
            return Ok(durable_lsn);
        }
        // A ring with marks of an earlier opening is that of one that was killed before it could append: all that it had
        // is in the manifest, and what the ring shows beyond is older. Only without a ring is the segment all there is.
        let only_segment = same_cache && self.ring.is_none();
        if fault == Fault::Unknown || (only_segment && !interrupted(self.stretch.at(torn_pos), fault)) {
            return damaged(fault_text(fault));
        }
        let ring = self.ring.as_ref().map(|(stretch, _)| stretch);
        for stretch in std::iter::once(&self.stretch).chain(ring) {
            let rest = stretch.at(torn_pos);
            for at in (0..rest.len()).step_by(8) {
                if !Frame::may_begin(&rest[at..], cursor.lsn) {
                    continue;
                }
                let Ok(frame) = Frame::parse(&rest[at..], known.seed()) else { continue };
                if frame.epoch < known.epoch {
                    continue;
                }
                // An opening writes nothing before its manifest is durable.
                if frame.epoch > known.epoch {
                    return damaged(format!("records of opening {}, later than the manifest's", frame.epoch));
                }
                if same_cache || frame.proven_durable() > cursor.lsn {
                    return damaged(format!("{}, and later records are whole", fault_text(fault)));
                }
                last_seen = last_seen.max(frame.lsn);
            }
        }
        report.lost_count = last_seen.saturating_sub(cursor.lsn);
        report.cut_bytes = self.unfinished_bytes(cursor, torn_pos);
        if report.lost_count > 0 {
            report.cut_reason = Some("power was lost before these records had been synced");
        } else if report.cut_bytes > 0 {
            report.cut_reason = Some("the last commit was interrupted before it was acknowledged");
        }
        Ok(durable_lsn)
    }

    /// Bytes of a commit that was begun at the cursor, in the segment or in the ring.
    fn unfinished_bytes(&self, cursor: &Mark, torn_pos: Pos) -> u64 {
        let rest = self.stretch.at(cursor.pos);
        let in_segment = rest.iter().rposition(|b| *b != 0).map_or(0, |last| last as u64 + 1);
        in_segment.max(torn_pos - cursor.pos)
    }

    /// Makes the last segment hold the log to its end, durably, and nothing behind it.
    ///
    /// What was not durable is written again even where the file shows it: an earlier opening's sync may have failed,
    /// and then the page cache has it, counts it as clean, and a sync alone would do nothing.
    fn mend(&mut self, cursor: &Mark, durable_lsn: Lsn) -> Result<(), WalError> {
        for (pos, bytes) in &self.patches {
            let at = (pos - self.stretch.base) as usize;
            let image = &mut self.stretch.bytes;
            image.resize(image.len().max(at + bytes.len()), 0);
            image[at..at + bytes.len()].copy_from_slice(bytes);
            self.segment.write(bytes, *pos)?;
        }
        let from = self.not_durable_from(cursor, durable_lsn);
        self.segment.write(&self.stretch.at(from)[..(cursor.pos - from) as usize], from)?;
        self.segment.file.set_len_named(self.segment.offset(cursor.pos))?;
        self.segment.file.sync_named()?;
        // An opening that was killed may have named the segment without having synced the directory.
        Ok(self.disk.sync_dir(SEGMENT_DIR)?)
    }

    /// The first position in the segment that may not be durable: each record says how far the log was when it came.
    fn not_durable_from(&self, cursor: &Mark, mut durable_lsn: Lsn) -> Pos {
        let mut pos = self.stretch.base;
        let mut open = VecDeque::new();
        while durable_lsn < cursor.lsn && pos < cursor.pos {
            let Ok(frame) = Frame::parse(self.stretch.at(pos), self.known.seed()) else { break };
            durable_lsn = durable_lsn.max(frame.proven_durable());
            open.push_back((frame.lsn, pos));
            while open.front().is_some_and(|(lsn, _)| *lsn <= durable_lsn) {
                open.pop_front();
            }
            pos += frame.bytes().len() as u64;
        }
        open.front().map_or(cursor.pos, |(_, pos)| *pos)
    }
}

/// Whether the end of a segment looks as a killed process leaves it: the beginning of a record, then zeros. Writes go in
/// order and the space is zeroed before; whoever acknowledged from a segment has nothing else to tell by.
fn interrupted(rest: &[u8], fault: Fault) -> bool {
    let written = match fault {
        Fault::Empty => 0,
        Fault::Header => FRAME_HEADER_BYTES,
        Fault::Body => rest.first_chunk().map_or(0, |len| (u32::from_le_bytes(*len) as usize).saturating_sub(8)),
        Fault::Short | Fault::Unknown => return false,
    };
    rest.get(written..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
}

//! Which segments count, and the few of their files that are open: a log of any length costs a header per segment.

use std::collections::{BTreeMap, VecDeque};

use super::WalError;
use super::manifest::Manifest;
use super::segment::{SEGMENT_DIR, Segment, SegmentHeader};
use crate::env::{Disk, OpenHow};
use crate::limits::SEALED_OPEN_MAX;
use crate::record::{Lsn, Pos};
use crate::sync::{Arc, Mutex, MutexGuard};

/// The segments that count, by start. Of several with one start the highest generation counts; half-made ones go.
pub(super) fn headers_of(disk: &dyn Disk, known: &Manifest) -> Result<Vec<SegmentHeader>, WalError> {
    let mut headers: BTreeMap<Pos, SegmentHeader> = BTreeMap::new();
    let mut manifest_is_durable = false;
    for name in disk.list(SEGMENT_DIR)? {
        let name = format!("{SEGMENT_DIR}/{name}");
        // Those that were given up: their removal may not have been durable.
        let given_up = SegmentHeader::start_in(&name).is_some_and(|start| start < known.log_start);
        if given_up && !manifest_is_durable {
            // Whoever stored it may have been killed before it was, and the one before it counts on these segments.
            disk.sync_dir("")?;
            manifest_is_durable = true;
        }
        if given_up || name.ends_with(".tmp") {
            disk.remove(&name)?;
            continue;
        }
        let header = Segment::open(disk, &name, &known.store_id, OpenHow::Read)?.header;
        // Names sort by generation within a start, so the later one replaces.
        if let Some(former) = headers.insert(header.start, header) {
            disk.remove(&former.name())?;
        }
    }
    Ok(headers.into_values().collect())
}

/// The segments of an open log. Its lock is held for a moment and never while a file is opened or read.
pub(super) struct Catalog(Mutex<State>);

struct State {
    /// By start.
    headers: Vec<SegmentHeader>,
    /// The last of them, which is written; None once the log is closed.
    last: Option<Arc<Segment>>,
    /// Sealed ones, the one that was read last in front.
    recent: VecDeque<Arc<Segment>>,
}

impl State {
    fn holds(&self, header: &SegmentHeader) -> bool {
        self.headers.binary_search_by_key(&header.start, |h| h.start).is_ok_and(|at| self.headers[at] == *header)
    }

    /// Keeps a sealed one open, in place of the one that was read the longest time ago.
    fn keep(&mut self, segment: Arc<Segment>) {
        // Of one that was trimmed or replaced meanwhile the disk shall get its space back.
        if self.holds(&segment.header) {
            self.recent.push_front(segment);
            self.recent.truncate(SEALED_OPEN_MAX);
        }
    }

    fn open(&mut self, header: &SegmentHeader) -> Option<Arc<Segment>> {
        if let Some(last) = self.last.as_ref().filter(|last| last.header == *header) {
            return Some(Arc::clone(last));
        }
        let at = self.recent.iter().position(|segment| segment.header == *header)?;
        let segment = self.recent.remove(at)?;
        self.recent.push_front(Arc::clone(&segment));
        Some(segment)
    }
}

impl Catalog {
    /// `headers` by start; the last one is that of `last`.
    pub(super) fn new(headers: Vec<SegmentHeader>, last: Arc<Segment>) -> Self {
        Self(Mutex::new(State { headers, last: Some(last), recent: VecDeque::new() }))
    }

    fn held(&self) -> MutexGuard<'_, State> {
        super::held(&self.0)
    }

    /// Segments.
    pub(super) fn len(&self) -> usize {
        self.held().headers.len()
    }

    /// The first; None once the log is closed.
    pub(super) fn first(&self) -> Option<SegmentHeader> {
        self.held().headers.first().copied()
    }

    /// Where each begins.
    pub(super) fn starts(&self) -> Vec<Pos> {
        self.held().headers.iter().map(|header| header.start).collect()
    }

    /// The one that holds a position, and the one after it.
    pub(super) fn find(&self, pos: Pos) -> Option<(SegmentHeader, Option<SegmentHeader>)> {
        let state = self.held();
        let at = state.headers.partition_point(|header| header.start <= pos).checked_sub(1)?;
        Some((state.headers[at], state.headers.get(at + 1).copied()))
    }

    /// The one that holds the first version above `since`.
    pub(super) fn find_version(&self, since: Lsn) -> Option<SegmentHeader> {
        let state = self.held();
        let at = state.headers.partition_point(|header| header.first_lsn <= since.saturating_add(1));
        state.headers.get(at.saturating_sub(1)).copied()
    }

    /// Opens one of them to be read, unless it is open.
    ///
    /// # Errors
    /// Damage when the file is no longer that segment; the system's.
    pub(super) fn open(&self, disk: &dyn Disk, header: &SegmentHeader) -> Result<Arc<Segment>, WalError> {
        if let Some(segment) = self.held().open(header) {
            return Ok(segment);
        }
        let opened = Arc::new(Segment::reopen(disk, header)?);
        let mut state = self.held();
        // Another reader may have been faster.
        if let Some(segment) = state.open(header) {
            return Ok(segment);
        }
        state.keep(Arc::clone(&opened));
        Ok(opened)
    }

    /// Goes on in `fresh`. A last one with the same start no longer counts; else it is sealed.
    pub(super) fn adopt(&self, fresh: Arc<Segment>) {
        let mut state = self.held();
        if state.headers.last().is_some_and(|last| last.start == fresh.header.start) {
            state.headers.pop();
        }
        state.headers.push(fresh.header);
        if let Some(former) = state.last.replace(fresh) {
            state.keep(former);
        }
    }

    /// Forgets and closes those that begin before `start`; returns them.
    pub(super) fn trim(&self, start: Pos) -> Vec<SegmentHeader> {
        let mut state = self.held();
        state.recent.retain(|segment| segment.header.start >= start);
        let count = state.headers.partition_point(|header| header.start < start);
        state.headers.drain(..count).collect()
    }

    /// Forgets and closes all.
    pub(super) fn clear(&self) {
        let mut state = self.held();
        (state.headers, state.last, state.recent) = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::mem::MemDisk;

    fn header(start: Pos, generation: u32) -> SegmentHeader {
        SegmentHeader { store_id: [7; 16], start, first_lsn: start, generation, prev_sum: 0, version: 2 }
    }

    fn made(disk: &MemDisk, header: SegmentHeader) -> Arc<Segment> {
        Arc::new(Segment::create(disk, header, 0, [&[], &[]]).unwrap())
    }

    fn catalog(disk: &MemDisk, count: u64) -> Catalog {
        let headers: Vec<_> = (1..=count).map(|n| header(n * 100, 0)).collect();
        let mut segments: Vec<_> = headers.iter().map(|header| made(disk, *header)).collect();
        Catalog::new(headers, segments.pop().unwrap())
    }

    #[test]
    fn a_segment_takes_up_tens_of_bytes_and_only_a_few_stay_open() {
        assert!(size_of::<SegmentHeader>() <= 48);
        let disk = MemDisk::new();
        let catalog = catalog(&disk, 100);
        for start in catalog.starts() {
            let (found, _) = catalog.find(start + 3).unwrap();
            assert_eq!(catalog.open(&disk, &found).unwrap().header, header(start, 0));
        }
        let open: Vec<Pos> = catalog.held().recent.iter().map(|segment| segment.header.start).collect();
        let newest: Vec<Pos> = (1..=99).rev().take(SEALED_OPEN_MAX).map(|n| n * 100).collect();
        assert_eq!(open, newest);
    }

    #[test]
    fn one_that_is_read_again_and_again_stays_open() {
        let disk = MemDisk::new();
        let catalog = catalog(&disk, 100);
        drop(catalog.open(&disk, &header(100, 0)).unwrap());
        // From here on it cannot be opened again.
        disk.remove(&header(100, 0).name()).unwrap();
        for n in 2..100 {
            drop(catalog.open(&disk, &header(n * 100, 0)).unwrap());
            assert!(catalog.open(&disk, &header(100, 0)).is_ok(), "it was closed after {n}");
        }
    }

    #[test]
    fn what_was_trimmed_or_replaced_is_not_kept_open_by_a_reader_that_was_late() {
        let disk = MemDisk::new();
        let catalog = catalog(&disk, 3);
        let late = catalog.open(&disk, &header(100, 0)).unwrap();
        assert_eq!(catalog.trim(200), [header(100, 0)]);
        assert_eq!(Arc::strong_count(&late), 1);
        assert!(catalog.open(&disk, &header(100, 0)).is_ok(), "its file is still there");
        assert_eq!(catalog.held().recent.len(), 0);
        let replaced = catalog.open(&disk, &header(300, 0)).unwrap();
        catalog.adopt(made(&disk, header(300, 1)));
        assert_eq!(Arc::strong_count(&replaced), 1);
        assert_eq!((catalog.find(300).unwrap().0.generation, catalog.len()), (1, 2));
    }

    #[test]
    fn a_file_that_is_no_longer_the_segment_is_not_opened() {
        let disk = MemDisk::new();
        let catalog = catalog(&disk, 2);
        let other = SegmentHeader { first_lsn: 77, ..header(100, 0) };
        disk.remove(&other.name()).unwrap();
        drop(made(&disk, other));
        assert!(matches!(catalog.open(&disk, &header(100, 0)), Err(WalError::Damaged(_))));
    }
}

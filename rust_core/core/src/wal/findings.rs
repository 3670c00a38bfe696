//! What a survey stands on: manifest, ring and segment headers, as far as they hold.

use std::collections::BTreeMap;

use super::manifest::{MANIFEST, Manifest};
use super::open::RING;
use super::ring::Ring;
use super::segment::{SEGMENT_DIR, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::survey::{OpenRing, Survey};
use super::{Damage, WalError};
use crate::env::map::HeapRegion;
use crate::env::{Disk, OpenHow};
use crate::record::{LOG_START, Lsn, Pos};

/// The files of a log, opened as far as they hold.
#[derive(Default)]
pub(super) struct Grounds {
    pub(super) manifest: Option<Manifest>,
    pub(super) ring: Option<OpenRing>,
    /// By start.
    pub(super) segments: Vec<Found>,
    same_cache: bool,
}

/// A segment's file, which is opened when it is its turn to be read.
pub(super) struct Found {
    /// One that does not hold has only its start, from the file's name.
    pub(super) header: SegmentHeader,
    pub(super) name: String,
}

impl Grounds {
    /// No record is of a later opening.
    pub(super) fn epoch_max(&self) -> u32 {
        self.manifest.map_or(u32::MAX, |manifest| manifest.epoch)
    }

    /// The marks of the ring, when they are of the last opening.
    fn marks(&self) -> Option<super::ring::Marks> {
        let epoch = self.manifest.map(|manifest| u64::from(manifest.epoch));
        self.ring.as_ref().map(|(_, marks)| *marks).filter(|marks| epoch.is_none_or(|epoch| epoch == marks.epoch))
    }

    /// The last version that segments must hold.
    pub(super) fn durable_lsn(&self) -> Lsn {
        let manifest = self.manifest.map_or(0, |manifest| manifest.end_lsn);
        manifest.max(self.marks().map_or(0, |marks| marks.synced_lsn))
    }

    /// The last version that must be there, of those up to `upto`.
    pub(super) fn must_reach(&self, upto: Lsn) -> Option<Lsn> {
        let acknowledged = self.marks().filter(|_| self.same_cache).map_or(0, |marks| marks.last_lsn);
        let last = if upto == Lsn::MAX { self.durable_lsn().max(acknowledged) } else { upto };
        (last > 0).then_some(last)
    }
}

/// Opens what there is, noting what does not hold.
pub(super) fn grounds(disk: &dyn Disk, ring: bool, survey: &mut Survey) -> Result<Grounds, WalError> {
    let mut grounds = Grounds::default();
    match Manifest::load(disk) {
        Ok(Some(manifest)) => {
            (survey.file_count, survey.byte_count) = (1, 96);
            survey.store_id = Some(manifest.store_id);
            grounds.same_cache = manifest.incarnation == disk.incarnation()?;
            grounds.manifest = Some(manifest);
        }
        Ok(None) => survey.damages.push(Damage::new(&disk.path_of(MANIFEST), 0, 0, "the manifest is missing")),
        Err(WalError::Damaged(damage)) => survey.damages.push(*damage),
        Err(e) => return Err(e),
    }
    let mut found: BTreeMap<Pos, Found> = BTreeMap::new();
    for name in disk.list(SEGMENT_DIR)? {
        let name = format!("{SEGMENT_DIR}/{name}");
        let given_up = |start: Pos| grounds.manifest.is_some_and(|manifest| start < manifest.log_start);
        if name.ends_with(".tmp") || SegmentHeader::start_in(&name).is_some_and(given_up) {
            continue;
        }
        if let Some(segment) = segment(disk, &name, survey)? {
            // Names sort by generation within a start; one whose header holds is not given up for one that does not.
            let replaces = found.get(&segment.header.start).is_none_or(|_| segment.header.first_lsn > 0);
            if replaces {
                found.insert(segment.header.start, segment);
            }
        }
    }
    grounds.segments = found.into_values().collect();
    // An opening looks at no ring after a clean close of one that was not mapped.
    if ring && disk.exists(RING)? {
        grounds.ring = open_ring(disk, survey)?;
    } else if ring && grounds.manifest.is_some_and(|manifest| manifest.mapped && !manifest.clean) {
        survey.damages.push(Damage::new(&disk.path_of(RING), 0, grounds.durable_lsn(), "the ring is missing"));
    }
    if !grounds.manifest.is_none_or(|manifest| manifest.mapped) {
        grounds.ring = None;
    }
    let first = grounds.segments.first().map_or(Pos::MAX, |first| first.header.start);
    if first > grounds.manifest.map_or(LOG_START, |manifest| manifest.log_start) && grounds.manifest.is_some() {
        survey.damages.push(Damage::new(&disk.path_of(SEGMENT_DIR), 0, 0, "the first segments are missing"));
    }
    Ok(grounds)
}

fn segment(disk: &dyn Disk, name: &str, survey: &mut Survey) -> Result<Option<Found>, WalError> {
    let file = disk.open(name, OpenHow::Read)?;
    survey.file_count += 1;
    survey.byte_count += file.len_named()?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    let read = file.read_full_at(&mut bytes, 0)?;
    let header = (read == bytes.len()).then(|| SegmentHeader::decode(&bytes)).flatten();
    let what = match header {
        Some(header) if header.store_id == *survey.store_id.get_or_insert(header.store_id) => {
            if header.name() == name {
                return Ok(Some(Found { header, name: name.to_owned() }));
            }
            "the segment was renamed"
        }
        Some(_) => "the segment belongs to another store",
        None => "the segment's header does not hold",
    };
    survey.damages.push(Damage { len_bytes: SEGMENT_HEADER_BYTES, ..Damage::new(&file.path(), 0, 0, what) });
    let store_id = survey.store_id.unwrap_or_default();
    let bare = |start| SegmentHeader { store_id, start, first_lsn: 0, generation: 0, prev_sum: 0, version: 0 };
    let header = match header {
        Some(header) => Some(header).filter(|header| header.store_id == store_id),
        None => SegmentHeader::start_in(name).map(bare),
    };
    Ok(header.map(|header| Found { header, name: name.to_owned() }))
}

fn open_ring(disk: &dyn Disk, survey: &mut Survey) -> Result<Option<OpenRing>, WalError> {
    let mut bytes = disk.copy_map(RING)?;
    survey.file_count += 1;
    survey.byte_count += bytes.len() as u64;
    if survey.store_id.is_none() && bytes.len() >= 32 {
        survey.store_id = Some(crate::record::le::id_at(&bytes, 16));
    }
    // A region is whole words: what is cut off within one is shorter still and not longer.
    bytes.truncate(bytes.len() / 8 * 8);
    let region = HeapRegion::from_bytes(&bytes, bytes.len());
    match Ring::open(Box::new(region), &survey.store_id.unwrap_or_default()) {
        Ok(ring) => {
            let marks = ring.marks();
            Ok(Some((ring, marks)))
        }
        Err(what) => {
            survey.damages.push(Damage::new(&disk.path_of(RING), 0, 0, what));
            Ok(None)
        }
    }
}

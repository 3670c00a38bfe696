//! Segments: append-only files that hold the stream from one position on. Sealed when full, never changed again.

use crate::checksum::xxh3_64;

use super::WalError;
use super::damage::Damage;
use crate::env::disk::parent;
use crate::env::{Disk, DiskFile, IoError, OpenHow};
use crate::record::le::{id_at, u32_at, u64_at};
use crate::record::{Lsn, Pos};
use crate::sync::Arc;

/// Directory of the segments.
pub const SEGMENT_DIR: &str = "segments";
/// Bytes before the first frame.
pub const SEGMENT_HEADER_BYTES: u64 = 64;
const MAGIC: &[u8; 8] = b"SPKSEG01";

/// What new segments are written in; older ones are read.
pub const SEGMENT_VERSION: u32 = 5;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store_id: [u8; 16],
    /// Stream position of its first byte after the header.
    pub start: Pos,
    /// Version of its first record.
    pub first_lsn: Lsn,
    /// Counts replacements of a segment that could not be synced; the highest one with the same start holds.
    pub generation: u32,
    /// Low half of the checksum of the last frame before it.
    pub prev_sum: u32,
    /// Version of its format.
    pub version: u32,
}

impl SegmentHeader {
    fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id);
        bytes[32..40].copy_from_slice(&self.start.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_lsn.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.prev_sum.to_le_bytes());
        let sum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Option<Self> {
        if bytes[..8] != MAGIC[..]
            || u64_at(bytes, 56) != xxh3_64(&bytes[..56])
            || !(1..=SEGMENT_VERSION).contains(&u32_at(bytes, 8))
            || u32_at(bytes, 52) != 0
        {
            return None;
        }
        Some(Self {
            store_id: id_at(bytes, 16),
            start: u64_at(bytes, 32),
            first_lsn: u64_at(bytes, 40),
            generation: u32_at(bytes, 12),
            prev_sum: u32_at(bytes, 48),
            version: u32_at(bytes, 8),
        })
    }

    /// Where a stream position stands in the file.
    pub fn offset(&self, pos: Pos) -> u64 {
        pos - self.start + SEGMENT_HEADER_BYTES
    }

    /// The file's name: it sorts by start, then generation.
    pub fn name(&self) -> String {
        format!("{SEGMENT_DIR}/{:016x}-{:04x}.seg", self.start, self.generation)
    }

    /// The start that a file's name tells.
    pub fn start_in(name: &str) -> Option<Pos> {
        let digits = name.strip_prefix(SEGMENT_DIR)?.strip_prefix('/')?.split_once('-')?.0;
        Pos::from_str_radix(digits, 16).ok()
    }
}

/// An open segment.
pub struct Segment {
    /// What it says of itself.
    pub header: SegmentHeader,
    /// The file.
    pub file: Arc<dyn DiskFile>,
}

/// Why a segment was not made.
#[derive(Debug)]
pub struct NotMade {
    /// The first thing that went wrong.
    pub error: WalError,
    /// Whether the next opening may find the segment all the same, so that the log must not go on elsewhere.
    pub may_be_found: bool,
}

impl From<NotMade> for WalError {
    fn from(not_made: NotMade) -> Self {
        not_made.error
    }
}

impl From<IoError> for NotMade {
    fn from(e: IoError) -> Self {
        Self { error: e.into(), may_be_found: false }
    }
}

impl Segment {
    /// Makes a segment that begins with `contents` and has room for `ahead_bytes`, durably. From the moment that it has
    /// its name it counts in place of whatever follows `header.start` elsewhere, so it has its contents before.
    ///
    /// # Errors
    /// The system's. A `.tmp` file that is left behind is removed by the next opening.
    pub fn create(
        disk: &dyn Disk,
        header: SegmentHeader,
        ahead_bytes: u64,
        contents: [&[u8]; 2],
    ) -> Result<Self, NotMade> {
        let name = header.name();
        let temporary = format!("{name}.tmp");
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, OpenHow::Create)?;
        let second_at = SEGMENT_HEADER_BYTES + contents[0].len() as u64;
        let made = file
            .allocate_named(SEGMENT_HEADER_BYTES + ahead_bytes)
            .and_then(|()| file.write_all_at(&header.encode(), 0))
            .and_then(|()| file.write_all_at(contents[0], SEGMENT_HEADER_BYTES))
            .and_then(|()| file.write_all_at(contents[1], second_at))
            .and_then(|()| file.sync_named());
        if let Err(e) = made {
            // The space is wanted back at once; should this fail too, the next opening removes the file.
            disk.remove(&temporary).ok();
            return Err(e.into());
        }
        let dir = parent(&name);
        if let Err(e) = disk.rename(&temporary, &name).and_then(|()| disk.sync_dir(dir)) {
            disk.remove(&temporary).ok();
            let gone = match disk.exists(&name) {
                Ok(false) => true,
                Ok(true) => disk.remove(&name).and_then(|()| disk.sync_dir(dir)).is_ok(),
                Err(_) => false,
            };
            return Err(NotMade { error: e.into(), may_be_found: !gone });
        }
        // Reopened under its lasting name, so that errors name a file that people can find.
        Ok(Self { header, file: disk.open(&name, OpenHow::Write).unwrap_or(file) })
    }

    /// Opens an existing segment of the store.
    ///
    /// # Errors
    /// Damage when the header is not one; the system's errors.
    pub fn open(disk: &dyn Disk, name: &str, store_id: &[u8; 16], how: OpenHow) -> Result<Self, WalError> {
        let file = disk.open(name, how)?;
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        let read = file.read_full_at(&mut bytes, 0)?;
        let header = (read == bytes.len()).then(|| SegmentHeader::decode(&bytes)).flatten();
        match header {
            Some(header) if header.store_id == *store_id && header.name() == name => Ok(Self { header, file }),
            Some(_) => Err(Damage::new(&file.path(), 0, 0, "the segment belongs elsewhere or was renamed").into()),
            None => Err(Damage::new(&file.path(), 0, 0, "the segment's header does not hold").into()),
        }
    }

    /// Opens, to be read, a segment that was open before: whatever has its name now must be the same one.
    ///
    /// # Errors
    /// As [`Segment::open`].
    pub fn reopen(disk: &dyn Disk, header: &SegmentHeader) -> Result<Self, WalError> {
        let segment = Self::open(disk, &header.name(), &header.store_id, OpenHow::Read)?;
        if segment.header == *header {
            return Ok(segment);
        }
        Err(Damage::new(&segment.file.path(), 0, 0, "the segment is not the one that was here before").into())
    }

    /// Where a stream position stands in the file.
    pub fn offset(&self, pos: Pos) -> u64 {
        self.header.offset(pos)
    }

    /// Writes stream bytes at their position.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, bytes: &[u8], pos: Pos) -> Result<(), WalError> {
        Ok(self.file.write_all_at(bytes, self.offset(pos))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        store_id: [9; 16],
        start: 4160,
        first_lsn: 12,
        generation: 1,
        prev_sum: 77,
        version: SEGMENT_VERSION,
    };

    #[test]
    fn a_header_reads_back_and_every_flipped_bit_of_it_is_noticed() {
        let good = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&good), Some(HEADER));
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), None, "bit {bit} passed");
        }
    }

    #[test]
    fn names_sort_like_positions() {
        let later = SegmentHeader { start: 1 << 40, ..HEADER };
        assert!(HEADER.name() < later.name());
        assert_eq!(SegmentHeader::start_in(&HEADER.name()), Some(HEADER.start));
    }
}

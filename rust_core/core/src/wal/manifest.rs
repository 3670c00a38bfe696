//! The manifest: which store this is, which opening wrote last, and how far the log had come for certain.

use crate::checksum::xxh3_64;

use super::WalError;
use super::damage::Damage;
use crate::env::Disk;
use crate::env::disk::{durable_replace, read_file};
use crate::record::le::{id_at, u32_at, u64_at};
use crate::record::{LOG_START, Lsn, Pos};

/// Name of the file.
pub const MANIFEST: &str = "MANIFEST";
const MAGIC: &[u8; 8] = b"SPKMANI1";
/// What is written; older ones are read.
const VERSION: u32 = 5;
const LEN: usize = 96;

/// Its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// 16 bytes that no other store has.
    pub store_id: [u8; 16],
    /// Counts openings.
    pub epoch: u32,
    /// Whether the last opening closed cleanly: then the log ends exactly at `end`.
    pub clean: bool,
    /// Whether the last opening acknowledged from a mapped ring, so that the ring belongs to the log.
    pub mapped: bool,
    /// The log was durable up to here when the manifest was written.
    pub end: Pos,
    /// The last version before `end`.
    pub end_lsn: Lsn,
    /// Identifies the page cache that the opening wrote through (see `Disk::incarnation`).
    pub incarnation: u64,
    /// When the store was made, in microseconds since the Unix epoch.
    pub created_us: u64,
    /// The log was kept from here on; what stands before it may be gone.
    pub log_start: Pos,
    /// The most records that the opening can have given out without having synced them.
    pub unsynced_max: u64,
}

impl Manifest {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.store_id);
        bytes[32..40].copy_from_slice(&(u64::from(self.clean) | u64::from(self.mapped) << 1).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.end.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.end_lsn.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.incarnation.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.created_us.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.log_start.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.unsynced_max.to_le_bytes());
        let sum = xxh3_64(&bytes[..LEN - 8]);
        bytes[LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LEN || bytes[..8] != MAGIC[..] || u64_at(bytes, LEN - 8) != xxh3_64(&bytes[..LEN - 8]) {
            return None;
        }
        Some(Self {
            store_id: id_at(bytes, 16),
            epoch: u32_at(bytes, 12),
            clean: u64_at(bytes, 32) & 1 != 0,
            mapped: u64_at(bytes, 32) & 2 != 0,
            end: u64_at(bytes, 40),
            end_lsn: u64_at(bytes, 48),
            incarnation: u64_at(bytes, 56),
            created_us: u64_at(bytes, 64),
            // Version 1 kept all of it and had zeros here.
            log_start: u64_at(bytes, 72).max(LOG_START),
            unsynced_max: u64_at(bytes, 80),
        })
    }

    /// Reads it; None when there is none.
    ///
    /// # Errors
    /// Damage when the file is there and does not hold; the system's errors.
    pub fn load(disk: &dyn Disk) -> Result<Option<Self>, WalError> {
        if !disk.exists(MANIFEST)? {
            return Ok(None);
        }
        let bytes = read_file(disk, MANIFEST)?;
        match Self::decode(&bytes) {
            Some(_) if !(1..=VERSION).contains(&u32_at(&bytes, 8)) => Err(WalError::NotAStore(format!(
                "{} has format version {}; this build reads 1 to {VERSION}. Use a newer build",
                disk.path_of(MANIFEST),
                u32_at(&bytes, 8)
            ))),
            Some(manifest) => Ok(Some(manifest)),
            None => Err(Damage::new(&disk.path_of(MANIFEST), 0, 0, "the manifest does not hold").into()),
        }
    }

    /// Puts it in place, durably and whole.
    ///
    /// # Errors
    /// The system's; the former one is then still there.
    pub fn store(&self, disk: &dyn Disk) -> Result<(), WalError> {
        Ok(durable_replace(disk, MANIFEST, &self.encode())?)
    }

    /// What the store's frames are seeded with.
    pub fn seed(&self) -> u64 {
        xxh3_64(&self.store_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_every_flipped_bit_of_it_is_noticed() {
        let manifest = Manifest {
            store_id: [3; 16],
            epoch: 4,
            clean: true,
            mapped: true,
            end: 999,
            end_lsn: 8,
            incarnation: 5,
            created_us: 6,
            log_start: 640,
            unsynced_max: 7,
        };
        let good = manifest.encode();
        assert_eq!(Manifest::decode(&good), Some(manifest));
        for bit in 0..good.len() * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Manifest::decode(&bad), None, "bit {bit} passed");
        }
    }
}

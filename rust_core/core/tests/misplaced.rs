//! Bytes whose checksums hold and that do not belong where they stand: of an earlier time, or of another place.

mod common;

use common::oracle::Oracle;
use common::{code, env, small};
use spellkeep_core::env::disk::read_file;
use spellkeep_core::env::mem::MemDisk;
use spellkeep_core::store::Store;
use spellkeep_core::wal::Durability;

/// The manifest of an earlier opening came back: what later openings had written was cut off as an interrupted commit,
/// although it was durable and the store closed.
#[test]
fn a_manifest_of_an_earlier_opening_is_damage_and_cuts_nothing() {
    for mapped in [true, false] {
        let disk = MemDisk::new();
        let options = small(Durability::Interval, mapped);
        let mut oracle = Oracle::default();
        let mut manifests = Vec::new();
        for key in ["a", "b", "c"] {
            let store = Store::open(env(&disk), options).unwrap();
            manifests.push(read_file(&disk, "MANIFEST").unwrap());
            oracle.set(&store, b"s", key, b"value").unwrap();
            oracle.close(&store).unwrap();
            manifests.push(read_file(&disk, "MANIFEST").unwrap());
        }
        for manifest in &manifests[..4] {
            disk.alter("MANIFEST", |b| b.clone_from(manifest));
            assert_eq!(code(Store::open(env(&disk), options)), "log.damaged");
        }
        disk.alter("MANIFEST", |b| b.clone_from(&manifests[5]));
        oracle.reopened(&Store::open(env(&disk), options).unwrap(), 3);
    }
}

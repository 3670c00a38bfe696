//! Snapshots as they were before format version 5, in files of redb: they are read once, into a new file.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::run::damaged;
use super::{Row, SNAPSHOT_NAMES, SnapshotError, SnapshotFile};
use crate::checksum::xxh3_64;
use crate::env::look::look_at;
use crate::env::{Disk, DiskFile, IoError};
use crate::record::Mark;
use crate::sync::Arc;

/// The two files of a store of a former version.
pub const FORMER_NAMES: [&str; 2] = ["snapshots/a.redb", "snapshots/b.redb"];

/// Place to row.
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// `mark`: the mark with the id of the store.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const MARK: &str = "mark";
const CACHE_BYTES: usize = 1 << 20;

/// The file as redb wants it. What it changes stays in memory.
struct Backend(Arc<dyn DiskFile>);

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Backend({})", self.0.path())
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        match self.0.read_full_at(out, offset) {
            Ok(read) if read == out.len() => Ok(()),
            Ok(_) => Err(std::io::ErrorKind::UnexpectedEof.into()),
            Err(e) => Err(e.source),
        }
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write_all_at(data, offset).map_err(|e| e.source)
    }
}

/// redb's errors are of many types, all of which its widest one takes.
fn failed(file: &dyn DiskFile, error: impl Into<redb::Error>) -> SnapshotError {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error.into() {
        redb::Error::Io(source) if ![InvalidData, UnexpectedEof].contains(&source.kind()) => {
            IoError { op: "read", path: file.path(), source }.into()
        }
        other => damaged(file, other),
    }
}

/// Makes the file of `slot` of a former one, if that is there and it is not; then that goes.
///
/// # Errors
/// Damage, which leaves it where it is; the system's.
pub fn take_over_former(disk: &dyn Disk, slot: usize, store_id: [u8; 16]) -> Result<(), SnapshotError> {
    let former = FORMER_NAMES[slot];
    if !disk.exists(former)? {
        return Ok(());
    }
    if !disk.exists(SNAPSHOT_NAMES[slot])? {
        let file = look_at(disk, former)?;
        // It panics over a file that somebody has altered.
        catch_unwind(AssertUnwindSafe(|| copy(disk, slot, store_id, &file)))
            .unwrap_or_else(|_| Err(damaged(&*file, "its pages do not fit each other")))?;
    }
    Ok(disk.remove(former)?)
}

fn copy(disk: &dyn Disk, slot: usize, store_id: [u8; 16], file: &Arc<dyn DiskFile>) -> Result<(), SnapshotError> {
    let fail = |e: redb::Error| failed(&**file, e);
    if file.len_named()? == 0 {
        return Err(damaged(&**file, "it is empty"));
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    // Unverified, redb panics over altered pages, and over some once more while it unwinds, which ends the process.
    builder.set_check_integrity_on_open(true);
    let database = builder.create_with_backend(Backend(Arc::clone(file))).map_err(|e| fail(e.into()))?;
    // Never let go of: a panic in that, while another one unwinds, would end the process. There are two at most.
    let database = ManuallyDrop::new(database);
    let txn = database.begin_read().map_err(|e| fail(e.into()))?;
    let meta = txn.open_table(META).map_err(|e| fail(e.into()))?;
    let mark = meta.get(MARK).map_err(|e| fail(e.into()))?.and_then(|bytes| Mark::decode(bytes.value()));
    let Some((mark, id)) = mark else { return Err(damaged(&**file, "it has no mark")) };
    if id != store_id {
        return Err(damaged(&**file, "it belongs to another store"));
    }
    let rows = txn.open_table(ROWS).map_err(|e| fail(e.into()))?;
    SnapshotFile::create_from(
        disk,
        SNAPSHOT_NAMES[slot],
        store_id,
        mark,
        &mut |add| {
            for row in rows.iter().map_err(|e| fail(e.into()))? {
                let (place, bytes) = row.map_err(|e| fail(e.into()))?;
                if Row::parse(place.value(), bytes.value(), xxh3_64(&store_id)).is_none() {
                    return Err(damaged(&**file, "a row does not hold"));
                }
                add(place.value(), bytes.value())?;
            }
            Ok(())
        },
        &|| true,
    )
    .map(drop)
}

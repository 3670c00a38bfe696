//! A snapshot in a redb file: rows, which of them are dead, and the mark, changed together or not at all.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, Durability, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use super::backend::FileBackend;
use super::row::Row;
use super::{Rows, Snapshot, SnapshotError};
use crate::env::disk::parent;
use crate::env::look::look_at;
use crate::env::{Disk, DiskFile, IoError, OpenHow};
use crate::record::{Kind, Mark, Pos};
use crate::sync::{Arc, RwLock};

/// Place to row.
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
/// Position of a tombstone or clear to its place: what can go once the log has gone.
const DEAD: TableDefinition<u64, &[u8]> = TableDefinition::new("dead");
/// `mark`: the mark with the id of the store.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const MARK: &str = "mark";
/// redb keeps this much of the file in memory, of each snapshot, and of one more while it is verified. They are read from
/// end to end, in order, and by those who want a cold value, for whom the system has the pages too.
const CACHE_BYTES: usize = 1 << 20;

/// An open redb file.
pub struct RedbSnapshot {
    file: Arc<dyn DiskFile>,
    store_id: [u8; 16],
    database: Held<Database>,
    /// What readers see: the state after the last `apply`.
    current: RwLock<Arc<Current>>,
}

struct Current {
    mark: Mark,
    rows: Held<ReadOnlyTable<&'static [u8], &'static [u8]>>,
}

/// Something of redb that lets go quietly: it closes its file when it is dropped, and panics over one that was altered.
struct Held<T>(Option<T>);

impl<T> Held<T> {
    fn new(held: T) -> Self {
        Self(Some(held))
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        let held = self.0.take();
        // The file is as it was after the last commit; the next opening looks at every page of it.
        catch_unwind(AssertUnwindSafe(|| drop(held))).ok();
    }
}

/// A snapshot as it was when the reader was made.
pub struct SnapshotReader {
    file: Arc<dyn DiskFile>,
    current: Arc<Current>,
}

impl SnapshotReader {
    /// The record at a place, verified.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn get(&self, place: &[u8], seed: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        guarded(&*self.file, || {
            let Some(row) = self.current.rows.get(place).map_err(|e| failed(&*self.file, e))? else {
                return Ok(None);
            };
            match Row::parse(place, row.value(), seed) {
                Some(row) => Ok(Some(row.frame.bytes().to_vec())),
                None => Err(damaged(&*self.file, "a row does not hold")),
            }
        })
    }
}

/// redb's errors are of many types, all of which its widest one takes.
fn failed(file: &dyn DiskFile, error: impl Into<redb::Error>) -> SnapshotError {
    match error.into() {
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => damaged(file, source),
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::UnexpectedEof => damaged(file, source),
        redb::Error::Io(source) => IoError { op: "change", path: file.path(), source }.into(),
        redb::Error::PreviousIo => {
            let source = std::io::Error::other("an earlier write or sync of this file failed");
            IoError { op: "change", path: file.path(), source }.into()
        }
        other => damaged(file, other),
    }
}

fn damaged(file: &dyn DiskFile, what: impl ToString) -> SnapshotError {
    SnapshotError::Damaged { file: file.path(), what: what.to_string() }
}

/// Runs something of redb, which may panic over a file that somebody has altered.
fn guarded<T>(file: &dyn DiskFile, run: impl FnOnce() -> Result<T, SnapshotError>) -> Result<T, SnapshotError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err(damaged(file, "its pages do not fit each other")))
}

impl RedbSnapshot {
    /// Makes an empty one. It gets its name when it is whole, so that a crash leaves none or this.
    ///
    /// # Errors
    /// The system's.
    pub fn create(disk: &dyn Disk, name: &str, store_id: [u8; 16]) -> Result<Self, SnapshotError> {
        let temporary = format!("{name}.tmp");
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, OpenHow::Create)?;
        let made = guarded(&*file, || {
            let backend = FileBackend::new(Arc::clone(&file));
            let database = Held::new(new_builder().create_with_backend(backend).map_err(|e| failed(&*file, e))?);
            commit(&*file, &database, |txn| {
                txn.open_table(ROWS)?;
                txn.open_table(DEAD)?;
                txn.open_table(META)?.insert(MARK, &Mark::START.encode(&store_id)[..])?;
                Ok(())
            })?;
            let current = RwLock::new(Arc::new(look(&*file, &database)?.0));
            Ok(Self { file: Arc::clone(&file), store_id, database, current })
        });
        let named = made.and_then(|mut made| {
            disk.rename(&temporary, name)?;
            disk.sync_dir(parent(name))?;
            // Under its lasting name, so that errors name a file that people can find.
            made.file = disk.open(name, OpenHow::Read)?;
            Ok(made)
        });
        if named.is_err() {
            // Only space is lost should this fail: the next opening removes the file.
            disk.remove(&temporary).ok();
        }
        named
    }

    /// Opens an existing one, verifying every page. With `look_only` nothing is written to the file.
    ///
    /// # Errors
    /// Damage, also when it belongs to another store; the system's.
    pub fn open(disk: &dyn Disk, name: &str, store_id: [u8; 16], look_only: bool) -> Result<Self, SnapshotError> {
        let file = if look_only { look_at(disk, name)? } else { disk.open(name, OpenHow::Write)? };
        guarded(&*file, || Self::open_on(Arc::clone(&file), store_id))
    }

    fn open_on(file: Arc<dyn DiskFile>, store_id: [u8; 16]) -> Result<Self, SnapshotError> {
        if file.len_named()? == 0 {
            return Err(damaged(&*file, "it is empty"));
        }
        let mut builder = new_builder();
        // Unverified, redb panics over altered pages, and over some once more while it unwinds, which ends the process.
        builder.set_check_integrity_on_open(true);
        let backend = FileBackend::new(Arc::clone(&file));
        let database = Held::new(builder.create_with_backend(backend).map_err(|e| failed(&*file, e))?);
        let (current, id) = look(&*file, &database)?;
        if id != store_id {
            return Err(damaged(&*file, "it belongs to another store"));
        }
        Ok(Self { file, store_id, database, current: RwLock::new(Arc::new(current)) })
    }

    /// What it is when a row that is there is not found by its place.
    pub fn not_found(&self, lsn: crate::record::Lsn) -> SnapshotError {
        damaged(&*self.file, format!("the row of version {lsn} is not found by its key"))
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// A reader of what it has now, whatever is applied later.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader { file: Arc::clone(&self.file), current: self.current() }
    }
}

fn new_builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Changes the file: all of it, durably, or nothing.
fn commit(
    file: &dyn DiskFile,
    database: &Database,
    change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), SnapshotError> {
    let mut txn = database.begin_write().map_err(|e| failed(file, e))?;
    txn.set_durability(Durability::Immediate).map_err(|e| failed(file, e))?;
    change(&txn).map_err(|e| failed(file, e))?;
    txn.commit().map_err(|e| failed(file, e))
}

/// The state that readers may see, and the store that it is of.
fn look(file: &dyn DiskFile, database: &Database) -> Result<(Current, [u8; 16]), SnapshotError> {
    let read = || -> Result<_, redb::Error> {
        let txn: ReadTransaction = database.begin_read()?;
        let mark = txn.open_table(META)?.get(MARK)?.and_then(|bytes| Mark::decode(bytes.value()));
        Ok((mark, Held::new(txn.open_table(ROWS)?)))
    };
    match read().map_err(|e| failed(file, e))? {
        (Some((mark, id)), rows) => Ok((Current { mark, rows }, id)),
        (None, _) => Err(damaged(file, "it has no mark")),
    }
}

impl Snapshot for RedbSnapshot {
    fn path(&self) -> String {
        self.file.path()
    }

    fn mark(&self) -> Mark {
        self.current().mark
    }

    fn for_each(&self, seed: u64, look: &mut dyn FnMut(&Row<'_>)) -> Result<(), SnapshotError> {
        guarded(&*self.file, || {
            let current = self.current();
            for row in current.rows.iter().map_err(|e| failed(&*self.file, e))? {
                let (place, bytes) = row.map_err(|e| failed(&*self.file, e))?;
                match Row::parse(place.value(), bytes.value(), seed) {
                    Some(row) => look(&row),
                    None => return Err(damaged(&*self.file, "a row does not hold")),
                }
            }
            Ok(())
        })
    }

    fn apply(&self, changes: &Rows, mark: Mark, log_start: Pos) -> Result<(), SnapshotError> {
        guarded(&*self.file, || {
            commit(&*self.file, &self.database, |txn| {
                let mut rows = txn.open_table(ROWS)?;
                let mut dead = txn.open_table(DEAD)?;
                for (place, row) in changes {
                    // Taken out first: redb joins pages that hold little only then. Rows that were only replaced would
                    // each come to have a page of its own.
                    let former = rows.remove(&place[..])?.and_then(|former| Row::peek(former.value()));
                    rows.insert(&place[..], &row[..])?;
                    if let Some((pos, kind)) = former
                        && kind != Kind::Set
                    {
                        dead.remove(pos)?;
                    }
                    if let Some((pos, kind)) = Row::peek(row)
                        && kind != Kind::Set
                    {
                        dead.insert(pos, &place[..])?;
                    }
                }
                for gone in dead.extract_from_if(..log_start, |_, _| true)? {
                    let (pos, place) = gone?;
                    forget(&mut rows, pos.value(), place.value())?;
                }
                txn.open_table(META)?.insert(MARK, &mark.encode(&self.store_id)[..])?;
                Ok(())
            })?;
            let current = look(&*self.file, &self.database)?.0;
            *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = Arc::new(current);
            Ok(())
        })
    }

    fn len_bytes(&self) -> Result<u64, SnapshotError> {
        Ok(self.file.len_named()?)
    }
}

/// Removes the tombstone that stands at `place` since `pos`; for a clear, with all that it had removed.
fn forget(rows: &mut redb::Table<&[u8], &[u8]>, pos: Pos, place: &[u8]) -> Result<(), redb::Error> {
    let Some((at, kind)) = rows.get(place)?.and_then(|row| Row::peek(row.value())) else { return Ok(()) };
    if at != pos || kind == Kind::Set {
        return Ok(());
    }
    if kind == Kind::Clear {
        // No encoded scope begins another, and a byte of UTF-8 is never FF: these are the keys of this scope.
        let end = [place, &[0xFF]].concat();
        let is_older = |_: &[u8], row: &[u8]| Row::peek(row).is_some_and(|(at, _)| at < pos);
        for removed in rows.extract_from_if(place..&end[..], is_older)? {
            removed?;
        }
    }
    rows.remove(place)?;
    Ok(())
}

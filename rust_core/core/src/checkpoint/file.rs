//! A snapshot's file: runs, one for each checkpoint, each ended by the mark that it came to. A file is only added to; when what
//! was added is as much as half of its first run, a new one takes its place.

use super::block::{BLOCK_HEAD_BYTES, BlockKind, block_len, read_block, sum_before};
use super::run::{Forget, Place, Run, RunWriter, damaged, merged};
use super::{Add, Fill, Row, Rows, SnapshotError};
use crate::checksum::xxh3_64;
use crate::env::disk::parent;
use crate::env::{Disk, DiskFile, IoError, OpenHow, fork};
use crate::limits::VALUE_BYTES_CEILING;
use crate::record::le::{id_at, u32_at, u64_at};
use crate::record::{Mark, Pos};
use crate::sync::{Arc, RwLock};

const MAGIC: &[u8; 8] = b"SPKROWS1";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 40;
/// Each run that is read together with the others has a block in memory, most of them no more than 32 KiB.
const RUNS_MAX: u64 = 1024;
/// Of a large first run there is one for each so many bytes more: less than is added at once in the same time.
const BYTES_PER_RUN: u64 = 16 << 20;
/// What is said to be longer is not read.
const BLOCK_LEN_MAX: usize = VALUE_BYTES_CEILING + (1 << 20);

/// An open snapshot.
pub struct SnapshotFile {
    name: &'static str,
    store_id: [u8; 16],
    seed: u64,
    fork_generation: u32,
    /// What readers see: the state after the last `apply`.
    current: RwLock<Arc<State>>,
}

#[derive(Clone)]
struct State {
    file: Arc<dyn DiskFile>,
    runs: Vec<Arc<Run>>,
    mark: Mark,
    /// Where the last run ends, and its sum.
    end: u64,
    sum: u64,
    /// Nothing may be added: something stands behind it that others may still read, or another file may have the name.
    is_over: bool,
}

/// A snapshot as it was when the reader was made, whatever is applied later.
pub struct SnapshotReader {
    seed: u64,
    state: Arc<State>,
}

impl SnapshotReader {
    /// The record at a place, of which the log had it at `pos`; verified.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn get(&self, place: &[u8], pos: Pos) -> Result<Option<Vec<u8>>, SnapshotError> {
        let state = &*self.state;
        let run = state.runs.partition_point(|run| run.until <= pos);
        state.runs.get(run).map_or(Ok(None), |run| run.get(&*state.file, place, self.seed))
    }
}

fn head_of(store_id: &[u8; 16]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..32].copy_from_slice(store_id);
    let sum = xxh3_64(&head[..32]);
    head[32..].copy_from_slice(&sum.to_le_bytes());
    head
}

/// Reads what a file has, every block of it, up to the last run that is whole: what stands behind it was not ended. With
/// `every_row` their own checksums are compared too.
fn read(file: Arc<dyn DiskFile>, store_id: &[u8; 16], every_row: bool) -> Result<State, SnapshotError> {
    let seed = xxh3_64(store_id);
    let mut head = [0; HEAD_BYTES];
    let is_short = file.read_full_at(&mut head, 0)? < HEAD_BYTES;
    if is_short || head[..8] != MAGIC[..] || u64_at(&head, 32) != xxh3_64(&head[..32]) {
        return Err(damaged(&*file, "it does not begin as a snapshot does"));
    }
    if id_at(&head, 16) != *store_id {
        return Err(damaged(&*file, "it belongs to another store"));
    }
    if u32_at(&head, 8) != VERSION {
        return Err(damaged(&*file, format!("it has version {}, and this build reads {VERSION}", u32_at(&head, 8))));
    }
    let file_end = file.len_named()?;
    let mut state: Option<State> = None;
    let (mut runs, mut run, mut last) = (Vec::new(), Run::default(), Vec::new());
    let (mut at, mut sum, mut bytes) = (HEAD_BYTES as u64, u64_at(&head, 32), Vec::new());
    loop {
        let mut block_head = [0; BLOCK_HEAD_BYTES];
        if file.read_full_at(&mut block_head, at)? < BLOCK_HEAD_BYTES {
            break;
        }
        let len = block_len(&block_head);
        if len > BLOCK_LEN_MAX || len as u64 > file_end.saturating_sub(at) || sum_before(&block_head) != sum {
            break;
        }
        bytes.resize(len, 0);
        let whole = file.read_full_at(&mut bytes, at)? == len;
        let Some(block) = read_block(&bytes, seed).filter(|_| whole) else { break };
        sum = block.sum;
        match block.kind {
            BlockKind::Rows => {
                let Some(row) = Row::read(block.content, seed) else { break };
                if every_row && !in_order(block.content, seed, &mut last) {
                    break;
                }
                run.blocks.push(Place { first: Row::place_of(&row.frame).into(), at, len });
                run.bytes += len as u64;
                at += len as u64;
            }
            BlockKind::End => {
                let Some((mark, _)) = Mark::decode(block.content).filter(|(_, id)| id == store_id) else { break };
                at += len as u64;
                run.until = mark.pos;
                last.clear();
                runs.push(Arc::new(std::mem::take(&mut run)));
                state = Some(State { file: Arc::clone(&file), runs: runs.clone(), mark, end: at, sum, is_over: false });
            }
        }
    }
    let mut state = state.ok_or_else(|| damaged(&*file, "no part of it is whole"))?;
    state.is_over = state.end < file_end;
    Ok(state)
}

/// Whether every row of a block holds and stands behind the one before, whose place is `last`.
fn in_order(mut rows: &[u8], seed: u64, last: &mut Vec<u8>) -> bool {
    while let Some(row) = Row::read(rows, seed) {
        let place = Row::place_of(&row.frame);
        if place <= *last {
            return false;
        }
        *last = place;
        rows = &rows[row.len()..];
    }
    rows.is_empty()
}

fn is_full(result: &Result<Arc<State>, SnapshotError>) -> bool {
    matches!(result, Err(SnapshotError::Io(e)) if e.source.kind() == std::io::ErrorKind::StorageFull)
}

impl SnapshotFile {
    fn of(name: &'static str, store_id: [u8; 16], state: State) -> Self {
        let (seed, current) = (xxh3_64(&store_id), RwLock::new(Arc::new(state)));
        Self { name, store_id, seed, fork_generation: fork::generation(), current }
    }

    /// Makes one that holds nothing. It gets its name when it is whole, so that a crash leaves none or this.
    ///
    /// # Errors
    /// The system's.
    pub fn create(disk: &dyn Disk, name: &'static str, store_id: [u8; 16]) -> Result<Self, SnapshotError> {
        Self::create_from(disk, name, store_id, Mark::START, &mut |_| Ok(()), &|| true)
    }

    /// Makes one that is at `mark` and has the rows that `fill` gives, in order of their places.
    ///
    /// # Errors
    /// Those of `fill`; the system's; [`SnapshotError::Stopped`]. Whatever had the name still has it then, unless it is the
    /// directory that could not be synced.
    pub fn create_from(
        disk: &dyn Disk,
        name: &'static str,
        store_id: [u8; 16],
        mark: Mark,
        fill: &mut Fill<'_>,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Self, SnapshotError> {
        let temporary = format!("{name}.tmp");
        if disk.exists(&temporary)? {
            disk.remove(&temporary)?;
        }
        let file = disk.open(&temporary, OpenHow::Create)?;
        let mut written = || {
            let head = head_of(&store_id);
            file.write_all_at(&head, 0)?;
            let (at, sum, seed) = (HEAD_BYTES as u64, u64_at(&head, 32), xxh3_64(&store_id));
            let mut writer = RunWriter::new(&*file, at, sum, seed, go_on);
            fill(&mut |place, row| writer.add(place, row))?;
            let (run, end, sum) = writer.end(&mark.encode(&store_id), mark.pos)?;
            disk.rename(&temporary, name)?;
            disk.sync_dir(parent(name))?;
            // Under its lasting name, so that errors name a file that people can find.
            let file = disk.open(name, OpenHow::Write)?;
            let runs = vec![Arc::new(run)];
            Ok(Self::of(name, store_id, State { file, runs, mark, end, sum, is_over: false }))
        };
        let made = written();
        if made.is_err() {
            // Only space is lost should this fail: the next opening removes the file.
            disk.remove(&temporary).ok();
        }
        made
    }

    /// Opens an existing one to be added to, verifying every block, and with `every_row` every row. What it has is durable
    /// then: the process that wrote the last run may have died before it was.
    ///
    /// # Errors
    /// Damage, also when it belongs to another store; the system's.
    pub fn open(
        disk: &dyn Disk,
        name: &'static str,
        store_id: [u8; 16],
        every_row: bool,
    ) -> Result<Self, SnapshotError> {
        let state = read(disk.open(name, OpenHow::Write)?, &store_id, every_row)?;
        state.file.sync_named()?;
        disk.sync_dir(parent(name))?;
        Ok(Self::of(name, store_id, state))
    }

    /// Opens an existing one to be read, verifying every block and row.
    ///
    /// # Errors
    /// As for [`SnapshotFile::open`].
    pub fn look(disk: &dyn Disk, name: &'static str, store_id: [u8; 16]) -> Result<Self, SnapshotError> {
        Ok(Self::of(name, store_id, read(disk.open(name, OpenHow::Read)?, &store_id, true)?))
    }

    /// The mark that a file has come to, every block and row of which was read back and is in its place.
    ///
    /// # Errors
    /// As for [`SnapshotFile::open`].
    pub fn verify(disk: &dyn Disk, name: &str, store_id: [u8; 16]) -> Result<Mark, SnapshotError> {
        Ok(read(disk.open(name, OpenHow::Read)?, &store_id, true)?.mark)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.current.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// A reader of what it has now, whatever is applied later.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader { seed: self.seed, state: self.state() }
    }

    /// The file, as a person would look for it.
    pub fn path(&self) -> String {
        self.state().file.path()
    }

    /// It holds the effect of every record before this mark, and of none behind it.
    pub fn mark(&self) -> Mark {
        self.state().mark
    }

    /// Bytes of its runs: at most half as much again as its rows have, or more while few are left of many.
    pub fn held_bytes(&self) -> u64 {
        self.state().end
    }

    /// Calls `look` with the record of each place, ordered by place: a scope's clear comes before its keys.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn for_each(&self, look: &mut dyn FnMut(&Row<'_>)) -> Result<(), SnapshotError> {
        let state = self.state();
        merged(&*state.file, &state.runs, &Rows::new(), self.seed, &mut |_, row| {
            // It was verified a moment ago.
            Row::read(row, self.seed).iter().for_each(&mut *look);
            Ok(())
        })
    }

    /// Gives `add` every row of it that is newest at its place, and `rows`, which are newer, without those that are forgotten
    /// once the log begins at `log_start`.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn pour(&self, rows: &Rows, log_start: Pos, add: &mut Add<'_>) -> Result<(), SnapshotError> {
        let (state, mut forget) = (self.state(), Forget::before(log_start));
        merged(&*state.file, &state.runs, rows, self.seed, &mut |place, row| match forget.takes(place, row) {
            true => Ok(()),
            false => add(place, row),
        })
    }

    /// Applies records that go up to `mark`. Afterwards the snapshot is durable at `mark`; after a crash it is there or at
    /// the mark where it was.
    ///
    /// # Errors
    /// Damage; the system's; [`SnapshotError::Stopped`] when `go_on` says no. Then it is at the mark where it was.
    ///
    /// # Cost
    /// One write of the rows and one sync; of the whole file and two, when it had come to half as much again since it was
    /// made: a byte of a row is written at most three times more for it, however much there is. So is every 1024th run, of
    /// those that are small. Where a new file finds no room, the rows are added to this one.
    pub fn apply(
        &self,
        disk: &dyn Disk,
        rows: &Rows,
        mark: Mark,
        log_start: Pos,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), SnapshotError> {
        if self.fork_generation != fork::generation() {
            let source = std::io::Error::other("the file belongs to the parent of this process");
            return Err(IoError { op: "change", path: self.path(), source }.into());
        }
        let state = self.state();
        let added_bytes: u64 = rows.iter().map(|(place, row)| (place.len() + row.len()) as u64).sum();
        let later_bytes: u64 = state.runs.iter().skip(1).map(|run| run.bytes).sum::<u64>() + added_bytes;
        let first_bytes = state.runs.first().map_or(0, |run| run.bytes);
        let runs_max = RUNS_MAX.max(first_bytes / BYTES_PER_RUN);
        let is_due = later_bytes * 2 > first_bytes || state.runs.len() as u64 >= runs_max || state.is_over;
        let mut next = match is_due {
            true => {
                let mut fill = |add: &mut Add<'_>| self.pour(rows, log_start, add);
                Self::create_from(disk, self.name, self.store_id, mark, &mut fill, go_on).map(|made| made.state())
            }
            false => self.added(&state, rows, mark, go_on),
        };
        if is_due && !state.is_over && is_full(&next) {
            next = self.added(&state, rows, mark, go_on);
        }
        if is_due && matches!(next, Err(SnapshotError::Io(_))) && !is_full(&next) {
            self.set_state(Arc::new(State { is_over: true, ..State::clone(&state) }));
        }
        self.set_state(next?);
        Ok(())
    }

    fn set_state(&self, state: Arc<State>) {
        *self.current.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = state;
    }

    fn added(
        &self,
        state: &State,
        rows: &Rows,
        mark: Mark,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Arc<State>, SnapshotError> {
        let file = &state.file;
        let mut writer = RunWriter::new(&**file, state.end, state.sum, self.seed, go_on);
        let added = rows.iter().try_for_each(|(place, row)| writer.add(place, row));
        let ended = added.and_then(|()| writer.end(&mark.encode(&self.store_id), mark.pos));
        if ended.is_err() {
            // A sync that failed may have kept nothing of a run that reads as whole: nobody shall take it for kept. Should
            // this fail too, the next addition still writes all of it again.
            file.set_len(state.end).ok();
        }
        let (run, end, sum) = ended?;
        let runs = state.runs.iter().cloned().chain([Arc::new(run)]).collect();
        Ok(Arc::new(State { file: Arc::clone(file), runs, mark, end, sum, is_over: false }))
    }
}

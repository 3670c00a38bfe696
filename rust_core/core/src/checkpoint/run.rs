//! A run: rows in the order of their places, in blocks of a file; what one checkpoint added.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BinaryHeap, btree_map};

use super::block::{BLOCK_HEAD_BYTES, BlockKind, begin_block, end_block, read_block};
use super::row::{POS_BYTES, Row};
use super::{Add, Rows, SnapshotError};
use crate::env::DiskFile;
use crate::record::{Kind, MARK_BYTES, Pos};
use crate::sync::Arc;

/// A block of rows is ended once it holds this much: what a read of one row reads.
const BLOCK_BYTES: usize = 32 << 10;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// Where the rows of a run are.
#[derive(Default)]
pub(super) struct Run {
    pub blocks: Vec<Place>,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Every row of it stands before this position of the log, and behind those of the run before it.
    pub until: Pos,
}

/// Where a block is, and the place of its first row.
pub(super) struct Place {
    pub first: Box<[u8]>,
    pub at: u64,
    pub len: usize,
}

pub(super) fn damaged(file: &dyn DiskFile, what: impl ToString) -> SnapshotError {
    SnapshotError::Damaged { file: file.path(), what: what.to_string() }
}

impl Run {
    /// The record at a place.
    pub(super) fn get(&self, file: &dyn DiskFile, place: &[u8], seed: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        let index = self.blocks.partition_point(|block| *block.first <= *place);
        let Some(index) = index.checked_sub(1) else { return Ok(None) };
        let mut cursor = Cursor::new(file, &self.blocks[index..=index], seed, 0);
        while cursor.next()? {
            if cursor.place == place {
                return Ok(Some(cursor.row()[POS_BYTES..].to_vec()));
            }
        }
        Ok(None)
    }
}

/// Writes a run at the end of a file.
pub(super) struct RunWriter<'a> {
    file: &'a dyn DiskFile,
    seed: u64,
    /// Where in the file `out` goes.
    at: u64,
    out: Vec<u8>,
    /// Where in `out` a block was begun.
    begun: Option<usize>,
    /// Of the last block.
    sum: u64,
    run: Run,
    go_on: &'a dyn Fn() -> bool,
}

impl<'a> RunWriter<'a> {
    /// Behind a block that ends at `at` and has this sum. `go_on` is asked now and then.
    pub(super) fn new(file: &'a dyn DiskFile, at: u64, sum: u64, seed: u64, go_on: &'a dyn Fn() -> bool) -> Self {
        Self { file, seed, at, out: Vec::new(), begun: None, sum, run: Run::default(), go_on }
    }

    /// Adds a row. Its place comes behind that of the last one.
    pub(super) fn add(&mut self, place: &[u8], row: &[u8]) -> Result<(), SnapshotError> {
        let begun = match self.begun {
            Some(begun) => begun,
            None => {
                let begun = self.out.len();
                self.run.blocks.push(Place { first: place.into(), at: self.at + begun as u64, len: 0 });
                begin_block(&mut self.out, BlockKind::Rows, self.sum);
                *self.begun.insert(begun)
            }
        };
        self.out.extend_from_slice(row);
        if self.out.len() - begun < BLOCK_BYTES {
            return Ok(());
        }
        self.end_rows();
        if self.out.len() < WRITE_BYTES {
            return Ok(());
        }
        if !(self.go_on)() {
            return Err(SnapshotError::Stopped);
        }
        self.write()
    }

    fn end_rows(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        self.sum = end_block(&mut self.out, begun, self.seed);
        if let Some(block) = self.run.blocks.last_mut() {
            block.len = self.out.len() - begun;
            self.run.bytes += block.len as u64;
        }
    }

    fn write(&mut self) -> Result<(), SnapshotError> {
        self.file.write_all_at(&self.out, self.at)?;
        self.at += self.out.len() as u64;
        self.out.clear();
        Ok(())
    }

    /// Ends it at `mark`, durably; where the file ends now, and the sum there.
    pub(super) fn end(mut self, mark: &[u8; MARK_BYTES], until: Pos) -> Result<(Run, u64, u64), SnapshotError> {
        self.end_rows();
        let begun = self.out.len();
        begin_block(&mut self.out, BlockKind::End, self.sum);
        self.out.extend_from_slice(mark);
        self.sum = end_block(&mut self.out, begun, self.seed);
        self.write()?;
        self.file.sync_named()?;
        self.run.until = until;
        Ok((self.run, self.at, self.sum))
    }
}

/// Goes over the rows of some blocks, each verified.
struct Cursor<'a> {
    file: &'a dyn DiskFile,
    seed: u64,
    blocks: std::slice::Iter<'a, Place>,
    block: Vec<u8>,
    /// Where in `block` the row is, and where it ends.
    row: (usize, usize),
    place: Vec<u8>,
    /// The newest is 0.
    age: usize,
}

impl<'a> Cursor<'a> {
    fn new(file: &'a dyn DiskFile, blocks: &'a [Place], seed: u64, age: usize) -> Self {
        let (blocks, block, place) = (blocks.iter(), Vec::new(), Vec::new());
        Self { file, seed, blocks, block, row: (0, 0), place, age }
    }

    /// Goes on to the next row; whether there is one.
    fn next(&mut self) -> Result<bool, SnapshotError> {
        // Behind the content of a block is its sum.
        if self.row.1 + 8 >= self.block.len() {
            let Some(next) = self.blocks.next() else { return Ok(false) };
            self.block.resize(next.len, 0);
            let whole = self.file.read_full_at(&mut self.block, next.at)? == next.len;
            match read_block(&self.block, self.seed) {
                Some(block) if whole && block.kind == BlockKind::Rows => {}
                _ => return Err(damaged(self.file, format!("the block at {} does not hold", next.at))),
            }
            self.row.1 = BLOCK_HEAD_BYTES;
        }
        let start = self.row.1;
        let Some(row) = Row::read(&self.block[start..self.block.len() - 8], self.seed) else {
            return Err(damaged(self.file, "a row does not hold"));
        };
        self.place.clear();
        self.place.extend_from_slice(row.frame.scope());
        self.place.extend_from_slice(row.frame.key());
        self.row = (start, start + row.len());
        Ok(true)
    }

    fn row(&self) -> &[u8] {
        &self.block[self.row.0..self.row.1]
    }
}

/// Where rows come from, each source in order.
enum Source<'a> {
    File(Cursor<'a>),
    /// What is newer than any run.
    Memory(btree_map::Iter<'a, Vec<u8>, Vec<u8>>, (&'a [u8], &'a [u8])),
}

impl Source<'_> {
    fn next(&mut self) -> Result<bool, SnapshotError> {
        match self {
            Self::File(cursor) => cursor.next(),
            Self::Memory(rows, current) => {
                let next = rows.next();
                *current = next.map_or((&[], &[]), |(place, row)| (place, row));
                Ok(next.is_some())
            }
        }
    }

    fn place(&self) -> &[u8] {
        match self {
            Self::File(cursor) => &cursor.place,
            Self::Memory(_, (place, _)) => place,
        }
    }

    fn row(&self) -> &[u8] {
        match self {
            Self::File(cursor) => cursor.row(),
            Self::Memory(_, (_, row)) => row,
        }
    }

    fn age(&self) -> usize {
        match self {
            Self::File(cursor) => cursor.age,
            Self::Memory(..) => 0,
        }
    }
}

impl Ord for Source<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(other.place()).then(self.age().cmp(&other.age()))
    }
}

impl PartialOrd for Source<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Source<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Source<'_> {}

/// Calls `look` with the newest row of each place, in order, of runs, oldest first, and of `rows`, which are newer.
pub(super) fn merged(
    file: &dyn DiskFile,
    runs: &[Arc<Run>],
    rows: &Rows,
    seed: u64,
    look: &mut Add<'_>,
) -> Result<(), SnapshotError> {
    let cursors = runs.iter().rev().zip(1..).map(|(run, age)| Source::File(Cursor::new(file, &run.blocks, seed, age)));
    let mut sources = BinaryHeap::with_capacity(runs.len() + 1);
    for mut source in cursors.chain([Source::Memory(rows.iter(), (&[], &[]))]) {
        if source.next()? {
            sources.push(Reverse(source));
        }
    }
    let mut last: Option<Vec<u8>> = None;
    while let Some(mut least) = sources.peek_mut() {
        let source = &mut least.0;
        let is_older = last.as_deref() == Some(source.place());
        if !is_older {
            if last.as_deref() > Some(source.place()) {
                return Err(damaged(file, "its rows are not in order"));
            }
            look(source.place(), source.row())?;
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(source.place());
        }
        if !source.next()? {
            PeekMut::pop(least);
        }
    }
    Ok(())
}

/// What a new file leaves out of what an older one has: tombstones before `log_start`, whose history is gone, and with a
/// clear everything that it had removed.
#[derive(Default)]
pub(super) struct Forget {
    log_start: Pos,
    /// A clear that was left out, and where it stood.
    cleared: Option<(Vec<u8>, Pos)>,
}

impl Forget {
    pub(super) fn before(log_start: Pos) -> Self {
        Self { log_start, cleared: None }
    }

    /// Whether the row at `place` is left out. They are asked for in order: a clear comes before the keys of its scope.
    pub(super) fn takes(&mut self, place: &[u8], row: &[u8]) -> bool {
        let Some((pos, kind)) = Row::peek(row) else { return false };
        // No encoded scope begins another one.
        if let Some((scope, at)) = &self.cleared
            && place.starts_with(scope)
            && pos < *at
        {
            return true;
        }
        let is_gone = kind != Kind::Set && pos < self.log_start;
        if is_gone && kind == Kind::Clear {
            self.cleared = Some((place.to_vec(), pos));
        }
        is_gone
    }
}

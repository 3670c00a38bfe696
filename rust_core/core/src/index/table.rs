//! A hash table with many lock-free readers and one writer: open addressing over pointers to immutable entries. Four
//! bits of the hash stand in the low ones of the pointer, so that a search seldom looks at an entry of another key; all of it
//! stands in an array of its own, so that growing looks at none.
//!
//! A cell once filled keeps its key for the life of the table (deletes store a tombstone entry), so a reader that
//! probes can never be misled by a concurrent change: it sees the old entry of a key or the new one. Growing builds a
//! new array and publishes it with one store. What readers may still look at is freed by `seize` (hazard-era style
//! reclamation; Hyaline, Nikolaev and Ravindran, PLDI 2021).
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;

use seize::{Collector, Guard};

use super::entry::{Entry, Header};
use crate::record::Lsn;
use crate::sync::WriteToken;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A pointer to an entry, with a tag.
type Cell = AtomicPtr<Header>;

/// Zero in pointers to entries.
const TAG: usize = align_of::<Header>() - 1;

#[inline]
fn tag_of(hash: u32) -> usize {
    // The other end is where the search begins.
    (hash >> 28) as usize & TAG
}

#[inline]
fn has_tag(raw: *mut Header, hash: u32) -> bool {
    raw.addr() & TAG == tag_of(hash)
}

fn tagged(entry: Entry, hash: u32) -> *mut Header {
    entry.into_raw().map_addr(|place| place | tag_of(hash))
}

#[inline]
fn plain(raw: *mut Header) -> *mut Header {
    raw.map_addr(|place| place & !TAG)
}

struct Cells {
    entries: Box<[Cell]>,
    /// Of the key of each. Only the token's holder looks at them.
    hashes: Box<[AtomicU32]>,
}

/// Cells per entry: at most 5 of 8 are filled, so that probes stay short.
const LOAD_NUMERATOR: usize = 5;
const LOAD_DENOMINATOR: usize = 8;
const CELLS_MIN: usize = 8;

/// The table. Dropping it frees every entry.
pub struct Table {
    cells: AtomicPtr<Cells>,
    filled: AtomicUsize,
}

/// Looks at an entry through the raw pointer of its cell, without taking part in its reference count.
struct Peek(ManuallyDrop<Entry>);

impl Peek {
    /// # Safety
    /// `raw` came from `tagged` and is protected from reclamation while the result is used.
    unsafe fn new(raw: *mut Header) -> Self {
        // SAFETY: the caller's promise; `ManuallyDrop` keeps the count as it is.
        Self(ManuallyDrop::new(unsafe { Entry::from_raw(plain(raw)) }))
    }
}

unsafe fn release_entry(raw: *mut Header, _: &Collector) {
    // SAFETY: called once, for a pointer that its cell owned and gave up.
    drop(unsafe { Entry::from_raw(plain(raw)) });
}

unsafe fn release_cells(cells: *mut Cells, _: &Collector) {
    // SAFETY: called once, for an array that was replaced; its entries moved to the successor.
    drop(unsafe { Box::from_raw(cells) });
}

impl Cells {
    fn new(count: usize) -> *mut Self {
        let entries = (0..count).map(|_| Cell::default()).collect();
        let hashes = (0..count).map(|_| AtomicU32::default()).collect();
        Box::into_raw(Box::new(Self { entries, hashes }))
    }

    /// The cell that holds `key`, or the empty one where it belongs.
    fn find(&self, guard: &impl Guard, hash: u32, key: &[u8]) -> (usize, *mut Header) {
        let mask = self.entries.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let raw = guard.protect(&self.entries[at], Ordering::Acquire);
            if raw.is_null() {
                return (at, raw);
            }
            if has_tag(raw, hash) {
                // SAFETY: a non-null cell holds an entry; `protect` keeps it from being freed while the guard lives.
                let peek = unsafe { Peek::new(raw) };
                if peek.0.key() == key {
                    return (at, raw);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Fills an empty cell. Only the token's holder does.
    fn fill(&self, at: usize, hash: u32, raw: *mut Header) {
        self.hashes[at].store(hash, Ordering::Relaxed);
        self.entries[at].store(raw, Ordering::Release);
    }
}

impl Default for Table {
    fn default() -> Self {
        Self { cells: AtomicPtr::new(Cells::new(CELLS_MIN)), filled: AtomicUsize::new(0) }
    }
}

impl Table {
    fn current<'g>(&'g self, guard: &'g impl Guard) -> &'g Cells {
        // SAFETY: never null; a replaced array is retired, so it lives as long as the guard.
        unsafe { &*guard.protect(&self.cells, Ordering::Acquire) }
    }

    /// Calls `look` with the entry of `key`, live or tombstone. The entry may be kept by cloning it.
    #[inline]
    pub fn get<R>(&self, guard: &impl Guard, hash: u32, key: &[u8], look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let (_, raw) = self.current(guard).find(guard, hash, key);
        if raw.is_null() {
            return None;
        }
        // SAFETY: protected by the guard, which outlives `look`.
        let peek = unsafe { Peek::new(raw) };
        Some(look(&peek.0))
    }

    /// Calls `look` with the entry of this hash and version, if it is still there.
    pub fn get_version<R>(&self, guard: &impl Guard, hash: u32, lsn: Lsn, look: impl FnOnce(&Entry) -> R) -> Option<R> {
        let cells = self.current(guard);
        let mask = cells.entries.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let raw = guard.protect(&cells.entries[at], Ordering::Acquire);
            if raw.is_null() {
                return None;
            }
            if has_tag(raw, hash) {
                // SAFETY: protected by the guard, which outlives `look`.
                let peek = unsafe { Peek::new(raw) };
                if peek.0.meta().lsn == lsn {
                    return Some(look(&peek.0));
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Stores `entry`, whose key has this hash, in place of whatever its key had. Cost: amortised growth.
    pub fn put(&self, _token: &mut WriteToken, guard: &impl Guard, hash: u32, entry: Entry) {
        let filled = self.filled.load(Ordering::Relaxed);
        let mut cells = self.current(guard);
        if (filled + 1) * LOAD_DENOMINATOR > cells.entries.len() * LOAD_NUMERATOR {
            cells = self.grow(guard);
        }
        let (at, old) = cells.find(guard, hash, entry.key());
        if old.is_null() {
            cells.fill(at, hash, tagged(entry, hash));
            self.filled.store(filled + 1, Ordering::Relaxed);
        } else {
            cells.entries[at].store(tagged(entry, hash), Ordering::Release);
            // SAFETY: the cell gave the pointer up just now, and only the token's holder changes cells.
            unsafe { guard.defer_retire(old, release_entry) };
        }
    }

    /// Publishes an array of twice the size. The token's holder calls it, so no cell changes meanwhile.
    fn grow<'g>(&'g self, guard: &'g impl Guard) -> &'g Cells {
        let old_cells = self.cells.load(Ordering::Relaxed);
        // SAFETY: never null, and only the token's holder replaces it.
        let old = unsafe { &*old_cells };
        let new_cells = Cells::new(old.entries.len() * 2);
        // SAFETY: just made.
        let new = unsafe { &*new_cells };
        let mask = new.entries.len() - 1;
        for (cell, hash) in old.entries.iter().zip(&old.hashes) {
            let raw = cell.load(Ordering::Relaxed);
            if !raw.is_null() {
                let hash = hash.load(Ordering::Relaxed);
                let mut at = hash as usize & mask;
                while !new.entries[at].load(Ordering::Relaxed).is_null() {
                    at = (at + 1) & mask;
                }
                new.fill(at, hash, raw);
            }
        }
        self.cells.store(new_cells, Ordering::Release);
        // SAFETY: no longer reachable for readers that enter now; its entries belong to the new array.
        unsafe { guard.defer_retire(old_cells, release_cells) };
        new
    }

    /// Calls `look` with every entry, tombstones included, in no order. Changes made meanwhile may or may not be seen.
    pub fn for_each(&self, guard: &impl Guard, mut look: impl FnMut(&Entry)) {
        for cell in &self.current(guard).entries {
            let raw = guard.protect(cell, Ordering::Acquire);
            if !raw.is_null() {
                // SAFETY: protected by the guard, which outlives `look`.
                look(&unsafe { Peek::new(raw) }.0);
            }
        }
    }

    /// As [`Table::for_each`], over `count` cells from cell `from` on; where to go on, 0 at the end.
    pub fn for_some(&self, guard: &impl Guard, from: usize, count: usize, mut look: impl FnMut(&Entry)) -> usize {
        let cells = &self.current(guard).entries;
        let to = from.saturating_add(count).min(cells.len());
        for cell in cells.get(from..to).unwrap_or_default() {
            let raw = guard.protect(cell, Ordering::Acquire);
            if !raw.is_null() {
                // SAFETY: protected by the guard, which outlives `look`.
                look(&unsafe { Peek::new(raw) }.0);
            }
        }
        if to < cells.len() { to } else { 0 }
    }

    /// Cells and entries held.
    pub fn size(&self, guard: &impl Guard) -> (usize, usize) {
        (self.current(guard).entries.len(), self.filled.load(Ordering::Relaxed))
    }

    /// Bytes of the cells.
    pub fn size_bytes(&self, guard: &impl Guard) -> usize {
        self.size(guard).0 * (size_of::<Cell>() + size_of::<AtomicU32>())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no reader is left; the array and the entries in it are owned here.
        let cells = unsafe { Box::from_raw(*self.cells.get_mut()) };
        for cell in &cells.entries {
            let raw = cell.load(Ordering::Relaxed);
            if !raw.is_null() {
                // SAFETY: as above; each entry stands in one cell.
                drop(unsafe { Entry::from_raw(plain(raw)) });
            }
        }
    }
}

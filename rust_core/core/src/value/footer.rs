//! The footer: where the items of large containers are, so that one is found without reading those before it. It grows
//! while the containers are closed, and nothing is read again but the keys of long maps.

use super::{MARK_FOOTER, VERSION_FOOTER, tags};
use crate::checksum::xxh3_64;
use crate::limits::{FOOTER_BYTES_MIN, FOOTER_STRIDE};

/// In place of a table's position: the container has none.
pub(super) const NO_TABLE: u32 = u32::MAX;
/// Bytes of one row: body, end, table.
pub(super) const ROW_BYTES: usize = 12;
/// Bytes behind the rows: their number, and the length of the payload, by which a reader finds its beginning.
pub(super) const TAIL_BYTES: usize = 8;
/// Bytes in front of the payload: the head of the ext.
pub(super) const HEAD_BYTES: usize = 6;

/// An open list or map, to be given back when it is closed.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Where its first item is, counted from the first byte of the value.
    body: usize,
    len: usize,
    /// How many marks there were before its own.
    marks: usize,
    is_map: bool,
    is_marked: bool,
}

impl Open {
    #[inline]
    pub(super) fn new(footer: Option<&Footer>, body: usize, len: usize, is_map: bool, is_sealed: bool) -> Self {
        let is_marked = len > FOOTER_STRIDE && !is_sealed;
        let marks = if is_marked { footer.map_or(0, |footer| footer.marks.len()) } else { 0 };
        Self { body, len, marks, is_map, is_marked }
    }

    /// Whether each entry of this map is marked: before its key and before its value.
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// The first item of this list before which there is a mark, if it is that long; the next ones are
    /// [`FOOTER_STRIDE`] apart.
    #[inline]
    pub fn first_mark(&self) -> usize {
        if self.is_marked { FOOTER_STRIDE } else { usize::MAX }
    }

    /// Whether the footer wants to know that it ends.
    #[inline]
    pub(super) fn is_large(&self, end: usize) -> bool {
        self.is_marked || end - self.body >= FOOTER_BYTES_MIN
    }
}

/// A large container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    body: u32,
    end: u32,
    table: u32,
}

/// What is known so far of the containers that are closed.
#[derive(Debug, Default)]
pub(super) struct Footer {
    /// Positions in the containers that are open.
    marks: Vec<u32>,
    tables: Vec<u8>,
    rows: Vec<Row>,
    /// Table of a map while it is made.
    scratch: Vec<u32>,
}

fn extend(bytes: &mut Vec<u8>, numbers: &[u32]) {
    let at = bytes.len();
    bytes.resize(at + numbers.len() * 4, 0);
    for (place, number) in bytes[at..].chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// The place of a key among `buckets`, by the bytes of its token.
#[inline]
pub(super) fn bucket(key: &[u8], buckets: usize) -> usize {
    // The low half of the hash as a fraction of the buckets. There are fewer than 2^32 of them.
    (((xxh3_64(key) & 0xFFFF_FFFF) * buckets as u64) >> 32) as usize
}

/// How many buckets a map of `len` entries has.
#[inline]
pub(super) fn buckets(len: usize) -> usize {
    len.div_ceil(4)
}

/// Whether a key that begins with `first` is a string or an integer. Those equal no other key but one with the same token.
#[inline]
pub(super) fn is_plain_key(first: u8) -> bool {
    matches!(first, 0x00..=0x7F | 0xA0..=0xBF | 0xCC..=0xD3 | 0xD9..=0xDB | 0xE0..=0xFF)
}

impl Footer {
    #[inline]
    pub fn mark(&mut self, at: usize) {
        // Values that are too long to be counted in 32 bits are refused when they end.
        self.marks.push(at as u32);
    }

    /// A container ends where `value`, the value so far, ends.
    pub fn close(&mut self, open: &Open, value: &[u8]) {
        if value.len() - open.body >= FOOTER_BYTES_MIN {
            let table = self.tables.len() as u32;
            let table = match (open.is_marked, open.is_map) {
                (false, _) => NO_TABLE,
                (true, false) => {
                    extend(&mut self.tables, &self.marks[open.marks..]);
                    table
                }
                (true, true) => {
                    self.map_table(open, value);
                    table
                }
            };
            self.rows.push(Row { body: open.body as u32, end: value.len() as u32, table });
        }
        if open.is_marked {
            self.marks.truncate(open.marks);
        }
    }

    /// Entries by bucket, in their own order within one: filled from the back, so that what counted the entries of a
    /// bucket ends up as its start. However many keys an adversary puts into one bucket, this takes two passes.
    fn map_table(&mut self, open: &Open, value: &[u8]) {
        let buckets = buckets(open.len);
        self.scratch.clear();
        self.scratch.resize(buckets + open.len, 0);
        let (starts, order) = self.scratch.split_at_mut(buckets);
        let mut is_plain = true;
        let marks = &mut self.marks[open.marks..];
        debug_assert_eq!(marks.len(), open.len * 2, "each entry has two marks");
        for entry in marks.chunks_exact_mut(2) {
            let key = value.get(entry[0] as usize..entry[1] as usize).unwrap_or_default();
            is_plain &= key.first().is_some_and(|first| is_plain_key(*first));
            // The mark of the value has served: its place keeps the bucket.
            entry[1] = bucket(key, buckets) as u32;
            starts[entry[1] as usize] += 1;
        }
        let mut sum = 0;
        for start in starts.iter_mut() {
            sum += *start;
            *start = sum;
        }
        for entry in marks.chunks_exact(2).rev() {
            let start = &mut starts[entry[1] as usize];
            *start -= 1;
            order[*start as usize] = entry[0];
        }
        self.tables.push(u8::from(is_plain));
        extend(&mut self.tables, &self.scratch);
    }

    /// Whether there is anything to write down.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends the footer to the value that begins at `start` of `out`, and says so in the envelope.
    pub fn write(&mut self, out: &mut Vec<u8>, start: usize) {
        // An outer container closes after those inside of it, and is looked for before them.
        self.rows.sort_unstable_by_key(|row| row.body);
        let len = self.tables.len() + self.rows.len() * ROW_BYTES + TAIL_BYTES;
        out.reserve(len + HEAD_BYTES);
        out.push(MARK_FOOTER);
        out.extend_from_slice(&(len as u32).to_be_bytes());
        out.push(tags::FOOTER);
        out.extend_from_slice(&self.tables);
        for row in &self.rows {
            extend(out, &[row.body, row.end, row.table]);
        }
        extend(out, &[self.rows.len() as u32, len as u32]);
        out[start + 1] = VERSION_FOOTER;
    }
}

/// The footer of a value that is read from one end to the other: made again on the way, and held against the bytes.
#[derive(Debug)]
pub(super) struct Rebuilt<'a> {
    pub footer: Footer,
    pub written: &'a [u8],
    /// Tagged objects and sets that are open: what is in them is not looked for.
    pub seals: u32,
}

impl Rebuilt<'_> {
    /// Whether what was read has exactly this footer.
    pub fn fits(&mut self) -> bool {
        let mut again = vec![0; 2];
        self.footer.write(&mut again, 0);
        !self.footer.is_empty() && again[2..] == *self.written
    }
}

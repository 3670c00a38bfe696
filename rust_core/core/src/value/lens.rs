//! Finding one part of a value without reading the rest.

use super::footer::{NO_TABLE, ROW_BYTES, bucket, buckets, is_plain_key};
use super::layout::Layout;
use super::{Reader, Token, ValueError, tags};
use crate::limits::FOOTER_STRIDE;

/// What a container is to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A list.
    List,
    /// A tuple.
    Tuple,
    /// A dict.
    Map,
}

/// A container that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// How many items or entries it has.
    pub len: usize,
    /// Where its first item or key is.
    pub body: usize,
    /// Where its table in the footer is.
    table: Option<usize>,
}

impl Place {
    /// Whether the footer says where its items are.
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }
}

/// Where a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The value is here.
    At(usize),
    /// There is no such key.
    Absent,
    /// No key has this token, but some keys are neither strings nor integers, and one of those might be equal to it.
    Unsure,
}

/// Looks into a value that may be damaged. Never panics, allocates nothing, and believes an offset only if it lies within
/// the object. What is not looked at is not checked.
#[derive(Clone, Copy, Debug)]
pub struct Lens<'a> {
    bytes: &'a [u8],
    layout: Layout,
}

impl<'a> Lens<'a> {
    /// Where the object of every value begins.
    pub const OBJECT: usize = 2;

    /// Over a whole value, envelope first. Errors: `value.malformed`, `value.format_version`. Cost: O(1).
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ValueError> {
        Ok(Self { bytes, layout: Layout::of(bytes)? })
    }

    /// A reader that begins at `at`, for the value there. It checks no footer.
    #[inline]
    pub fn reader(&self, at: usize) -> Reader<'a> {
        Reader::at(&self.bytes[..self.layout.object_end], at)
    }

    #[cold]
    fn malformed(&self, offset: usize) -> ValueError {
        ValueError::Malformed { offset, reason: "a footer that leads nowhere" }
    }

    #[inline]
    fn number(&self, at: usize) -> Result<usize, ValueError> {
        let found = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        found.map(|bytes| u32::from_le_bytes(*bytes) as usize).ok_or_else(|| self.malformed(at))
    }

    /// The container whose first item is at `body`, if it is a large one: its end, and its table.
    fn row(&self, body: usize) -> Result<Option<(usize, usize)>, ValueError> {
        let (mut low, mut high) = (0, self.layout.row_count);
        while low < high {
            let middle = low + (high - low) / 2;
            let row = self.layout.rows + middle * ROW_BYTES;
            let found = self.number(row)?;
            if found == body {
                let end = self.number(row + 4)?;
                if end <= body || end > self.layout.object_end {
                    return Err(self.malformed(row));
                }
                return Ok(Some((end, self.number(row + 8)?)));
            } else if found < body {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(None)
    }

    /// The container at `at`; None if another value is there. Errors: `value.malformed`.
    pub fn container(&self, at: usize) -> Result<Option<Place>, ValueError> {
        let mut reader = self.reader(at);
        let (kind, len) = match reader.token()? {
            Token::Array(len) => (Kind::List, len),
            Token::Map(len) => (Kind::Map, len),
            Token::Ext { code: tags::TUPLE, .. } => match reader.token()? {
                Token::Array(len) => (Kind::Tuple, len),
                _ => return Err(reader.malformed("a tuple or set without its array")),
            },
            _ => return Ok(None),
        };
        let mut place = Place { kind, len, body: reader.pos(), table: None };
        if len > FOOTER_STRIDE
            && let Some((_, table)) = self.row(place.body)?.filter(|(_, table)| *table != NO_TABLE as usize)
        {
            let bytes = match kind {
                Kind::Map => 1 + 4 * (buckets(len) + len),
                Kind::List | Kind::Tuple => 4 * ((len - 1) / FOOTER_STRIDE),
            };
            let table = self.layout.tables.saturating_add(table);
            if table.saturating_add(bytes) > self.layout.rows {
                return Err(self.malformed(table));
            }
            place.table = Some(table);
        }
        Ok(Some(place))
    }

    /// Where the value at `at` ends. Errors: `value.malformed`. Cost: O(1), or of a container that has no row in the footer,
    /// which is a small one: one step per token.
    #[inline]
    pub fn skip(&self, at: usize) -> Result<usize, ValueError> {
        let mut reader = self.reader(at);
        let mut left = match reader.token()? {
            Token::Array(len) => len,
            Token::Map(len) => len * 2,
            Token::Ext { len, .. } => {
                reader.take(len)?;
                0
            }
            _ => 0,
        };
        if left > 0
            && self.layout.row_count > 0
            && let Some((end, _)) = self.row(reader.pos())?
        {
            return Ok(end);
        }
        while left > 0 {
            left -= 1;
            match reader.token()? {
                // The reader lets no containers claim more items than there are bytes.
                Token::Array(len) => left += len,
                Token::Map(len) => left += len * 2,
                Token::Ext { len, .. } => {
                    reader.take(len)?;
                }
                _ => {}
            }
        }
        Ok(reader.pos())
    }

    /// An offset that a table names: within the object, behind the beginning of its container.
    fn offset(&self, place: &Place, at: usize) -> Result<usize, ValueError> {
        let offset = self.number(at)?;
        if offset < place.body || offset >= self.layout.object_end {
            return Err(self.malformed(at));
        }
        Ok(offset)
    }

    /// Where item `index`, which is below its length, of a list or tuple begins. Errors: `value.malformed`.
    /// Cost: fewer than [`FOOTER_STRIDE`] skips; in a large container without a table `index` skips.
    pub fn item(&self, place: &Place, index: usize) -> Result<usize, ValueError> {
        let (mut at, skips) = match place.table {
            Some(table) if index >= FOOTER_STRIDE => {
                (self.offset(place, table + 4 * (index / FOOTER_STRIDE - 1))?, index % FOOTER_STRIDE)
            }
            _ => (place.body, index),
        };
        for _ in 0..skips {
            at = self.skip(at)?;
        }
        Ok(at)
    }

    /// Where the value is whose key has the bytes `token`, in a map. Errors: `value.malformed`.
    /// Cost: a hash and some four comparisons; without a table a comparison and two skips per entry.
    pub fn find(&self, place: &Place, token: &[u8]) -> Result<Found, ValueError> {
        let is_here = |at: usize| self.bytes[at..self.layout.object_end].starts_with(token);
        let mut is_plain = true;
        if let Some(table) = place.table {
            is_plain = self.bytes[table] == 1;
            let (buckets, starts) = (buckets(place.len), table + 1);
            let bucket = bucket(token, buckets);
            let first = self.number(starts + 4 * bucket)?;
            let last = if bucket + 1 < buckets { self.number(starts + 4 * (bucket + 1))? } else { place.len };
            if first > last || last > place.len {
                return Err(self.malformed(table));
            }
            for entry in first..last {
                let at = self.offset(place, starts + 4 * (buckets + entry))?;
                if is_here(at) {
                    return Ok(Found::At(at + token.len()));
                }
            }
        } else {
            let mut at = place.body;
            for _ in 0..place.len {
                let value = self.skip(at)?;
                if is_here(at) {
                    return Ok(Found::At(value));
                }
                is_plain &= is_plain_key(self.bytes[at]);
                at = self.skip(value)?;
            }
        }
        Ok(if is_plain { Found::Absent } else { Found::Unsure })
    }
}

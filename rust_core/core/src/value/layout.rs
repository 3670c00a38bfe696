//! The parts of a value: object and footer.

use super::footer::{HEAD_BYTES, ROW_BYTES, TAIL_BYTES};
use super::{MARK, MARK_FOOTER, VERSION, VERSION_FOOTER, ValueError, tags};

/// Where the object of a value ends, and where the parts of its footer are. Found from the two ends of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub object_end: usize,
    pub tables: usize,
    pub rows: usize,
    pub row_count: usize,
}

fn malformed(offset: usize, reason: &'static str) -> ValueError {
    ValueError::Malformed { offset, reason }
}

impl Layout {
    /// Errors: `value.malformed`, `value.format_version`. Cost: O(1).
    #[inline]
    pub fn of(bytes: &[u8]) -> Result<Self, ValueError> {
        match bytes {
            [MARK, VERSION, ..] => {
                Ok(Self { object_end: bytes.len(), tables: bytes.len(), rows: bytes.len(), row_count: 0 })
            }
            [MARK, VERSION_FOOTER, ..] => Self::with_footer(bytes),
            [MARK, found, ..] if *found > VERSION_FOOTER => Err(ValueError::FormatVersion { found: *found }),
            _ => Err(malformed(0, "no value envelope")),
        }
    }

    fn with_footer(bytes: &[u8]) -> Result<Self, ValueError> {
        let broken = || malformed(bytes.len(), "a footer that does not fit");
        let (_, tail) = bytes.split_last_chunk::<TAIL_BYTES>().ok_or_else(broken)?;
        let [c0, c1, c2, c3, len @ ..] = *tail;
        let (row_count, len) = (u32::from_le_bytes([c0, c1, c2, c3]) as usize, u32::from_le_bytes(len));
        let tables = bytes.len().checked_sub(len as usize).ok_or_else(broken)?;
        let row_bytes = row_count.checked_mul(ROW_BYTES).and_then(|rows| rows.checked_add(TAIL_BYTES));
        let rows = row_bytes.and_then(|all| bytes.len().checked_sub(all)).filter(|rows| *rows >= tables);
        let (rows, object_end) = rows.zip(tables.checked_sub(HEAD_BYTES)).ok_or_else(broken)?;
        let [l0, l1, l2, l3] = len.to_be_bytes();
        if row_count == 0 || object_end < 3 || bytes[object_end..tables] != [MARK_FOOTER, l0, l1, l2, l3, tags::FOOTER]
        {
            return Err(malformed(object_end, "a footer that does not fit"));
        }
        Ok(Self { object_end, tables, rows, row_count })
    }
}

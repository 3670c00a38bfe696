//! The token sink, continued: exts, tagged objects, arrays.

use super::{ALIGNMENT, ArrayHeader, Encoder, Shape, ValueError, tags};
use crate::limits::TAG_BYTES_MAX;

/// The place of an open ext, whose length is written when it is closed.
#[must_use]
pub struct ExtMark {
    at: usize,
    is_sealed: bool,
}

impl Encoder<'_> {
    /// An ext that is no string to a caller (dates, UUIDs). Errors: `value.total_bytes`.
    pub fn ext(&mut self, code: u8, data: &[u8]) -> Result<(), ValueError> {
        self.room(data.len())?;
        self.ext_head(code, data.len());
        self.out.extend_from_slice(data);
        Ok(())
    }

    /// An ext that holds one string-like thing (big integers, bytearrays). Errors as for [`Encoder::str`].
    pub fn ext_bytes(&mut self, code: u8, data: &[u8]) -> Result<(), ValueError> {
        self.string_room(data.len())?;
        self.ext_head(code, data.len());
        self.out.extend_from_slice(data);
        Ok(())
    }

    fn ext_head(&mut self, code: u8, len: usize) {
        match len {
            1 => self.out.push(0xD4),
            2 => self.out.push(0xD5),
            4 => self.out.push(0xD6),
            8 => self.out.push(0xD7),
            16 => self.out.push(0xD8),
            _ => self.head(0xC7, 0xC8, 0xC9, len),
        }
        self.out.push(code);
    }

    /// Opens an ext around other tokens. The length, unknown yet, is filled in by [`Encoder::end_ext`].
    pub fn begin_ext(&mut self, code: u8) -> ExtMark {
        let mark = ExtMark { at: self.out.len(), is_sealed: code != tags::TUPLE };
        self.seals += u32::from(mark.is_sealed);
        self.out.extend_from_slice(&[0xC9, 0, 0, 0, 0, code]);
        mark
    }

    /// Closes an ext. Errors: `value.total_bytes`.
    pub fn end_ext(&mut self, mark: ExtMark) -> Result<(), ValueError> {
        self.room(0)?;
        self.seals -= u32::from(mark.is_sealed);
        let len = (self.out.len() - mark.at - 6) as u32;
        self.out[mark.at + 1..mark.at + 5].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Opens a tagged value; one payload value follows, then [`Encoder::end_tagged`]. Errors: `value.depth`, `value.tag`.
    pub fn begin_tagged(&mut self, tag: &str, version: u32) -> Result<ExtMark, ValueError> {
        if tag.is_empty() || tag.len() > TAG_BYTES_MAX {
            return Err(ValueError::Tag { len_bytes: tag.len() });
        }
        self.open(0)?;
        let mark = self.begin_ext(tags::TAGGED);
        // The tag belongs to the class, not to the value: `string_bytes_max` does not speak of it.
        self.str_unlimited(tag);
        self.uint(u64::from(version));
        Ok(mark)
    }

    /// Closes a tagged value. Errors: `value.total_bytes`.
    pub fn end_tagged(&mut self, mark: ExtMark) -> Result<(), ValueError> {
        self.depth -= 1;
        self.end_ext(mark)
    }

    /// A tagged value whose payload is already encoded and was measured as `shape`. Errors: every limit.
    pub fn tagged_bytes(&mut self, tag: &str, version: u32, payload: &[u8], shape: &Shape) -> Result<(), ValueError> {
        let mark = self.begin_tagged(tag, version)?;
        if self.depth + shape.depth > self.limits.depth_max {
            return Err(ValueError::Depth { max: self.limits.depth_max });
        }
        self.items = self.items.saturating_add(shape.items);
        if self.items > self.limits.items_max {
            return Err(ValueError::Items { max: self.limits.items_max });
        }
        if shape.string_bytes > self.limits.string_bytes_max {
            let max_bytes = self.limits.string_bytes_max;
            return Err(ValueError::StringBytes { len_bytes: shape.string_bytes, max_bytes });
        }
        self.room(payload.len())?;
        self.out.extend_from_slice(payload);
        self.end_tagged(mark)
    }

    /// An array: `data` in the layout that `header` names, padded so that it begins at a multiple of [`ALIGNMENT`].
    /// Errors: `value.total_bytes`. Array data counts against the size of the whole value only, not as one string.
    pub fn ndarray(&mut self, header: &ArrayHeader, data: &[u8]) -> Result<(), ValueError> {
        // Refuse before the copy; the few bytes around the data are counted when the ext is closed.
        self.room(data.len())?;
        let mark = self.begin_ext(tags::NDARRAY);
        header.write(self.out);
        let used = self.out.len() + 1 - self.start;
        let pad = used.next_multiple_of(ALIGNMENT) - used;
        self.out.push(pad as u8);
        self.out.extend_from_slice(&[0u8; ALIGNMENT][..pad]);
        self.out.extend_from_slice(data);
        self.end_ext(mark)
    }

    /// One element of an array type. Errors as for [`Encoder::str`]; only the string types count as strings.
    pub fn array_scalar(&mut self, header: &ArrayHeader, data: &[u8]) -> Result<(), ValueError> {
        if header.dtype.is_text() {
            self.string_room(data.len())?;
        }
        self.room(data.len())?;
        let mark = self.begin_ext(tags::ARRAY_SCALAR);
        header.write(self.out);
        self.out.push(0);
        self.out.extend_from_slice(data);
        self.end_ext(mark)
    }
}

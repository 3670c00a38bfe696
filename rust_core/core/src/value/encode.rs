//! The token sink.

use super::footer::{Footer, Open};
use super::{ALIGNMENT, ArrayHeader, MARK, Shape, VERSION, ValueError, tags};
use crate::limits::{TAG_BYTES_MAX, VALUE_BYTES_CEILING, ValueLimits};

/// Appends one value to a buffer, token by token, within limits.
///
/// After an error the buffer holds half a value: the caller truncates it to where it was. Containers are opened with their
/// length and closed with [`Encoder::end`]; exactly that many items (for maps: keys and values in turn) go in between, with
/// an [`Encoder::mark`] before those that the [`Open`] names.
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    depth: u32,
    items: u64,
    limits: ValueLimits,
    /// Open exts whose content is read as a whole: tagged objects and sets. The footer leaves it out.
    seals: u32,
    footer: Option<Box<Footer>>,
}

/// The place of an open ext, whose length is written when it is closed.
#[must_use]
pub struct ExtMark {
    at: usize,
    is_sealed: bool,
}

impl<'a> Encoder<'a> {
    /// Starts a value at the end of `out`. What is already in `out` stays; alignment and limits count from here.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, limits: &ValueLimits) -> Self {
        let start = out.len();
        out.extend_from_slice(&[MARK, VERSION]);
        Self { out, start, depth: 0, items: 0, limits: *limits, seals: 0, footer: None }
    }

    /// Starts a payload: a value without envelope and footer, to be kept inside of another one.
    pub fn bare(out: &'a mut Vec<u8>, limits: &ValueLimits) -> Self {
        let start = out.len();
        Self { out, start, depth: 0, items: 0, limits: *limits, seals: 1, footer: None }
    }

    /// The limits in force.
    pub fn limits(&self) -> &ValueLimits {
        &self.limits
    }

    /// Ends the value; returns its length in bytes. Errors: `value.total_bytes`.
    #[inline]
    pub fn finish(mut self) -> Result<usize, ValueError> {
        debug_assert_eq!(self.depth, 0, "a container was left open");
        self.room(0)?;
        if let Some(footer) = self.footer.take() {
            self.finish_footer(*footer)?;
        }
        Ok(self.out.len() - self.start)
    }

    #[inline(never)]
    fn finish_footer(&mut self, mut footer: Footer) -> Result<(), ValueError> {
        if !footer.is_empty() {
            footer.write(self.out, self.start);
        }
        self.room(0)
    }

    /// Errors unless `more` bytes fit. Called for whatever can be long; scalars are covered by the next such call.
    #[inline]
    fn room(&self, more: usize) -> Result<(), ValueError> {
        if (self.out.len() - self.start).saturating_add(more) > self.limits.value_bytes_max.min(VALUE_BYTES_CEILING) {
            return Err(ValueError::TotalBytes { max_bytes: self.limits.value_bytes_max });
        }
        Ok(())
    }

    #[inline]
    fn string_room(&self, len: usize) -> Result<(), ValueError> {
        if len > self.limits.string_bytes_max {
            return Err(ValueError::StringBytes { len_bytes: len, max_bytes: self.limits.string_bytes_max });
        }
        self.room(len)
    }

    /// Nothing.
    #[inline]
    pub fn nil(&mut self) {
        self.out.push(0xC0);
    }

    /// A truth value.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.out.push(0xC2 | u8::from(value));
    }

    /// A signed integer, in the fewest bytes.
    #[inline]
    pub fn int(&mut self, value: i64) {
        if (-32..128).contains(&value) {
            self.out.push(value as u8);
        } else {
            self.int_wide(value);
        }
    }

    fn int_wide(&mut self, value: i64) {
        if value >= 0 {
            self.uint_wide(value as u64);
        } else if let Ok(small) = i8::try_from(value) {
            self.out.extend_from_slice(&[0xD0, small as u8]);
        } else if let Ok(small) = i16::try_from(value) {
            self.marked(0xD1, &small.to_be_bytes());
        } else if let Ok(small) = i32::try_from(value) {
            self.marked(0xD2, &small.to_be_bytes());
        } else {
            self.marked(0xD3, &value.to_be_bytes());
        }
    }

    /// An unsigned integer, in the fewest bytes.
    #[inline]
    pub fn uint(&mut self, value: u64) {
        if value < 128 {
            self.out.push(value as u8);
        } else {
            self.uint_wide(value);
        }
    }

    fn uint_wide(&mut self, value: u64) {
        if let Ok(small) = u8::try_from(value) {
            self.out.extend_from_slice(&[0xCC, small]);
        } else if let Ok(small) = u16::try_from(value) {
            self.marked(0xCD, &small.to_be_bytes());
        } else if let Ok(small) = u32::try_from(value) {
            self.marked(0xCE, &small.to_be_bytes());
        } else {
            self.marked(0xCF, &value.to_be_bytes());
        }
    }

    /// A float; every bit is kept, also those of a NaN.
    #[inline]
    pub fn float(&mut self, value: f64) {
        self.marked(0xCB, &value.to_bits().to_be_bytes());
    }

    /// One capacity check for mark and number together.
    #[inline]
    fn marked<const N: usize>(&mut self, mark: u8, bytes: &[u8; N]) {
        let mut token = [0u8; 9];
        token[0] = mark;
        token[1..=N].copy_from_slice(bytes);
        self.out.extend_from_slice(&token[..=N]);
    }

    /// A string. Errors: `value.string_bytes`, `value.total_bytes`.
    #[inline]
    pub fn str(&mut self, text: &str) -> Result<(), ValueError> {
        self.string_room(text.len())?;
        self.str_unlimited(text);
        Ok(())
    }

    #[inline]
    fn str_unlimited(&mut self, text: &str) {
        let len = text.len();
        self.out.reserve(len + 5);
        if len < 32 {
            self.out.push(0xA0 | len as u8);
        } else {
            self.head(0xD9, 0xDA, 0xDB, len);
        }
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Bytes. Errors as for [`Encoder::str`].
    pub fn bin(&mut self, bytes: &[u8]) -> Result<(), ValueError> {
        self.string_room(bytes.len())?;
        self.head(0xC4, 0xC5, 0xC6, bytes.len());
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Lengths were checked against [`VALUE_BYTES_CEILING`], so they fit 32 bits.
    fn head(&mut self, mark8: u8, mark16: u8, mark32: u8, len: usize) {
        if let Ok(short) = u8::try_from(len) {
            self.out.extend_from_slice(&[mark8, short]);
        } else if let Ok(short) = u16::try_from(len) {
            self.marked(mark16, &short.to_be_bytes());
        } else {
            self.marked(mark32, &(len as u32).to_be_bytes());
        }
    }

    /// Opens a list of `len` items. Errors: `value.depth`, `value.items`, `value.total_bytes`.
    #[inline]
    pub fn begin_array(&mut self, len: usize) -> Result<Open, ValueError> {
        self.open(len)?;
        if len < 16 {
            self.out.push(0x90 | len as u8);
        } else {
            self.container_head(0xDC, len);
        }
        Ok(self.opened(len, false))
    }

    /// Opens a map of `len` entries. Errors as for [`Encoder::begin_array`].
    #[inline]
    pub fn begin_map(&mut self, len: usize) -> Result<Open, ValueError> {
        self.open(len)?;
        if len < 16 {
            self.out.push(0x80 | len as u8);
        } else {
            self.container_head(0xDE, len);
        }
        Ok(self.opened(len, true))
    }

    #[inline]
    fn opened(&self, len: usize, is_map: bool) -> Open {
        Open::new(self.footer.as_deref(), self.out.len() - self.start, len, is_map, self.seals > 0)
    }

    /// The next item is one that the innermost open container wants marked: see [`Open`].
    pub fn mark(&mut self) {
        let at = self.out.len() - self.start;
        self.footer.get_or_insert_default().mark(at);
    }

    fn container_head(&mut self, mark16: u8, len: usize) {
        match u16::try_from(len) {
            Ok(short) => self.marked(mark16, &short.to_be_bytes()),
            Err(_) => self.marked(mark16 + 1, &(len as u32).to_be_bytes()),
        }
    }

    #[inline]
    fn open(&mut self, len: usize) -> Result<(), ValueError> {
        if self.depth >= self.limits.depth_max {
            return Err(ValueError::Depth { max: self.limits.depth_max });
        }
        let items = self.items.saturating_add(len as u64);
        // Each item takes a byte at least, which keeps lengths within 32 bits whatever `items_max` says.
        if items > self.limits.items_max {
            return Err(ValueError::Items { max: self.limits.items_max });
        }
        self.room(len)?;
        self.depth += 1;
        self.items = items;
        Ok(())
    }

    /// Closes the innermost open list or map.
    #[inline]
    pub fn end(&mut self, open: Open) {
        debug_assert!(self.depth > 0, "nothing is open");
        self.depth -= 1;
        if open.is_large(self.out.len() - self.start) {
            self.end_large(open);
        }
    }

    #[cold]
    fn end_large(&mut self, open: Open) {
        if self.seals == 0 {
            self.footer.get_or_insert_default().close(&open, &self.out[self.start..]);
        }
    }

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

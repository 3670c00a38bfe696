//! The token sink.

use super::footer::{Footer, Open};
use super::{MARK, VERSION, ValueError};
use crate::limits::{VALUE_BYTES_CEILING, ValueLimits};

/// A string of fewer bytes has a head of one byte.
const SHORT_BYTES: usize = 32;

/// Copies at most twice `N` bytes, if there are `N`: the first and the last ones, which may overlap.
#[inline(always)]
fn both_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    to[..N].copy_from_slice(first);
    to[from.len() - N..from.len()].copy_from_slice(last);
    true
}

/// Appends one value to a buffer, token by token, within limits.
///
/// After an error the buffer holds half a value: the caller truncates it to where it was. Containers are opened with their
/// length and closed with [`Encoder::end`]; exactly that many items (for maps: keys and values in turn) go in between, with
/// an [`Encoder::mark`] before those that the [`Open`] names.
pub struct Encoder<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) start: usize,
    /// How long `out` may become.
    end_max: usize,
    pub(super) depth: u32,
    pub(super) items: u64,
    pub(super) limits: ValueLimits,
    /// Open exts whose content is read as a whole: tagged objects and sets. The footer leaves it out.
    pub(super) seals: u32,
    footer: Option<Box<Footer>>,
}

impl<'a> Encoder<'a> {
    /// Starts a value at the end of `out`. What is already in `out` stays; alignment and limits count from here.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, limits: &ValueLimits) -> Self {
        let mut encoder = Self::bare(out, limits);
        encoder.seals = 0;
        encoder.out.extend_from_slice(&[MARK, VERSION]);
        encoder
    }

    /// Starts a payload: a value without envelope and footer, to be kept inside of another one.
    #[inline]
    pub fn bare(out: &'a mut Vec<u8>, limits: &ValueLimits) -> Self {
        let start = out.len();
        let end_max = start + limits.value_bytes_max.min(VALUE_BYTES_CEILING);
        Self { out, start, end_max, depth: 0, items: 0, limits: *limits, seals: 1, footer: None }
    }

    /// The limits in force.
    pub fn limits(&self) -> &ValueLimits {
        &self.limits
    }

    /// Ends the value, behind which nothing may be added; returns its length in bytes. Errors: `value.total_bytes`.
    // By reference: a copy of the encoder waits for all that the walk has just stored in it.
    #[inline]
    pub fn finish(&mut self) -> Result<usize, ValueError> {
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
    pub(super) fn room(&self, more: usize) -> Result<(), ValueError> {
        if self.out.len().saturating_add(more) > self.end_max {
            return Err(ValueError::TotalBytes { max_bytes: self.limits.value_bytes_max });
        }
        Ok(())
    }

    #[inline]
    pub(super) fn string_room(&self, len: usize) -> Result<(), ValueError> {
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
    pub(super) fn str_unlimited(&mut self, text: &str) {
        let len = text.len();
        if len >= SHORT_BYTES || self.out.capacity() - self.out.len() < SHORT_BYTES {
            return self.str_long(text);
        }
        // Copied in lengths that the compiler knows: calling for a copy of so few bytes takes longer than the copy.
        self.out.extend_from_slice(&[0; SHORT_BYTES]);
        if let Some([head, place @ ..]) = self.out.last_chunk_mut::<SHORT_BYTES>() {
            *head = 0xA0 | len as u8;
            let text = text.as_bytes();
            let _ = both_ends::<16>(place, text)
                || both_ends::<8>(place, text)
                || both_ends::<4>(place, text)
                || both_ends::<2>(place, text)
                || both_ends::<1>(place, text);
        }
        self.out.truncate(self.out.len() - SHORT_BYTES + 1 + len);
    }

    /// Apart, so that the short way calls nothing and saves no registers.
    #[inline(never)]
    fn str_long(&mut self, text: &str) {
        self.out.reserve(text.len() + SHORT_BYTES);
        if text.len() < SHORT_BYTES {
            self.out.push(0xA0 | text.len() as u8);
        } else {
            self.head(0xD9, 0xDA, 0xDB, text.len());
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
    pub(super) fn head(&mut self, mark8: u8, mark16: u8, mark32: u8, len: usize) {
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
    pub(super) fn open(&mut self, len: usize) -> Result<(), ValueError> {
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
}

//! The checked reader of tokens.

use super::ValueError;
use super::footer::{Footer, Rebuilt};
use super::layout::Layout;

/// One token. Ext payloads are not consumed: take them with [`Reader::take`], or read the tokens inside and then call
/// [`Reader::close`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Token<'a> {
    /// Nothing.
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A string, not yet checked to be UTF-8: whoever builds the string does that anyway.
    Str(&'a [u8]),
    /// Bytes.
    Bin(&'a [u8]),
    /// A list; this many values follow.
    Array(usize),
    /// A map; this many pairs follow.
    Map(usize),
    /// A reserved type; `len` bytes of payload follow.
    Ext {
        /// One of [`super::tags`].
        code: u8,
        /// Payload bytes.
        len: usize,
    },
}

/// Reads tokens from bytes that may be damaged. Never panics; a length is believed only if the bytes that it needs are there.
pub struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) pos: usize,
    /// Slots that containers may still claim. Each item takes a byte at least, so all containers of a value together hold
    /// fewer items than the value has bytes. Checking only each one would let 512 nested heads claim the rest 512 times.
    slots: usize,
    /// Of a whole value that has a footer.
    pub(super) footer: Option<Box<Rebuilt<'a>>>,
}

impl<'a> Reader<'a> {
    /// Reads a whole value, envelope first. A footer is checked against what is read, which takes that the caller gives every
    /// container to [`Reader::open_array`] or [`Reader::open_map`]. Errors: `value.malformed`, `value.format_version`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Result<Self, ValueError> {
        let layout = Layout::of(bytes)?;
        let mut reader = Self::at(&bytes[..layout.object_end], 2);
        if layout.row_count > 0 {
            let written = &bytes[layout.object_end..];
            reader.footer = Some(Box::new(Rebuilt { footer: Footer::default(), written, seals: 0 }));
        }
        Ok(reader)
    }

    /// Reads a payload, which has no envelope.
    pub fn bare(bytes: &'a [u8]) -> Self {
        Self::at(bytes, 0)
    }

    /// Reads on from `pos`.
    #[inline]
    pub(super) fn at(bytes: &'a [u8], pos: usize) -> Self {
        Self { bytes, pos: pos.min(bytes.len()), slots: bytes.len(), footer: None }
    }

    /// Offset of the next byte.
    #[inline]
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// The bytes from `from` to the next byte. Empty when `from` lies behind it.
    pub fn since(&self, from: usize) -> &'a [u8] {
        self.bytes.get(from..self.pos).unwrap_or_default()
    }

    /// A `value.malformed` here.
    #[cold]
    pub fn malformed(&self, reason: &'static str) -> ValueError {
        ValueError::Malformed { offset: self.pos, reason }
    }

    /// Takes the next `len` bytes. Errors: `value.malformed`.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], ValueError> {
        let rest = &self.bytes[self.pos..];
        if len > rest.len() {
            return Err(self.malformed("cut short"));
        }
        self.pos += len;
        Ok(&rest[..len])
    }

    #[inline]
    fn number<const N: usize>(&mut self) -> Result<[u8; N], ValueError> {
        match self.bytes[self.pos..].first_chunk::<N>() {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => Err(self.malformed("cut short")),
        }
    }

    /// Errors unless the value ends here and has the footer that fits.
    #[inline]
    pub fn finish(&mut self) -> Result<(), ValueError> {
        if self.pos != self.bytes.len() {
            return Err(self.malformed("trailing bytes"));
        }
        if self.footer.as_mut().is_some_and(|footer| !footer.fits()) {
            return Err(self.malformed("a footer that does not fit"));
        }
        Ok(())
    }

    /// Errors unless the ext whose payload ends at `end` was read exactly.
    pub fn close(&self, end: usize) -> Result<(), ValueError> {
        if self.pos != end {
            return Err(self.malformed("an ext whose content does not fill it"));
        }
        Ok(())
    }

    #[inline]
    fn claim(&mut self, slots: usize) -> Result<(), ValueError> {
        if slots > self.slots || slots > self.bytes.len() - self.pos {
            return Err(self.malformed("a container longer than the bytes that follow"));
        }
        self.slots -= slots;
        Ok(())
    }

    #[inline]
    fn array(&mut self, len: usize) -> Result<Token<'a>, ValueError> {
        self.claim(len)?;
        Ok(Token::Array(len))
    }

    #[inline]
    fn map(&mut self, len: usize) -> Result<Token<'a>, ValueError> {
        self.claim(len.saturating_mul(2))?;
        Ok(Token::Map(len))
    }

    #[inline]
    fn ext(&mut self, len: usize) -> Result<Token<'a>, ValueError> {
        let [code] = self.number()?;
        if len > self.bytes.len() - self.pos {
            return Err(self.malformed("an ext longer than the bytes that follow"));
        }
        Ok(Token::Ext { code, len })
    }

    /// Reads the next token. Errors: `value.malformed`.
    #[inline]
    pub fn token(&mut self) -> Result<Token<'a>, ValueError> {
        let [mark] = self.number()?;
        match mark {
            0x00..=0x7F => Ok(Token::Int(i64::from(mark))),
            0x80..=0x8F => self.map(usize::from(mark & 0x0F)),
            0x90..=0x9F => self.array(usize::from(mark & 0x0F)),
            0xA0..=0xBF => Ok(Token::Str(self.take(usize::from(mark & 0x1F))?)),
            0xC0 => Ok(Token::Nil),
            0xC2 => Ok(Token::Bool(false)),
            0xC3 => Ok(Token::Bool(true)),
            0xCB => Ok(Token::Float(f64::from_bits(u64::from_be_bytes(self.number()?)))),
            0xD9 => {
                let len = self.len8()?;
                Ok(Token::Str(self.take(len)?))
            }
            0xE0..=0xFF => Ok(Token::Int(i64::from(mark as i8))),
            _ => self.rare_token(mark),
        }
    }

    fn rare_token(&mut self, mark: u8) -> Result<Token<'a>, ValueError> {
        match mark {
            0xC4 => {
                let len = self.len8()?;
                Ok(Token::Bin(self.take(len)?))
            }
            0xC5 => {
                let len = self.len16()?;
                Ok(Token::Bin(self.take(len)?))
            }
            0xC6 => {
                let len = self.len32()?;
                Ok(Token::Bin(self.take(len)?))
            }
            0xC7 => {
                let len = self.len8()?;
                self.ext(len)
            }
            0xC8 => {
                let len = self.len16()?;
                self.ext(len)
            }
            0xC9 => {
                let len = self.len32()?;
                self.ext(len)
            }
            0xCC => Ok(Token::Int(i64::from(self.number::<1>()?[0]))),
            0xCD => Ok(Token::Int(i64::from(u16::from_be_bytes(self.number()?)))),
            0xCE => Ok(Token::Int(i64::from(u32::from_be_bytes(self.number()?)))),
            0xCF => {
                let wide = u64::from_be_bytes(self.number()?);
                Ok(i64::try_from(wide).map_or(Token::UInt(wide), Token::Int))
            }
            0xD0 => Ok(Token::Int(i64::from(i8::from_be_bytes(self.number()?)))),
            0xD1 => Ok(Token::Int(i64::from(i16::from_be_bytes(self.number()?)))),
            0xD2 => Ok(Token::Int(i64::from(i32::from_be_bytes(self.number()?)))),
            0xD3 => Ok(Token::Int(i64::from_be_bytes(self.number()?))),
            0xD4..=0xD8 => self.ext(1 << (mark - 0xD4)),
            0xDA => {
                let len = self.len16()?;
                Ok(Token::Str(self.take(len)?))
            }
            0xDB => {
                let len = self.len32()?;
                Ok(Token::Str(self.take(len)?))
            }
            0xDC => {
                let len = self.len16()?;
                self.array(len)
            }
            0xDD => {
                let len = self.len32()?;
                self.array(len)
            }
            0xDE => {
                let len = self.len16()?;
                self.map(len)
            }
            0xDF => {
                let len = self.len32()?;
                self.map(len)
            }
            _ => {
                self.pos -= 1;
                Err(self.malformed("a byte that begins no token"))
            }
        }
    }

    fn len8(&mut self) -> Result<usize, ValueError> {
        Ok(usize::from(self.number::<1>()?[0]))
    }

    fn len16(&mut self) -> Result<usize, ValueError> {
        Ok(usize::from(u16::from_be_bytes(self.number()?)))
    }

    fn len32(&mut self) -> Result<usize, ValueError> {
        Ok(u32::from_be_bytes(self.number()?) as usize)
    }

    /// Reads tag and version of a tagged value. Errors: `value.malformed`.
    pub fn tag(&mut self) -> Result<(&'a str, u32), ValueError> {
        let Token::Str(tag) = self.token()? else {
            return Err(self.malformed("a tag that is no string"));
        };
        let tag = std::str::from_utf8(tag).map_err(|_| self.malformed("a tag that is not UTF-8"))?;
        if tag.is_empty() || tag.len() > crate::limits::TAG_BYTES_MAX {
            return Err(self.malformed("a tag of forbidden length"));
        }
        let Token::Int(version) = self.token()? else {
            return Err(self.malformed("a version that is no integer"));
        };
        let version = u32::try_from(version).map_err(|_| self.malformed("a version out of range"))?;
        Ok((tag, version))
    }
}

//! A value as a tree of its tokens: made of input bytes, written by the encoder, read back by the reader.

use spellkeep_core::limits::{DEPTH_CEILING, FOOTER_STRIDE};
use spellkeep_core::value::{
    ArrayHeader, Clock, Date, Encoder, Moment, Reader, Span, Token, ValueError, decimal_is_plain, tags,
};

use super::source::Source;

#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    Nil,
    Bool(bool),
    Int(i64),
    UInt(u64),
    /// By its bits: NaN is kept too.
    Float(u64),
    Str(String),
    Bin(Vec<u8>),
    List(Vec<Tree>),
    /// Keys and values in turn.
    Map(Vec<Tree>),
    /// An ext around a list: tuple, set, frozen set.
    Items(u8, Vec<Tree>),
    Tagged(String, u32, Box<Tree>),
    Ext(u8, Vec<u8>),
    /// Header and data, and whether it is a single element.
    Array(ArrayHeader, Vec<u8>, bool),
}

const TYPES: [&str; 10] = ["|b1", "<i2", ">f8", "<c16", "<M8[25s]", "<m8", "|S3", "<U2", "<f2", "|S0"];
const ITEMS: [u8; 3] = [tags::TUPLE, tags::SET, tags::FROZEN_SET];
const FLAT: [u8; 3] = [tags::BIG_INT, tags::SURROGATE_STR, tags::BYTEARRAY];

impl Tree {
    /// What the input chooses, at most so many levels deep.
    pub fn choose(from: &mut Source<'_>, levels: u32) -> Self {
        let many = |from: &mut Source<'_>, count: usize| -> Vec<Tree> {
            (0..count).map_while(|_| (!from.is_empty()).then(|| Self::choose(from, levels - 1))).collect()
        };
        let kind = from.below(if levels == 0 { 10 } else { 15 });
        match kind {
            0 => Self::Nil,
            1 => Self::Bool(from.u8() & 1 != 0),
            2 => Self::Int(i64::from(from.u16() as i16)),
            3 => Self::Int(from.u64() as i64),
            4 => Self::UInt(from.u64() | 1 << 63),
            5 => Self::Float(from.u64()),
            6 => Self::Str(from.text()),
            7 => Self::Bin(from.bytes().to_vec()),
            8 => {
                let code = FLAT[from.below(FLAT.len())];
                let data = from.bytes().to_vec();
                if code == tags::BIG_INT && data.is_empty() { Self::Nil } else { Self::Ext(code, data) }
            }
            9 => {
                let mut header = ArrayHeader::from_typestr(TYPES[from.below(TYPES.len())]).expect("a listed type");
                let single = from.u8() & 1 != 0;
                header.fortran = !single && from.u8() & 1 != 0;
                header.shape = (0..if single { 0 } else { from.below(5) }).map(|_| from.below(4) as u64).collect();
                let data = vec![from.u8(); header.data_bytes().expect("small")];
                Self::Array(header, data, single)
            }
            10 => {
                let count = from.below(40);
                Self::List(many(from, count))
            }
            11 => {
                let count = from.below(20);
                let mut items = many(from, count * 2);
                items.truncate(items.len() / 2 * 2);
                Self::Map(items)
            }
            12 => Self::Items(ITEMS[from.below(3)], many(from, 5)),
            13 => {
                let mut tag = from.text();
                if tag.is_empty() {
                    tag.push('t');
                }
                tag.truncate((0..=256).rev().find(|len| tag.is_char_boundary(*len)).unwrap_or(0));
                Self::Tagged(tag, from.u32(), Box::new(Self::choose(from, levels - 1)))
            }
            _ => Self::List(many(from, 1)),
        }
    }

    fn push_list(items: &[Self], encoder: &mut Encoder<'_>) -> Result<(), ValueError> {
        let open = encoder.begin_array(items.len())?;
        let mut next_mark = open.first_mark();
        for (index, item) in items.iter().enumerate() {
            if index == next_mark {
                encoder.mark();
                next_mark += FOOTER_STRIDE;
            }
            item.push(encoder)?;
        }
        encoder.end(open);
        Ok(())
    }

    pub fn push(&self, encoder: &mut Encoder<'_>) -> Result<(), ValueError> {
        match self {
            Self::Nil => encoder.nil(),
            Self::Bool(value) => encoder.bool(*value),
            Self::Int(value) => encoder.int(*value),
            Self::UInt(value) => encoder.uint(*value),
            Self::Float(bits) => encoder.float(f64::from_bits(*bits)),
            Self::Str(text) => encoder.str(text)?,
            Self::Bin(bytes) => encoder.bin(bytes)?,
            Self::List(items) => Self::push_list(items, encoder)?,
            Self::Map(items) => {
                let open = encoder.begin_map(items.len() / 2)?;
                for item in items {
                    if open.is_marked() {
                        encoder.mark();
                    }
                    item.push(encoder)?;
                }
                encoder.end(open);
            }
            Self::Items(code, items) => {
                let ext = encoder.begin_ext(*code);
                Self::push_list(items, encoder)?;
                encoder.end_ext(ext)?;
            }
            Self::Tagged(tag, version, payload) => {
                let ext = encoder.begin_tagged(tag, *version)?;
                payload.push(encoder)?;
                encoder.end_tagged(ext)?;
            }
            Self::Ext(code, data) => encoder.ext_bytes(*code, data)?,
            Self::Array(header, data, false) => encoder.ndarray(header, data)?,
            Self::Array(header, data, true) => encoder.array_scalar(header, data)?,
        }
        Ok(())
    }

    /// Reads the next value as a decoder does that builds what it reads: room for the items of a container comes first.
    pub fn pull(reader: &mut Reader<'_>, depth: u32) -> Result<Self, ValueError> {
        let many = |reader: &mut Reader<'_>, count: usize, is_marked: &dyn Fn(usize) -> bool| {
            if depth >= DEPTH_CEILING {
                return Err(reader.malformed("nested deeper than any encoder writes"));
            }
            let mut items = Vec::with_capacity(count);
            for index in 0..count {
                if is_marked(index) {
                    reader.mark();
                }
                items.push(Self::pull(reader, depth + 1)?);
            }
            Ok(items)
        };
        let list = |reader: &mut Reader<'_>, len: usize| {
            let open = reader.open_array(len);
            let every = open.is_marked();
            let items = many(reader, len, &|index| every && index > 0 && index % FOOTER_STRIDE == 0)?;
            reader.end(open);
            Ok(items)
        };
        Ok(match reader.token()? {
            Token::Nil => Self::Nil,
            Token::Bool(value) => Self::Bool(value),
            Token::Int(value) => Self::Int(value),
            Token::UInt(value) => Self::UInt(value),
            Token::Float(value) => Self::Float(value.to_bits()),
            Token::Str(text) => {
                Self::Str(std::str::from_utf8(text).map_err(|_| reader.malformed("not UTF-8"))?.to_owned())
            }
            Token::Bin(bytes) => Self::Bin(bytes.to_vec()),
            Token::Array(len) => Self::List(list(reader, len)?),
            Token::Map(len) => {
                let open = reader.open_map(len);
                let every = open.is_marked();
                let items = many(reader, len * 2, &|_| every)?;
                reader.end(open);
                Self::Map(items)
            }
            Token::Ext { code, len } => {
                let end = reader.pos() + len;
                let read = match code {
                    tags::TUPLE | tags::SET | tags::FROZEN_SET => {
                        let Token::Array(len) = reader.token()? else { return Err(reader.malformed("no list")) };
                        let is_sealed = code != tags::TUPLE;
                        if is_sealed {
                            reader.seal();
                        }
                        let items = list(reader, len)?;
                        if is_sealed {
                            reader.unseal();
                        }
                        Self::Items(code, items)
                    }
                    tags::TAGGED => {
                        let (tag, version) = reader.tag()?;
                        reader.seal();
                        let payload = many(reader, 1, &|_| false)?.remove(0);
                        reader.unseal();
                        Self::Tagged(tag.to_owned(), version, Box::new(payload))
                    }
                    _ => {
                        let data = reader.take(len)?;
                        Self::flat(code, data).ok_or_else(|| reader.malformed("an impossible ext"))?
                    }
                };
                reader.close(end)?;
                read
            }
        })
    }

    fn flat(code: u8, data: &[u8]) -> Option<Self> {
        let known = match code {
            tags::BIG_INT => !data.is_empty(),
            tags::SURROGATE_STR | tags::BYTEARRAY => true,
            tags::DATETIME => same(&Moment::parse(data)?, data, Moment::write),
            tags::DATE => same(&Date::parse(data)?, data, Date::write),
            tags::TIME => same(&Clock::parse(data)?, data, Clock::write),
            tags::TIMEDELTA => Span::parse(data)?.bytes() == data,
            tags::DECIMAL => decimal_is_plain(data) && std::str::from_utf8(data).is_ok(),
            tags::UUID => data.len() == 16 || (data.len() == 17 && data[16] < 2),
            tags::COMPLEX => data.len() == 16,
            tags::NDARRAY => {
                let (header, at) = ArrayHeader::parse(data)?;
                assert_eq!(ArrayHeader::from_typestr(&header.typestr()).map(|h| h.dtype), Some(header.dtype));
                return Some(Self::Array(header, data[at..].to_vec(), false));
            }
            tags::ARRAY_SCALAR => {
                let (header, data) = ArrayHeader::parse_scalar(data)?;
                return Some(Self::Array(header, data.to_vec(), true));
            }
            _ => false,
        };
        known.then(|| Self::Ext(code, data.to_vec()))
    }
}

/// What was parsed writes the bytes that it was parsed from.
fn same<T>(parsed: &T, data: &[u8], write: fn(&T, &mut Vec<u8>)) -> bool {
    let mut out = Vec::new();
    write(parsed, &mut out);
    assert_eq!(out, data, "a payload is not what its content writes");
    true
}

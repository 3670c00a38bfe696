//! Looks at encoded bytes without building anything.

use super::{ArrayHeader, Clock, Date, Moment, Reader, Span, Token, ValueError, decimal_is_plain, tags};
use crate::limits::{DEPTH_CEILING, FOOTER_STRIDE};

/// What the limits say about encoded bytes: the numbers to hold against [`crate::limits::ValueLimits`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Container levels; a scalar has 0.
    pub depth: u32,
    /// Items over all containers.
    pub items: u64,
    /// Longest string or binary.
    pub string_bytes: usize,
}

/// Checks a whole value, down to the fields of dates and the shapes of arrays. Errors: `value.malformed`,
/// `value.format_version`. Cost: one pass, no allocation that grows with the value.
pub fn validate(bytes: &[u8]) -> Result<Shape, ValueError> {
    let mut reader = Reader::new(bytes)?;
    let shape = measure(&mut reader, 0)?;
    reader.finish()?;
    Ok(shape)
}

/// Checks and skips the next value of `reader`, which lies `depth` levels deep. Errors: `value.malformed`.
pub fn measure(reader: &mut Reader<'_>, depth: u32) -> Result<Shape, ValueError> {
    let mut shape = Shape::default();
    skip(reader, depth, depth, &mut shape)?;
    Ok(shape)
}

fn skip(reader: &mut Reader<'_>, depth: u32, base: u32, shape: &mut Shape) -> Result<(), ValueError> {
    match reader.token()? {
        Token::Nil | Token::Bool(_) | Token::Int(_) | Token::UInt(_) | Token::Float(_) => Ok(()),
        Token::Str(bytes) => {
            shape.string_bytes = shape.string_bytes.max(bytes.len());
            std::str::from_utf8(bytes).map_err(|_| reader.malformed("a string that is not UTF-8"))?;
            Ok(())
        }
        Token::Bin(bytes) => {
            shape.string_bytes = shape.string_bytes.max(bytes.len());
            Ok(())
        }
        Token::Array(len) => skip_list(reader, len, depth, base, shape),
        Token::Map(len) => skip_map(reader, len, depth, base, shape),
        Token::Ext { code, len } => {
            let end = reader.pos() + len;
            match code {
                tags::TUPLE | tags::SET | tags::FROZEN_SET => {
                    let Token::Array(len) = reader.token()? else {
                        return Err(reader.malformed("a tuple or set without its array"));
                    };
                    if code == tags::TUPLE {
                        skip_list(reader, len, depth, base, shape)?;
                    } else {
                        reader.seal();
                        skip_list(reader, len, depth, base, shape)?;
                        reader.unseal();
                    }
                }
                tags::TAGGED => {
                    reader.tag()?;
                    reader.seal();
                    let depth = deeper(reader, 0, depth, base, shape)?;
                    skip(reader, depth, base, shape)?;
                    reader.unseal();
                }
                _ => flat(reader, code, len, shape)?,
            }
            reader.close(end)
        }
    }
}

/// One level down, into a container of `items` items.
fn deeper(reader: &Reader<'_>, items: usize, depth: u32, base: u32, shape: &mut Shape) -> Result<u32, ValueError> {
    let depth = depth + 1;
    if depth > DEPTH_CEILING {
        return Err(reader.malformed("nested deeper than any encoder writes"));
    }
    shape.depth = shape.depth.max(depth - base);
    shape.items += items as u64;
    Ok(depth)
}

fn skip_list(reader: &mut Reader<'_>, len: usize, depth: u32, base: u32, shape: &mut Shape) -> Result<(), ValueError> {
    let depth = deeper(reader, len, depth, base, shape)?;
    let open = reader.open_array(len);
    let mut next_mark = open.first_mark();
    for index in 0..len {
        if index == next_mark {
            reader.mark();
            next_mark += FOOTER_STRIDE;
        }
        skip(reader, depth, base, shape)?;
    }
    reader.end(open);
    Ok(())
}

fn skip_map(reader: &mut Reader<'_>, len: usize, depth: u32, base: u32, shape: &mut Shape) -> Result<(), ValueError> {
    let depth = deeper(reader, len, depth, base, shape)?;
    let open = reader.open_map(len);
    for _ in 0..len * 2 {
        if open.is_marked() {
            reader.mark();
        }
        skip(reader, depth, base, shape)?;
    }
    reader.end(open);
    Ok(())
}

fn flat(reader: &mut Reader<'_>, code: u8, len: usize, shape: &mut Shape) -> Result<(), ValueError> {
    let data = reader.take(len)?;
    let known = match code {
        tags::BIG_INT => {
            shape.string_bytes = shape.string_bytes.max(len);
            len > 0
        }
        tags::SURROGATE_STR | tags::BYTEARRAY => {
            shape.string_bytes = shape.string_bytes.max(len);
            true
        }
        tags::DATETIME => Moment::parse(data).is_some(),
        tags::DATE => Date::parse(data).is_some(),
        tags::TIME => Clock::parse(data).is_some(),
        tags::TIMEDELTA => Span::parse(data).is_some(),
        tags::DECIMAL => {
            shape.string_bytes = shape.string_bytes.max(len);
            decimal_is_plain(data)
        }
        tags::UUID => len == 16 || (len == 17 && data[16] < 2),
        tags::COMPLEX => len == 16,
        tags::NDARRAY => ArrayHeader::parse(data).is_some(),
        tags::ARRAY_SCALAR => ArrayHeader::parse_scalar(data).is_some_and(|(header, data)| {
            if header.dtype.is_text() {
                shape.string_bytes = shape.string_bytes.max(data.len());
            }
            true
        }),
        _ => return Err(reader.malformed("an unknown ext code")),
    };
    if known { Ok(()) } else { Err(reader.malformed("an ext with impossible content")) }
}

//! The reserved MessagePack ext codes. A code never changes its meaning; new ones are added at the end.
//!
//! Types are marked here, outside of the data, and nowhere else: no map, string or key of a user can be taken for one.

/// Integer outside of 64 bits: two's complement, little endian, at least one byte.
pub const BIG_INT: u8 = 0x01;
/// String with lone surrogates: UTF-8 extended with three-byte surrogates.
pub const SURROGATE_STR: u8 = 0x02;
/// Tuple: one array.
pub const TUPLE: u8 = 0x03;
/// Set: one array of distinct items.
pub const SET: u8 = 0x04;
/// Frozen set: one array of distinct items.
pub const FROZEN_SET: u8 = 0x05;
/// Date and time of day, with or without zone.
pub const DATETIME: u8 = 0x06;
/// Calendar date.
pub const DATE: u8 = 0x07;
/// Time of day, with or without zone.
pub const TIME: u8 = 0x08;
/// Length of time.
pub const TIMEDELTA: u8 = 0x09;
/// Decimal number in its own notation, ASCII.
pub const DECIMAL: u8 = 0x0A;
/// UUID: 16 bytes, and one more when its generator said whether it is multiprocessing-safe.
pub const UUID: u8 = 0x0B;
/// Complex number: two floats, little endian.
pub const COMPLEX: u8 = 0x0C;
/// Mutable bytes.
pub const BYTEARRAY: u8 = 0x0D;
/// Numeric array, see [`super::ArrayHeader`].
pub const NDARRAY: u8 = 0x0E;
/// One element of an array type: an array header without dimensions.
pub const ARRAY_SCALAR: u8 = 0x0F;
/// Tag, version, payload: an object of a class that a process registered under the tag.
pub const TAGGED: u8 = 0x10;
/// Footer: where the items of large containers are. Only ever behind the object of a value.
pub const FOOTER: u8 = 0x11;

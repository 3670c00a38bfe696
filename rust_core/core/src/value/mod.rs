//! (room) value: how one value becomes bytes and back.
//!
//! [`Encoder`] is a sink for tokens that a caller pushes while it walks its own objects once; it enforces
//! [`crate::limits::ValueLimits`] as it goes. [`Reader`] hands the tokens back, checked. [`measure`] and [`validate`] look at
//! bytes without building anything. [`Lens`] finds one part of a large value by its footer. Every byte is described in
//! docs/format.md, Values.

mod array;
mod check;
mod encode;
mod encode_ext;
mod error;
mod footer;
#[cfg(test)]
mod footer_tests;
mod layout;
mod lens;
mod payload;
mod read;
mod read_footer;
mod seal;
#[cfg(test)]
mod seal_tests;
pub mod tags;
#[cfg(test)]
mod tests;
mod texts;

pub use array::{ArrayHeader, Dtype};
pub use check::{Shape, measure, validate};
pub use encode::Encoder;
pub use encode_ext::ExtMark;
pub use error::ValueError;
pub use footer::Open;
pub use lens::{Found, Kind, Lens, Place};
pub use payload::{Clock, Date, Moment, Span, Zone, decimal_is_plain};
pub use read::{Reader, Token};
pub use seal::{SEALING_KEY_BYTES, SealError, SealingKeyId, SealingKeys, sealed_with};
pub use texts::{time_us, uuid_bytes};

/// First byte of every value: the one byte that MessagePack never uses, so raw MessagePack is never taken for a value.
pub const MARK: u8 = 0xC1;
/// Second byte: the version of this format, in a value without a footer.
pub const VERSION: u8 = 1;
/// Second byte of a value with a footer.
pub const VERSION_FOOTER: u8 = 2;
/// First byte of a footer: an ext with a length of four bytes.
const MARK_FOOTER: u8 = 0xC9;
/// Data of arrays begins at a multiple of this, counted from the first byte of the value.
pub const ALIGNMENT: usize = 16;

//! One immutable entry: what is stored under a key now. Value and key share one allocation with the header.

use triomphe::ThinArc;

use crate::record::{Kind, Lsn, Pos, StateClass};

/// The fixed part of an entry. 32 bytes, so that the value behind it starts at a multiple of 16.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Version.
    pub lsn: Lsn,
    /// Where its record stands in the log.
    pub pos: Pos,
    /// When it was written, in wall-clock microseconds since the Unix epoch.
    pub time_us: u64,
    /// Part of the key's hash, for growing the table without hashing again.
    pub(super) hash: u32,
    /// Bytes of the key, at the end of the entry.
    pub(super) key_len: u16,
    /// A value, or a tombstone.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
}

/// A counted reference to an entry. Cloning costs one atomic increment.
#[derive(Clone)]
pub struct Entry(pub(super) ThinArc<Meta, u8>);

impl Entry {
    /// Copies value and key, side by side, behind the header.
    pub fn new(meta: Meta, value_and_key: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(meta, value_and_key))
    }

    /// The fixed part.
    #[inline]
    pub fn meta(&self) -> &Meta {
        &self.0.header.header
    }

    /// Encoded value; empty for a tombstone. Starts at an address that is a multiple of 16 where `malloc` gives such.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.0.slice[..self.0.slice.len() - usize::from(self.meta().key_len)]
    }

    /// Key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.0.slice[self.0.slice.len() - usize::from(self.meta().key_len)..]
    }

    /// Bytes that the entry takes up, header and reference count included.
    pub fn size_bytes(&self) -> usize {
        self.0.slice.len() + size_of::<Meta>() + 16
    }
}

//! One immutable entry: what is stored under a key now. Value, key and expiry share one allocation with the header.

use triomphe::ThinArc;

use crate::record::le::u64_at;
use crate::record::{EXPIRY_FIELD_BYTES, Kind, Lsn, Pos, StateClass};

/// Beside the length of a key, which takes up less than 14 bits: an expiry field stands behind it.
const EXPIRES: u16 = 1 << 15;
/// The value is not in memory: the log has it at `pos`, or a snapshot.
const COLD: u16 = 1 << 14;

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
    /// Bytes of the key, and [`EXPIRES`].
    key_len: u16,
    /// A value, or a tombstone.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
}

/// A counted reference to an entry. Cloning costs one atomic increment.
#[derive(Clone)]
pub struct Entry(pub(super) ThinArc<Meta, u8>);

impl Entry {
    /// Copies value, key and expiry field (when `meta` says that there is one), side by side, behind the header.
    pub fn new(meta: Meta, bytes: &[u8]) -> Self {
        Self(ThinArc::from_header_and_slice(meta, bytes))
    }

    /// The fixed part.
    #[inline]
    pub fn meta(&self) -> &Meta {
        &self.0.header.header
    }

    /// Whether its value is not in memory.
    #[inline]
    pub fn is_cold(&self) -> bool {
        self.meta().key_len & COLD != 0
    }

    /// The same without its value.
    pub(super) fn without_value(&self) -> Self {
        Self::new(self.meta().cold(), &self.0.slice[self.value_len()..])
    }

    /// The same in the place of another entry of its key.
    pub(super) fn rehashed(&self, now: &Meta) -> Self {
        Self::new(Meta { hash: now.hash, ..*self.meta() }, &self.0.slice)
    }

    /// Bytes of the encoded value, in memory.
    #[inline]
    pub fn value_len(&self) -> usize {
        self.0.slice.len() - self.meta().tail_len()
    }

    /// Encoded value; empty for a tombstone and when it is cold. Starts at an address that is a multiple of 16 where `malloc` gives such.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.0.slice[..self.value_len()]
    }

    /// Key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let start = self.value_len();
        &self.0.slice[start..start + self.meta().key_len()]
    }

    /// When the value stops being there, in wall-clock microseconds since the Unix epoch; None: never.
    #[inline]
    pub fn expires_us(&self) -> Option<u64> {
        self.meta().expires().then(|| u64_at(&self.0.slice, self.0.slice.len() - 8))
    }

    /// Bytes that the entry takes up, header and reference count included.
    pub fn size_bytes(&self) -> usize {
        self.0.slice.len() + size_of::<Meta>() + 16
    }
}

impl Meta {
    /// The fixed part of a committed record's entry. `expires`: whether an expiry field stands behind its key.
    #[inline]
    pub fn new(
        (lsn, pos): (Lsn, Pos),
        time_us: u64,
        key_len: usize,
        kind: Kind,
        class: StateClass,
        expires: bool,
    ) -> Self {
        let key_len = key_len as u16 | if expires { EXPIRES } else { 0 };
        Self { lsn, pos, time_us, hash: 0, key_len, kind, class }
    }

    /// The same without an expiry.
    pub(super) fn without_expiry(self) -> Self {
        Self { key_len: self.key_len & !EXPIRES, ..self }
    }

    /// The same of an entry without its value.
    pub fn cold(self) -> Self {
        Self { key_len: self.key_len | COLD, ..self }
    }

    #[inline]
    pub(super) fn key_len(&self) -> usize {
        usize::from(self.key_len & !(EXPIRES | COLD))
    }

    #[inline]
    pub(super) fn expires(&self) -> bool {
        self.key_len & EXPIRES != 0
    }

    /// Bytes behind the value.
    #[inline]
    fn tail_len(&self) -> usize {
        self.key_len() + if self.expires() { EXPIRY_FIELD_BYTES } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_changes_neither_value_nor_key_nor_the_size_of_an_entry_without_one() {
        assert_eq!(size_of::<Meta>(), 32);
        let meta = |expires| Meta::new((7, 64), 11, 3, Kind::Set, StateClass::Standard, expires);
        let plain = Entry::new(meta(false), b"valuekey");
        let mut bytes = b"valuekey\x01\x08".to_vec();
        bytes.extend_from_slice(&99u64.to_le_bytes());
        let expiring = Entry::new(meta(true), &bytes);
        for (entry, expires_us) in [(&plain, None), (&expiring, Some(99))] {
            assert_eq!((entry.value(), entry.key(), entry.expires_us()), (&b"value"[..], &b"key"[..], expires_us));
            assert_eq!(entry.value().as_ptr().align_offset(16), 0);
        }
        assert_eq!(expiring.size_bytes(), plain.size_bytes() + EXPIRY_FIELD_BYTES);
    }
}

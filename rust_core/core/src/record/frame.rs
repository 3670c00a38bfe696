//! A frame as stored, and the checks before anything in it is believed.

use crate::checksum::{xxh3_64, xxh3_64_with_seed};

use super::fields::expiry_bytes;
use super::le::{u16_at, u32_at, u64_at};
use super::{Fields, Kind, Lsn, Pos, StateClass};

/// Bytes before the scope.
pub const FRAME_HEADER_BYTES: usize = 56;
/// Bytes of a frame beyond scope, value, key and padding.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEADER_BYTES + 8;
/// Longest key that a frame has, in bytes: what the index makes room for. The rules of naming allow far less.
pub const KEY_LEN_MAX: usize = 1023;
/// The record belongs to a batch that goes on with the next record.
pub const FLAG_BATCH: u16 = 1;
/// The record ends its batch.
pub const FLAG_BATCH_LAST: u16 = 2;
/// Fields follow the key.
pub(super) const FLAG_FIELDS: u16 = 4;
const KNOWN_FLAGS: u16 = FLAG_BATCH | FLAG_BATCH_LAST | FLAG_FIELDS;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was ever written here: a zero length.
    Empty,
    /// The header's checksum does not hold, or the bytes end before the header does.
    Header,
    /// The header holds but the bytes end before the frame does.
    Short,
    /// The header holds and the checksum over the whole frame does not.
    Body,
    /// The checksums hold but a field has a value that this version does not know.
    Unknown,
}

/// A whole frame whose checksums were verified.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    bytes: &'a [u8],
    /// Version.
    pub lsn: Lsn,
    /// Wall-clock microseconds since the Unix epoch.
    pub time_us: u64,
    /// Where the key's (for a clear: the scope's clear) previous record stands; 0 = none.
    pub prev_pos: Pos,
    /// Which opening of the store wrote it.
    pub epoch: u32,
    /// Low half of the previous frame's checksum: frames form a chain.
    pub prev_sum: u32,
    /// How many records just before this one were not yet known durable when it was written.
    pub unsynced_count: u32,
    /// What it does.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
    /// `FLAG_*`.
    pub flags: u16,
    /// What it says beyond its header.
    pub fields: Fields<'a>,
    scope_end: usize,
    value_end: usize,
    key_end: usize,
}

/// The header's checksum: over bytes 8..56, seeded with the length so that it covers that too, and with the store's
/// seed so that a frame of another store (inside a value, say) is never taken for one of this.
pub(super) fn header_sum(header: &[u8], len: u32, seed: u64) -> u32 {
    xxh3_64_with_seed(&header[8..FRAME_HEADER_BYTES], seed ^ u64::from(len)) as u32
}

/// The checksum over everything before the last 8 bytes.
pub(super) fn body_sum(frame: &[u8]) -> u64 {
    xxh3_64(&frame[..frame.len() - 8])
}

/// Reads the length of the frame that starts at `bytes`, believing it only when the header's checksum holds.
///
/// # Errors
/// [`Fault::Empty`] or [`Fault::Header`].
pub fn frame_len(bytes: &[u8], seed: u64) -> Result<usize, Fault> {
    if bytes.len() < FRAME_HEADER_BYTES {
        return Err(if bytes.iter().all(|b| *b == 0) { Fault::Empty } else { Fault::Header });
    }
    let len = u32_at(bytes, 0);
    if len == 0 && bytes[..FRAME_HEADER_BYTES].iter().all(|b| *b == 0) {
        return Err(Fault::Empty);
    }
    if !len.is_multiple_of(8)
        || (len as usize) < FRAME_OVERHEAD_BYTES
        || u32_at(bytes, 4) != header_sum(bytes, len, seed)
    {
        return Err(Fault::Header);
    }
    Ok(len as usize)
}

impl<'a> Frame<'a> {
    /// Whether a frame of a version above `since` may begin here. Where it says no, none does: a whole ring is looked
    /// through word by word at each opening, and few words get as far as a checksum.
    #[inline]
    pub fn may_begin(bytes: &[u8], since: Lsn) -> bool {
        let Some(head) = bytes.first_chunk::<FRAME_HEADER_BYTES>() else { return false };
        let len = u32_at(head, 0) as usize;
        u64_at(head, 8) > since && len >= FRAME_OVERHEAD_BYTES && len.is_multiple_of(8) && len <= bytes.len()
    }

    /// Verifies and reads the frame at the start of `bytes`; what follows it is ignored.
    ///
    /// # Errors
    /// The [`Fault`] that makes it unbelievable.
    pub fn parse(bytes: &'a [u8], seed: u64) -> Result<Self, Fault> {
        let len = frame_len(bytes, seed)?;
        let bytes = bytes.get(..len).ok_or(Fault::Short)?;
        if u64_at(bytes, len - 8) != body_sum(bytes) {
            return Err(Fault::Body);
        }
        let flags = u16_at(bytes, 54);
        let (Some(kind), Some(class)) = (Kind::from_byte(bytes[52]), StateClass::from_byte(bytes[53])) else {
            return Err(Fault::Unknown);
        };
        let scope_end = FRAME_HEADER_BYTES + usize::from(u16_at(bytes, 48));
        let value_end = scope_end + u32_at(bytes, 44) as usize;
        let key_end = value_end + usize::from(u16_at(bytes, 50));
        let (fields, fields_len) = match bytes.get(key_end..len - 8) {
            Some(rest) if flags & FLAG_FIELDS != 0 => Fields::read(rest).ok_or(Fault::Unknown)?,
            _ => (Fields::default(), 0),
        };
        if flags & !KNOWN_FLAGS != 0 || (key_end + fields_len).next_multiple_of(8) + 8 != len {
            return Err(Fault::Unknown);
        }
        // Whoever applies a record counts on it: a removal has no value, a clear no key, a skip nothing, an event a type.
        let key_len = key_end - value_end;
        let key_is_wrong = key_len > if kind == Kind::Clear { 0 } else { KEY_LEN_MAX };
        let event_is_wrong = kind == Kind::Event && key_len == 0;
        let skip_is_wrong = kind == Kind::Skip && key_end != FRAME_HEADER_BYTES;
        let value_is_wrong = !kind.has_value() && value_end != scope_end;
        if value_is_wrong || key_is_wrong || skip_is_wrong || event_is_wrong {
            return Err(Fault::Unknown);
        }
        Ok(Self {
            bytes,
            lsn: u64_at(bytes, 8),
            time_us: u64_at(bytes, 16),
            prev_pos: u64_at(bytes, 24),
            epoch: u32_at(bytes, 32),
            prev_sum: u32_at(bytes, 36),
            unsynced_count: u32_at(bytes, 40),
            kind,
            class,
            flags,
            fields,
            scope_end,
            value_end,
            key_end,
        })
    }

    /// The whole frame as stored.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Encoded scope.
    pub fn scope(&self) -> &'a [u8] {
        &self.bytes[FRAME_HEADER_BYTES..self.scope_end]
    }

    /// Encoded value; empty where the kind has none.
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[self.scope_end..self.value_end]
    }

    /// Key; empty for clears.
    pub fn key(&self) -> &'a [u8] {
        &self.bytes[self.value_end..self.key_end]
    }

    /// Value, key and expiry field side by side, as the index keeps them.
    pub fn entry_bytes(&self) -> &'a [u8] {
        &self.bytes[self.scope_end..self.key_end + expiry_bytes(self.fields.expires_us)]
    }

    /// Low half of the frame's checksum: what the next frame carries as `prev_sum`.
    pub fn sum(&self) -> u32 {
        u32_at(self.bytes, self.bytes.len() - 8)
    }

    /// The last version that was durable when this frame was written: a later loss of it is damage, not a crash.
    pub fn proven_durable(&self) -> Lsn {
        self.lsn.saturating_sub(1).saturating_sub(u64::from(self.unsynced_count))
    }

    /// Whether the record stands alone or ends its batch.
    pub fn ends_commit(&self) -> bool {
        self.flags & FLAG_BATCH == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Draft, OriginBuf, Seal};
    use super::*;

    const SEAL: Seal =
        Seal { lsn: 7, time_us: 11, prev_pos: 64, epoch: 3, prev_sum: 0xABCD, unsynced_count: 2, flags: 0, seed: 5 };

    fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
        Draft::of(Kind::Set, StateClass::Standard, b"\x04scout\0\0", key, value).seal(&SEAL).0.to_vec()
    }

    #[test]
    fn a_sealed_draft_reads_back_field_by_field() {
        let bytes = sealed(b"plan", b"value!");
        let frame = Frame::parse(&bytes, 5).unwrap();
        assert_eq!((frame.scope(), frame.value(), frame.key()), (&b"\x04scout\0\0"[..], &b"value!"[..], &b"plan"[..]));
        assert_eq!((frame.lsn, frame.time_us, frame.prev_pos, frame.epoch), (7, 11, 64, 3));
        assert_eq!((frame.prev_sum, frame.proven_durable(), frame.ends_commit()), (0xABCD, 4, true));
        assert_eq!(bytes.len() % 8, 0);
    }

    #[test]
    fn a_record_says_when_it_expires_and_nothing_else_changes() {
        let fields = Fields { expires_us: Some(77), ..Fields::default() };
        let mut draft = Draft::default();
        draft.begin(Kind::Set, StateClass::Standard, b"\x01");
        draft.value_buf().extend_from_slice(b"value");
        draft.end_with(b"key", fields);
        let bytes = draft.seal(&SEAL).0;
        let frame = Frame::parse(bytes, 5).unwrap();
        assert_eq!((frame.fields, frame.value(), frame.key()), (fields, &b"value"[..], &b"key"[..]));
        assert_eq!(bytes.len(), (FRAME_OVERHEAD_BYTES + 1 + 5 + 3 + 10).next_multiple_of(8));
    }

    #[test]
    fn a_frame_may_begin_wherever_one_of_a_later_version_does() {
        let bytes = [vec![0; 64], sealed(b"plan", b"value"), vec![0xFF; 64], sealed(b"k", &[b'x'; 900])].concat();
        for since in [0, 6, 7, u64::MAX] {
            for at in (0..=bytes.len()).step_by(8) {
                let later = Frame::parse(&bytes[at..], 5).is_ok_and(|frame| frame.lsn > since);
                assert!(Frame::may_begin(&bytes[at..], since) >= later, "byte {at}, version {since}");
            }
        }
        let words = (0..bytes.len()).step_by(8);
        assert!(words.filter(|at| Frame::may_begin(&bytes[*at..], 6)).count() < 8, "hardly a word is passed over");
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed() {
        let good = sealed(b"plan", b"some value of a few bytes");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&bad, 5).is_err(), "bit {bit} passed");
        }
    }

    #[test]
    fn every_truncation_of_a_frame_is_noticed() {
        let good = sealed(b"plan", b"some value");
        for len in 0..good.len() {
            assert!(Frame::parse(&good[..len], 5).is_err(), "length {len} passed");
        }
    }

    #[test]
    fn a_frame_of_another_store_is_not_believed() {
        assert_eq!(Frame::parse(&sealed(b"plan", b"value"), 6).unwrap_err(), Fault::Header);
    }

    /// Such a record, its checksums right, brought the index's counts below zero.
    #[test]
    fn a_removal_with_a_value_and_a_clear_with_a_key_are_not_believed() {
        let parse = |kind, key: &[u8], value: &[u8]| {
            let mut draft = Draft::of(kind, StateClass::Standard, b"\x01", key, value);
            Frame::parse(draft.seal(&SEAL).0, 5).map(|frame| frame.kind)
        };
        assert_eq!(parse(Kind::Delete, b"plan", b""), Ok(Kind::Delete));
        assert_eq!(parse(Kind::Clear, b"", b""), Ok(Kind::Clear));
        assert_eq!(parse(Kind::Delete, b"plan", b"value"), Err(Fault::Unknown));
        assert_eq!(parse(Kind::Clear, b"", b"value"), Err(Fault::Unknown));
        assert_eq!(parse(Kind::Clear, b"plan", b""), Err(Fault::Unknown));
        assert_eq!(parse(Kind::Skip, b"", b""), Err(Fault::Unknown), "a skip with a scope");
        assert_eq!(parse(Kind::Event, b"plan.made", b"value"), Ok(Kind::Event));
        assert_eq!(parse(Kind::Event, b"", b"value"), Err(Fault::Unknown), "an event without a type");
    }

    #[test]
    fn a_record_says_where_it_comes_from_and_its_entry_does_not() {
        let made = OriginBuf::new(Some(3), Some("req-42"), Some("anna"), &["billing"]).unwrap();
        let mut draft = Draft::from(Kind::Set, StateClass::Standard, b"\x01", b"key", b"value", made.get());
        let entry = draft.entry_bytes().to_vec();
        let frame = Frame::parse(draft.seal(&SEAL).0, 5).unwrap();
        assert_eq!((frame.fields.origin, frame.entry_bytes()), (made.get(), &entry[..]));
        assert_eq!(entry, b"valuekey");
    }

    #[test]
    fn zeros_are_empty_and_not_a_fault_of_the_header() {
        assert_eq!(Frame::parse(&[0; 256], 5).unwrap_err(), Fault::Empty);
    }
}

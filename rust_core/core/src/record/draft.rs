//! A record being written: scope, then value, then key go into one buffer that becomes the frame without a copy.

use super::fields::expiry_bytes;
use super::frame::{FLAG_FIELDS, FRAME_HEADER_BYTES, KEY_LEN_MAX, body_sum, header_sum};
use super::{Fields, Kind, Lsn, Origin, Pos, StateClass};

/// What the log adds to a draft at the moment of commit.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    /// Version given.
    pub lsn: Lsn,
    /// Wall-clock microseconds.
    pub time_us: u64,
    /// Where the key's previous record stands; 0 = none.
    pub prev_pos: Pos,
    /// Which opening of the store writes.
    pub epoch: u32,
    /// Low half of the previous frame's checksum.
    pub prev_sum: u32,
    /// Records before this one not yet known durable.
    pub unsynced_count: u32,
    /// `FLAG_*`.
    pub flags: u16,
    /// The store's seed, from its id.
    pub seed: u64,
}

/// A frame without its seal. Reusable: [`Draft::begin`] forgets what was there and keeps the memory.
#[derive(Debug)]
pub struct Draft {
    buf: Vec<u8>,
    kind: Kind,
    class: StateClass,
    scope_end: usize,
    value_end: usize,
    key_end: usize,
    expires_us: Option<u64>,
    has_fields: bool,
    keeps_seal: bool,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            buf: Vec::with_capacity(512),
            kind: Kind::Set,
            class: StateClass::Standard,
            scope_end: 0,
            value_end: 0,
            key_end: 0,
            expires_us: None,
            has_fields: false,
            keeps_seal: false,
        }
    }
}

impl Draft {
    /// Starts over with a kind, a class and an encoded scope.
    pub fn begin(&mut self, kind: Kind, class: StateClass, scope: &[u8]) {
        self.buf.clear();
        self.buf.resize(FRAME_HEADER_BYTES, 0);
        self.buf.extend_from_slice(scope);
        self.kind = kind;
        self.class = class;
        self.scope_end = self.buf.len();
        self.value_end = self.scope_end;
        self.key_end = self.scope_end;
        (self.expires_us, self.has_fields, self.keeps_seal) = (None, false, false);
    }

    /// Where the encoded value is appended, between `begin` and `end`.
    pub fn value_buf(&mut self) -> &mut Vec<u8> {
        &mut self.buf
    }

    /// Closes the value, adds the key and the padding.
    ///
    /// # Panics
    /// When the scope is longer than 65,535 bytes or the key than [`KEY_LEN_MAX`]; the rules of naming allow far less.
    #[inline]
    pub fn end(&mut self, key: &[u8]) {
        self.end_with(key, Fields::default());
    }

    /// As [`Draft::end`], with fields.
    ///
    /// # Panics
    /// As [`Draft::end`].
    pub fn end_with(&mut self, key: &[u8], fields: Fields<'_>) {
        assert!(key.len() <= KEY_LEN_MAX && self.scope_end - FRAME_HEADER_BYTES <= usize::from(u16::MAX));
        self.value_end = self.buf.len();
        self.buf.extend_from_slice(key);
        self.key_end = self.buf.len();
        (self.expires_us, self.has_fields) = (fields.expires_us, !fields.is_empty());
        fields.write(&mut self.buf);
        self.buf.resize(self.buf.len().next_multiple_of(8) + 8, 0);
    }

    /// A finished draft in one go.
    pub fn of(kind: Kind, class: StateClass, scope: &[u8], key: &[u8], value: &[u8]) -> Self {
        Self::from(kind, class, scope, key, value, Origin::NONE)
    }

    /// A finished draft in one go, that comes from somewhere.
    pub fn from(kind: Kind, class: StateClass, scope: &[u8], key: &[u8], value: &[u8], origin: Origin<'_>) -> Self {
        let mut draft = Self::default();
        draft.begin(kind, class, scope);
        draft.value_buf().extend_from_slice(value);
        draft.end_with(key, Fields::from(origin));
        draft
    }

    /// Bytes of the frame.
    pub fn frame_len(&self) -> usize {
        self.buf.len()
    }

    /// What it does.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it may not take the place of a sealed value, since nobody chose its class; `begin` says it may.
    #[inline]
    pub fn keeps_seal(&self) -> bool {
        self.keeps_seal && self.class != StateClass::Sensitive
    }

    /// See [`Draft::keeps_seal`].
    #[inline]
    pub fn keep_seal(&mut self, keeps_seal: bool) {
        self.keeps_seal = keeps_seal;
    }

    /// Class of the value.
    pub fn class(&self) -> StateClass {
        self.class
    }

    /// Encoded scope.
    pub fn scope(&self) -> &[u8] {
        &self.buf[FRAME_HEADER_BYTES..self.scope_end]
    }

    /// Encoded value.
    pub fn value(&self) -> &[u8] {
        &self.buf[self.scope_end..self.value_end]
    }

    /// Key.
    pub fn key(&self) -> &[u8] {
        &self.buf[self.value_end..self.key_end]
    }

    /// When its value stops being there, in wall-clock microseconds since the Unix epoch.
    #[inline]
    pub fn expires_us(&self) -> Option<u64> {
        self.expires_us
    }

    /// Value, key and expiry field side by side, as the index keeps them.
    #[inline]
    pub fn entry_bytes(&self) -> &[u8] {
        &self.buf[self.scope_end..self.key_end + expiry_bytes(self.expires_us)]
    }

    /// Gives memory back after an unusually large value, so that one of them does not stay forever.
    pub fn shrink(&mut self, keep_bytes: usize) {
        if self.buf.capacity() > keep_bytes {
            self.buf = Vec::with_capacity(512);
        }
    }

    /// Fills in header and checksums. Afterwards the returned bytes are the frame; its low checksum half comes along.
    pub fn seal(&mut self, seal: &Seal) -> (&[u8], u32) {
        let len = self.buf.len() as u32;
        let value_len = (self.value_end - self.scope_end) as u32;
        let head = &mut self.buf[..FRAME_HEADER_BYTES];
        head[0..4].copy_from_slice(&len.to_le_bytes());
        head[8..16].copy_from_slice(&seal.lsn.to_le_bytes());
        head[16..24].copy_from_slice(&seal.time_us.to_le_bytes());
        head[24..32].copy_from_slice(&seal.prev_pos.to_le_bytes());
        head[32..36].copy_from_slice(&seal.epoch.to_le_bytes());
        head[36..40].copy_from_slice(&seal.prev_sum.to_le_bytes());
        head[40..44].copy_from_slice(&seal.unsynced_count.to_le_bytes());
        head[44..48].copy_from_slice(&value_len.to_le_bytes());
        head[48..50].copy_from_slice(&((self.scope_end - FRAME_HEADER_BYTES) as u16).to_le_bytes());
        head[50..52].copy_from_slice(&((self.key_end - self.value_end) as u16).to_le_bytes());
        head[52] = self.kind as u8;
        head[53] = self.class as u8;
        let flags = seal.flags | if self.has_fields { FLAG_FIELDS } else { 0 };
        head[54..56].copy_from_slice(&flags.to_le_bytes());
        let head_sum = header_sum(head, len, seal.seed);
        head[4..8].copy_from_slice(&head_sum.to_le_bytes());
        let sum = body_sum(&self.buf);
        let end = self.buf.len();
        self.buf[end - 8..].copy_from_slice(&sum.to_le_bytes());
        (&self.buf, sum as u32)
    }
}

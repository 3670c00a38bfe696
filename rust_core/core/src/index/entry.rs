//! One immutable entry: what is stored under a key now. Header, value, key and expiry share one allocation.
//!
//! Counted by hand: a counted slice of the libraries takes 16 bytes more, and most allocators round a small value up by as
//! much again.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::slice;

use crate::record::le::u64_at;
use crate::record::{EXPIRY_FIELD_BYTES, KEY_LEN_MAX, Kind, Lsn, Pos, StateClass};
use crate::sync::{AtomicU32, Ordering, fence};

/// The fixed part of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Version.
    pub lsn: Lsn,
    /// Where its record stands in the log.
    pub pos: Pos,
    /// When it was written, in wall-clock microseconds since the Unix epoch.
    pub time_us: u64,
    /// A value, or a tombstone.
    pub kind: Kind,
    /// Class of the value.
    pub class: StateClass,
    key_len: u16,
    /// An expiry field stands behind the key.
    expires: bool,
    /// The value is not in memory: the log has it at `pos`, or a snapshot.
    cold: bool,
}

/// The same as it is kept.
#[derive(Clone, Copy)]
struct Packed {
    lsn: Lsn,
    /// The position in the log, 56 bits: at a gigabyte a second, for two years without a pause. Below it kind, class, marks.
    pos: u64,
    /// The time, 54 bits: up to the year 2540. Below it the length of the key.
    time: u64,
}

const POS_SHIFT: u32 = 8;
const CLASS_SHIFT: u32 = 3;
const EXPIRES: u64 = 1 << 6;
const COLD: u64 = 1 << 7;
const TIME_SHIFT: u32 = 10;
const _: () = assert!(KEY_LEN_MAX < 1 << TIME_SHIFT);

impl Packed {
    #[inline]
    fn of(meta: &Meta) -> Self {
        debug_assert!(meta.pos < 1 << (64 - POS_SHIFT) && usize::from(meta.key_len) <= KEY_LEN_MAX);
        let class = (meta.class as u64) << CLASS_SHIFT;
        let marks = if meta.expires { EXPIRES } else { 0 } | if meta.cold { COLD } else { 0 };
        let time_us = meta.time_us.min(u64::MAX >> TIME_SHIFT);
        Self {
            lsn: meta.lsn,
            pos: meta.pos << POS_SHIFT | marks | class | meta.kind as u64,
            time: time_us << TIME_SHIFT | u64::from(meta.key_len),
        }
    }

    #[inline]
    fn meta(&self) -> Meta {
        let (kind, class) = (self.pos & 7, self.pos >> CLASS_SHIFT & 7);
        Meta {
            lsn: self.lsn,
            pos: self.pos >> POS_SHIFT,
            time_us: self.time >> TIME_SHIFT,
            // They were made from one each.
            kind: Kind::from_byte(kind as u8).unwrap_or(Kind::Set),
            class: StateClass::from_byte(class as u8).unwrap_or_default(),
            key_len: (self.time & ((1 << TIME_SHIFT) - 1)) as u16,
            expires: self.pos & EXPIRES != 0,
            cold: self.pos & COLD != 0,
        }
    }
}

/// What stands before the bytes of an entry. 32 bytes, so that the value behind it starts at a multiple of 16.
#[repr(C, align(16))]
pub(super) struct Header {
    count: AtomicU32,
    len: u32,
    meta: Packed,
}

/// So many references take up more memory than there is, unless they leak; as many panics more would overflow the count.
const COUNT_MAX: u32 = 1 << 31;

/// A counted reference to an entry. Cloning costs one atomic increment.
pub struct Entry(NonNull<Header>);

// SAFETY: what it points to never changes but for the count, which is atomic.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

fn layout(len: usize) -> Layout {
    let (header, align) = (size_of::<Header>(), align_of::<Header>());
    // Whole multiples: an allocator may round others up twice, for the size and for the alignment.
    let layout = Layout::from_size_align(header + len, align).map(|layout| layout.pad_to_align());
    layout.unwrap_or_else(|_| panic!("an entry of {len} bytes"))
}

impl Entry {
    /// Copies value, key and expiry field (when `meta` says that there is one), side by side, behind the header.
    ///
    /// # Panics
    /// When they are longer than 4 GiB, which no frame is.
    pub fn new(meta: Meta, bytes: &[u8]) -> Self {
        let (layout, len) = (layout(bytes.len()), u32::try_from(bytes.len()).expect("an entry is part of a frame"));
        let header = Header { count: AtomicU32::new(1), len, meta: Packed::of(&meta) };
        // SAFETY: the layout has room for the header and the bytes, whose memory is new and overlaps with nothing.
        unsafe {
            let place = NonNull::new(alloc(layout).cast::<Header>()).unwrap_or_else(|| handle_alloc_error(layout));
            place.write(header);
            place.add(1).cast::<u8>().copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
            Self(place)
        }
    }

    /// The pointer that stands for this reference, until [`Entry::from_raw`] takes it back.
    #[inline]
    pub(super) fn into_raw(self) -> *mut Header {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// `raw` came from [`Entry::into_raw`], and nobody else takes this reference back.
    #[inline]
    pub(super) unsafe fn from_raw(raw: *mut Header) -> Self {
        // SAFETY: the caller's promise: it was a reference.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the allocation lives as long as there is a reference.
        unsafe { self.0.as_ref() }
    }

    /// Value, key and expiry field.
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes stand behind the header, in the same allocation.
        unsafe { slice::from_raw_parts(self.0.add(1).cast::<u8>().as_ptr(), self.header().len as usize) }
    }

    /// The fixed part.
    #[inline]
    pub fn meta(&self) -> Meta {
        self.header().meta.meta()
    }

    /// Whether its value is not in memory.
    #[inline]
    pub fn is_cold(&self) -> bool {
        self.meta().cold
    }

    /// The same without its value.
    pub(super) fn without_value(&self) -> Self {
        Self::new(self.meta().cold(), &self.bytes()[self.value_len()..])
    }

    /// Bytes of the encoded value, in memory.
    #[inline]
    pub fn value_len(&self) -> usize {
        self.bytes().len() - self.meta().tail_len()
    }

    /// Encoded value; empty for a tombstone and when it is cold. Starts at an address that is a multiple of 16.
    #[inline]
    pub fn value(&self) -> &[u8] {
        &self.bytes()[..self.value_len()]
    }

    /// Key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let start = self.value_len();
        &self.bytes()[start..start + self.meta().key_len()]
    }

    /// When the value stops being there, in wall-clock microseconds since the Unix epoch; None: never.
    #[inline]
    pub fn expires_us(&self) -> Option<u64> {
        self.meta().expires.then(|| u64_at(self.bytes(), self.bytes().len() - 8))
    }

    /// Bytes that the entry takes up, header included.
    pub fn size_bytes(&self) -> usize {
        size_of::<Header>() + self.bytes().len()
    }
}

impl Clone for Entry {
    #[inline]
    fn clone(&self) -> Self {
        let former = self.header().count.fetch_add(1, Ordering::Relaxed);
        assert!(former < COUNT_MAX, "references to an entry leak");
        Self(self.0)
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        if self.header().count.fetch_sub(1, Ordering::Release) == 1 {
            // What the others did with it comes before.
            fence(Ordering::Acquire);
            let layout = layout(self.bytes().len());
            // SAFETY: this was the last reference; the allocation was made with this layout, and nothing in it needs a drop.
            unsafe { dealloc(self.0.as_ptr().cast(), layout) };
        }
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
        Self { lsn, pos, time_us, kind, class, key_len: key_len as u16, expires, cold: false }
    }

    /// The same without an expiry.
    pub(super) fn without_expiry(self) -> Self {
        Self { expires: false, ..self }
    }

    /// The same of an entry without its value.
    pub fn cold(self) -> Self {
        Self { cold: true, ..self }
    }

    #[inline]
    pub(super) fn key_len(&self) -> usize {
        usize::from(self.key_len)
    }

    #[inline]
    pub(super) fn expires(&self) -> bool {
        self.expires
    }

    /// Bytes behind the value.
    #[inline]
    fn tail_len(&self) -> usize {
        self.key_len() + if self.expires { EXPIRY_FIELD_BYTES } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_expiry_changes_neither_value_nor_key_nor_the_size_of_an_entry_without_one() {
        assert_eq!(size_of::<Header>(), 32);
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

    #[test]
    fn clones_outlive_the_first_reference_on_any_thread() {
        let entry = Entry::new(Meta::new((1, 64), 1, 3, Kind::Set, StateClass::Standard, false), b"valuekey");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let first = entry.clone();
                scope.spawn(move || {
                    let more: Vec<_> = (0..1000).map(|_| first.clone()).collect();
                    drop(first);
                    assert!(more.iter().all(|entry| entry.value() == b"value" && entry.key() == b"key"));
                });
            }
            drop(entry);
        });
    }

    proptest! {
        #[test]
        fn what_an_entry_is_made_with_comes_back(
            (lsn, pos, time_us) in (any::<u64>(), 0..1u64 << 56, 0..1u64 << 54),
            (key_len, kind, class) in (0..=KEY_LEN_MAX, 1..6u8, 1..3u8),
            (expires, cold) in any::<(bool, bool)>(),
        ) {
            let (kind, class) = (Kind::from_byte(kind).unwrap(), StateClass::from_byte(class).unwrap());
            let meta = Meta { cold, ..Meta::new((lsn, pos), time_us, key_len, kind, class, expires) };
            prop_assert_eq!(Packed::of(&meta).meta(), meta);
            let bytes = vec![7; key_len + EXPIRY_FIELD_BYTES + 9];
            let entry = Entry::new(meta, &bytes);
            prop_assert_eq!((entry.meta(), entry.is_cold(), entry.key().len()), (meta, cold, key_len));
        }
    }
}

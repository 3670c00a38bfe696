//! The ring: a small shared mapping that holds every acknowledged record until a segment has it durably.
//!
//! One writer (inside the append lock) and one reader (inside the drain lock), each a token that cannot be cloned.
//! The stream position of a byte fixes its place: `position % capacity`. The layout is in `docs/format.md`, Ring.
#![allow(unsafe_code)]

use crate::checksum::xxh3_64;

use crate::env::Region;
use crate::env::map::HeapRegion;
use crate::record::{Lsn, Pos};
use crate::sync::{Arc, AtomicU64, Ordering};

/// Bytes before the ring's data.
pub const RING_HEADER_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"SPKRING1";
const MARK_EPOCH: usize = 64;
const MARK_LAST: usize = 72;
const MARK_SYNCED: usize = 80;

/// What an earlier opening left in the ring's header: how far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// The opening that wrote them.
    pub epoch: u64,
    /// The last version whose frame was whole in the ring or in a segment.
    pub last_lsn: Lsn,
    /// The last version known durable in a segment.
    pub synced_lsn: Lsn,
}

/// The mapped ring.
pub struct Ring {
    region: Box<dyn Region>,
    capacity: u64,
    head: AtomicU64,
    tail: AtomicU64,
}

/// The right to append. There is one.
pub struct RingWriter(Arc<Ring>);

/// The right to read what was appended and to free it. There is one.
pub struct RingReader(Arc<Ring>);

/// The header of a new ring file.
pub fn ring_header(store_id: &[u8; 16], capacity: u64) -> Vec<u8> {
    let mut header = vec![0; RING_HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&1u32.to_le_bytes());
    header[16..32].copy_from_slice(store_id);
    header[32..40].copy_from_slice(&capacity.to_le_bytes());
    let sum = xxh3_64(&header[..40]);
    header[40..48].copy_from_slice(&sum.to_le_bytes());
    header
}

impl Ring {
    /// Takes a mapped file for a ring of the store with this id.
    ///
    /// # Errors
    /// A sentence when the header is not that of such a ring.
    pub fn open(region: Box<dyn Region>, store_id: &[u8; 16]) -> Result<Self, &'static str> {
        if region.len() <= RING_HEADER_BYTES {
            return Err("the file is too short for a ring");
        }
        let capacity = (region.len() - RING_HEADER_BYTES) as u64;
        let ring = Self { region, capacity, head: AtomicU64::new(0), tail: AtomicU64::new(0) };
        let mut header = [0; 48];
        // SAFETY: the region is longer than the header, and nobody else has the ring yet.
        unsafe { std::ptr::copy_nonoverlapping(ring.region.base(), header.as_mut_ptr(), 48) };
        if header[..] != ring_header(store_id, capacity)[..48] {
            return Err("the header is not that of this store's ring");
        }
        Ok(ring)
    }

    /// Bytes of data that it holds.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn mark(&self, at: usize) -> &AtomicU64 {
        // SAFETY: in the header, 8-aligned, only ever accessed atomically.
        unsafe { AtomicU64::from_ptr(self.region.base().add(at).cast()) }
    }

    fn data(&self, pos: Pos) -> *mut u8 {
        // SAFETY: the remainder is below the capacity, which the region holds behind its header.
        unsafe { self.region.base().add(RING_HEADER_BYTES + (pos % self.capacity) as usize) }
    }

    /// The marks of the opening that wrote them last.
    pub fn marks(&self) -> Marks {
        Marks {
            epoch: self.mark(MARK_EPOCH).load(Ordering::Acquire),
            last_lsn: self.mark(MARK_LAST).load(Ordering::Acquire),
            synced_lsn: self.mark(MARK_SYNCED).load(Ordering::Acquire),
        }
    }

    /// Starts the marks of a new opening. Until the epoch is stored the old marks belong to a past one and are ignored.
    pub fn begin_marks(&mut self, epoch: u32, lsn: Lsn) {
        self.mark(MARK_LAST).store(lsn, Ordering::Release);
        self.mark(MARK_SYNCED).store(lsn, Ordering::Release);
        self.mark(MARK_EPOCH).store(u64::from(epoch), Ordering::Release);
    }

    /// A copy of the bytes from stream position `pos` on, once around. For recovery, before anybody writes.
    pub fn copy_from(&mut self, pos: Pos) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.capacity as usize);
        let (first, second) = self.spans(pos, self.capacity);
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        bytes
    }

    fn spans(&self, from: Pos, len: u64) -> (&[u8], &[u8]) {
        let first = len.min(self.capacity - from % self.capacity);
        // SAFETY: both spans lie inside the data; the caller has made sure that nobody writes there meanwhile.
        unsafe {
            (
                std::slice::from_raw_parts(self.data(from), first as usize),
                std::slice::from_raw_parts(self.data(from + first), (len - first) as usize),
            )
        }
    }

    /// Splits into the two rights, empty, with the stream going on at `pos`.
    pub fn split(self, pos: Pos) -> (RingWriter, RingReader) {
        self.head.store(pos, Ordering::Relaxed);
        self.tail.store(pos, Ordering::Relaxed);
        let ring = Arc::new(self);
        (RingWriter(Arc::clone(&ring)), RingReader(ring))
    }

    /// The rights to a ring that holds nothing, for a log that was closed: the real one is unmapped when its are dropped.
    pub fn gone(pos: Pos) -> (RingWriter, RingReader) {
        let region = Box::new(HeapRegion::new(RING_HEADER_BYTES + 8));
        Self { region, capacity: 8, head: AtomicU64::new(0), tail: AtomicU64::new(0) }.split(pos)
    }

    fn head(&self) -> Pos {
        self.head.load(Ordering::Acquire)
    }
}

impl RingWriter {
    /// Where the next frame goes.
    #[inline]
    pub fn head(&self) -> Pos {
        self.0.head.load(Ordering::Relaxed)
    }

    /// Bytes that are not yet freed.
    #[inline]
    pub fn used(&self) -> u64 {
        self.head() - self.0.tail.load(Ordering::Acquire)
    }

    /// Free bytes.
    #[inline]
    pub fn room(&self) -> u64 {
        self.0.capacity - self.used()
    }

    /// Copies a frame in. Afterwards it survives the process.
    ///
    /// The first 8 bytes go last: a frame that was interrupted has no believable header, so a believable header with a
    /// bad body is damage and not an interrupted write.
    ///
    /// # Panics
    /// When there is no room; callers check [`RingWriter::room`] first.
    #[inline]
    pub fn append(&mut self, frame: &[u8]) {
        let (head, len) = (self.head(), frame.len() as u64);
        assert!(len >= 16 && len % 8 == 0 && len <= self.room(), "no room in the ring for {len} bytes");
        let ring = &*self.0;
        // Divided once: that takes as long as the copy of a small frame.
        let offset = head % ring.capacity;
        let first = len.min(ring.capacity - offset) as usize;
        // SAFETY: [head, head + len) is free: the reader never looks past `head`, and `&mut self` is the only writer.
        // Head, capacity and length are multiples of 8, so `first` is at least 8 and the first 8 bytes are one aligned
        // word.
        unsafe {
            let data = ring.region.base().add(RING_HEADER_BYTES);
            let start = data.add(offset as usize);
            std::ptr::copy_nonoverlapping(frame[8..].as_ptr(), start.add(8), first - 8);
            if first < frame.len() {
                std::ptr::copy_nonoverlapping(frame[first..].as_ptr(), data, frame.len() - first);
            }
            let word = frame.as_ptr().cast::<u64>().read_unaligned();
            AtomicU64::from_ptr(start.cast()).store(word, Ordering::Release);
        }
        ring.head.store(head + len, Ordering::Release);
    }

    /// Counts everything up to `lsn` as acknowledgeable: a later opening on the same page cache must find it.
    #[inline]
    pub fn mark_last(&mut self, lsn: Lsn) {
        self.0.mark(MARK_LAST).store(lsn, Ordering::Release);
    }

    /// Moves the stream past bytes that went straight to a segment. The ring must be empty.
    ///
    /// # Panics
    /// When it is not.
    pub fn skip_to(&mut self, _reader: &mut RingReader, pos: Pos, lsn: Lsn) {
        assert!(self.room() == self.0.capacity, "the ring still holds records");
        self.0.mark(MARK_LAST).store(lsn, Ordering::Release);
        // The head first: for those who look on, the tail never passes it.
        self.0.head.store(pos, Ordering::Release);
        self.0.tail.store(pos, Ordering::Release);
    }
}

impl RingReader {
    /// The bytes between two positions, in up to two pieces.
    ///
    /// # Panics
    /// When they are not all between the last release and the head.
    pub fn pending(&self, from: Pos, to: Pos) -> (&[u8], &[u8]) {
        assert!(self.0.tail.load(Ordering::Relaxed) <= from && from <= to && to <= self.0.head());
        self.0.spans(from, to - from)
    }

    /// First position that is not yet freed.
    pub fn tail(&self) -> Pos {
        self.0.tail.load(Ordering::Relaxed)
    }

    /// Frees everything before `pos`.
    pub fn release(&mut self, pos: Pos) {
        assert!(self.tail() <= pos && pos <= self.0.head());
        self.0.tail.store(pos, Ordering::Release);
    }

    /// Counts versions up to `lsn` as durable in a segment.
    pub fn mark_synced(&mut self, lsn: Lsn) {
        self.0.mark(MARK_SYNCED).store(lsn, Ordering::Release);
    }
}

// SAFETY: the raw memory is shared under the writer's and reader's discipline above; `Region` itself is Send + Sync.
unsafe impl Send for Ring {}
// SAFETY: as above.
unsafe impl Sync for Ring {}

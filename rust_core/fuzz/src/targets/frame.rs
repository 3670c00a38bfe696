//! One frame: any bytes, with their checksums put right or not, and any record.

use spellkeep_core::checksum::{xxh3_64, xxh3_64_with_seed};
use spellkeep_core::record::{
    Draft, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, Frame, Kind, Seal, StateClass, frame_len,
};

use super::memory::within;
use super::source::Source;

/// Puts the checksums of the frame at `at` right, as far as its length can be one. Returns its length.
pub fn mend(bytes: &mut [u8], at: usize, seed: u64) -> Option<usize> {
    let rest = bytes.get_mut(at..)?;
    let len = u32::from_le_bytes(*rest.first_chunk()?);
    let frame = rest.get_mut(..len as usize)?;
    if frame.len() < FRAME_OVERHEAD_BYTES {
        return None;
    }
    let head_sum = xxh3_64_with_seed(&frame[8..FRAME_HEADER_BYTES], seed ^ u64::from(len)) as u32;
    frame[4..8].copy_from_slice(&head_sum.to_le_bytes());
    let end = frame.len() - 8;
    let sum = xxh3_64(&frame[..end]);
    frame[end..].copy_from_slice(&sum.to_le_bytes());
    Some(frame.len())
}

fn look(bytes: &[u8], seed: u64) {
    let len = within(4096, "reading a length", || frame_len(bytes, seed));
    let Ok(frame) = within(4096, "reading a frame", || Frame::parse(bytes, seed)) else { return };
    assert_eq!(len, Ok(frame.bytes().len()));
    let parts = [frame.scope(), frame.value(), frame.key()].concat();
    assert!(frame.bytes()[FRAME_HEADER_BYTES..].starts_with(&parts));
    assert!(frame.entry_bytes().starts_with(&[frame.value(), frame.key()].concat()));
    assert!(frame.proven_durable() < frame.lsn.max(1));
    let origin = frame.fields.origin;
    assert!(origin.bytes().len() <= 10 + 130 + 130 + 257);
    let texts = origin.correlation().into_iter().chain(origin.actor()).chain(origin.tags());
    assert!(texts.into_iter().all(|text| !text.is_empty()), "a text without a byte");
}

pub fn run(bytes: &[u8]) {
    let mut from = Source(bytes);
    let (seed, mode) = (from.u64(), from.u8());
    look(from.0, seed);
    if mode & 1 == 0 {
        // The length that the bytes have, so that mutations get behind the checksums.
        let mut mended = from.0.to_vec();
        let len = mended.len() / 8 * 8;
        if len >= FRAME_OVERHEAD_BYTES {
            mended[..4].copy_from_slice(&(len as u32).to_le_bytes());
        }
        mend(&mut mended, 0, seed);
        return look(&mended, seed);
    }
    let kind = [Kind::Set, Kind::Delete, Kind::Clear, Kind::Expire, Kind::Skip, Kind::Event][from.below(6)];
    let class = [StateClass::Trusted, StateClass::Standard][from.below(2)];
    let (scope, key, value) = (from.bytes(), from.bytes(), from.bytes());
    let (scope, key, value) = match kind {
        Kind::Set => (scope, key, value),
        Kind::Event => (scope, if key.is_empty() { &b"e"[..] } else { key }, value),
        Kind::Delete | Kind::Expire => (scope, key, &[][..]),
        Kind::Clear => (scope, &[][..], &[][..]),
        Kind::Skip => (&[][..], &[][..], &[][..]),
    };
    let seal = Seal {
        lsn: from.u64(),
        time_us: from.u64(),
        prev_pos: from.u64(),
        epoch: from.u32(),
        prev_sum: from.u32(),
        unsynced_count: from.u32(),
        flags: u16::from(from.u8() & 3),
        seed,
    };
    let mut draft = Draft::of(kind, class, scope, key, value);
    let sealed = draft.seal(&seal).0.to_vec();
    look(&sealed, seed);
    let frame = Frame::parse(&sealed, seed).expect("what was sealed holds");
    assert_eq!((frame.scope(), frame.key(), frame.value()), (scope, key, value));
    assert_eq!((frame.kind, frame.class, frame.lsn, frame.time_us), (kind, class, seal.lsn, seal.time_us));
    assert_eq!((frame.prev_pos, frame.epoch, frame.prev_sum), (seal.prev_pos, seal.epoch, seal.prev_sum));
    assert_eq!((frame.unsynced_count, frame.flags), (seal.unsynced_count, seal.flags));
    let mut flipped = sealed.clone();
    let bit = from.u16() as usize % (sealed.len() * 8);
    flipped[bit / 8] ^= 1 << (bit % 8);
    assert!(Frame::parse(&flipped, seed).is_err(), "bit {bit} passed");
    assert!(Frame::parse(&sealed[..sealed.len() - 1], seed).is_err());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (mode, value) in [(0, &b"value"[..]), (0, &[]), (1, b"abc")] {
        let seal =
            Seal { lsn: 7, time_us: 1, prev_pos: 64, epoch: 3, prev_sum: 9, unsynced_count: 2, flags: 0, seed: 5 };
        let mut draft = Draft::of(Kind::Set, StateClass::Standard, b"\x04scout\0\0", b"plan", value);
        let head = [&5u64.to_le_bytes()[..], &[mode]].concat();
        seeds.push([&head, draft.seal(&seal).0].concat());
    }
    seeds.push([&5u64.to_le_bytes()[..], &[1, 0, 1, 3, 1, b'g', 0, 1, b'k', 2, 9, 9]].concat());
    seeds
}

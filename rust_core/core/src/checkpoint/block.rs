//! A block of a snapshot's file: rows or the end of a run, under one checksum, and chained to the block before it.

use crate::checksum::xxh3_64_with_seed;
use crate::record::le::{u32_at, u64_at};

/// Length and kind, 4 bytes each, and the sum of what stands before it.
pub(super) const BLOCK_HEAD_BYTES: usize = 16;
/// Bytes of a block beyond what it holds: the head, and behind everything its sum.
pub(super) const BLOCK_OVERHEAD_BYTES: usize = BLOCK_HEAD_BYTES + 8;

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    Rows = 1,
    /// The mark that the file has come to.
    End = 2,
}

/// A block that holds.
pub(super) struct Block<'a> {
    pub kind: BlockKind,
    pub content: &'a [u8],
    /// The next one carries it.
    pub sum: u64,
}

/// How long the block is that begins with `head`.
pub(super) fn block_len(head: &[u8; BLOCK_HEAD_BYTES]) -> usize {
    u32_at(head, 0) as usize + BLOCK_OVERHEAD_BYTES
}

/// The block that `bytes` are; None when they are not what was written.
pub(super) fn read_block(bytes: &[u8], seed: u64) -> Option<Block<'_>> {
    let sum_at = bytes.len().checked_sub(8).filter(|at| *at >= BLOCK_HEAD_BYTES)?;
    let sum = u64_at(bytes, sum_at);
    let kind = match u32_at(bytes, 4) {
        1 => BlockKind::Rows,
        2 => BlockKind::End,
        _ => return None,
    };
    let is_whole = u32_at(bytes, 0) as usize + BLOCK_OVERHEAD_BYTES == bytes.len();
    (is_whole && sum == xxh3_64_with_seed(&bytes[..sum_at], seed)).then(|| Block {
        kind,
        content: &bytes[BLOCK_HEAD_BYTES..sum_at],
        sum,
    })
}

/// The sum that a block says stands before it.
pub(super) fn sum_before(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

/// Begins a block at the end of `out`, behind one with the sum `before`.
pub(super) fn begin_block(out: &mut Vec<u8>, kind: BlockKind, before: u64) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(kind as u32).to_le_bytes());
    out.extend_from_slice(&before.to_le_bytes());
}

/// Ends the block that begins at `start`; returns its sum. What it holds is shorter than 4 GiB.
pub(super) fn end_block(out: &mut Vec<u8>, start: usize, seed: u64) -> u64 {
    let len = (out.len() - start - BLOCK_HEAD_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    let sum = xxh3_64_with_seed(&out[start..], seed);
    out.extend_from_slice(&sum.to_le_bytes());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_and_no_other_bytes_are_taken_for_it() {
        let mut bytes = vec![9; 3];
        begin_block(&mut bytes, BlockKind::Rows, 77);
        bytes.extend_from_slice(b"content");
        let sum = end_block(&mut bytes, 3, 5);
        let good = &bytes[3..];
        let read = |bytes: &[u8]| read_block(bytes, 5).map(|block| (block.kind, block.content.to_vec(), block.sum));
        assert_eq!(read(good), Some((BlockKind::Rows, b"content".to_vec(), sum)));
        assert_eq!((sum_before(good), block_len(good.first_chunk().unwrap())), (77, good.len()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), None, "bit {bit}");
        }
        assert!((0..good.len()).all(|len| read(&good[..len]).is_none()));
        assert_eq!(read(&[good, &[0; 8]].concat()), None);
        assert!(read_block(good, 6).is_none());
    }
}

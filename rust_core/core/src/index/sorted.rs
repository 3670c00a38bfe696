//! Keys in order, many to an allocation: blocks of keys, each without what it has in common with the one before.

use crate::record::le::u16_at;

/// A new block has about so many bytes. Few, since a key that comes or goes has its block written anew.
const BLOCK_BYTES: usize = 1024;
/// A block that grows beyond this is split.
const BLOCK_BYTES_MAX: usize = 2 * BLOCK_BYTES;
/// Before each key of a block: bytes in common with the key before, and bytes that follow.
const KEY_HEADER_BYTES: usize = 3;

/// Keys in no order, each any number of times.
#[derive(Default)]
pub(super) struct Keys {
    /// The length of each, two bytes, and the key.
    bytes: Vec<u8>,
}

impl Keys {
    pub(super) fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Each once, in order.
    pub(super) fn sorted(&self) -> Vec<&[u8]> {
        let mut keys = Vec::new();
        let mut rest = &self.bytes[..];
        while let Some((len, after)) = rest.split_first_chunk() {
            let (key, after) = after.split_at(usize::from(u16::from_le_bytes(*len)));
            keys.push(key);
            rest = after;
        }
        // Most comparisons end with the eight bytes behind what all have in common.
        let common = keys.first().map_or(0, |first| keys.iter().map(|key| common_len(first, key)).min().unwrap_or(0));
        let mut keyed: Vec<_> = keys.into_iter().map(|key| (number_at(key, common), key)).collect();
        keyed.sort_unstable();
        keyed.dedup();
        keyed.into_iter().map(|(_, key)| key).collect()
    }
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Eight bytes from `at` on, zeros behind the end. Ordered as what they are of, but for keys that differ in zeros.
fn number_at(key: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    let some = &key[at..key.len().min(at + 8)];
    bytes[..some.len()].copy_from_slice(some);
    u64::from_be_bytes(bytes)
}

/// A set of keys. A key takes up three bytes and those that tell it from the one before.
#[derive(Default)]
pub(super) struct Sorted {
    /// None is empty.
    blocks: Vec<Box<[u8]>>,
}

/// Writes keys, which come in order, into blocks.
struct Writer {
    done: Vec<Box<[u8]>>,
    block: Vec<u8>,
    last: Vec<u8>,
    block_bytes: usize,
}

impl Writer {
    fn new(block_bytes: usize) -> Self {
        Self { done: Vec::new(), block: Vec::new(), last: Vec::new(), block_bytes }
    }

    fn push(&mut self, key: &[u8]) {
        if self.block.len() >= self.block_bytes {
            self.end_block();
        }
        let common = if self.block.is_empty() { 0 } else { common_len(&self.last, key).min(usize::from(u8::MAX)) };
        self.block.push(common as u8);
        self.block.extend_from_slice(&((key.len() - common) as u16).to_le_bytes());
        self.block.extend_from_slice(&key[common..]);
        self.last.clear();
        self.last.extend_from_slice(key);
    }

    fn end_block(&mut self) {
        if !self.block.is_empty() {
            self.done.push(Box::from(&self.block[..]));
            self.block.clear();
        }
    }

    fn done(mut self) -> Vec<Box<[u8]>> {
        self.end_block();
        self.done
    }
}

/// Reads a block from its begin on.
struct Reader<'a> {
    rest: &'a [u8],
    key: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(block: &'a [u8]) -> Self {
        Self { rest: block, key: Vec::new() }
    }

    fn next(&mut self) -> Option<&[u8]> {
        let (header, rest) = self.rest.split_at_checked(KEY_HEADER_BYTES)?;
        let (own, rest) = rest.split_at(usize::from(u16_at(header, 1)));
        self.key.truncate(usize::from(header[0]));
        self.key.extend_from_slice(own);
        self.rest = rest;
        Some(&self.key)
    }
}

fn first_of(block: &[u8]) -> &[u8] {
    &block[KEY_HEADER_BYTES..KEY_HEADER_BYTES + usize::from(u16_at(block, 1))]
}

impl Sorted {
    /// Of keys that come in order, each once.
    pub(super) fn of(keys: &[&[u8]]) -> Self {
        let mut writer = Writer::new(BLOCK_BYTES);
        keys.iter().for_each(|key| writer.push(key));
        Self { blocks: writer.done() }
    }

    /// The block that has `key`, or would have it.
    fn block_of(&self, key: &[u8]) -> usize {
        self.blocks.partition_point(|block| first_of(block) <= key).saturating_sub(1)
    }

    /// Calls `look` with each key that starts with `prefix`, in order. Cost: O(log n), and what is found.
    pub(super) fn for_each(&self, prefix: &[u8], mut look: impl FnMut(&[u8])) {
        for block in &self.blocks[self.block_of(prefix)..] {
            let mut reader = Reader::new(block);
            while let Some(key) = reader.next() {
                if key.starts_with(prefix) {
                    look(key);
                } else if key > prefix {
                    return;
                }
            }
        }
    }

    /// Adds keys that come in order; those that it has already change nothing. Cost: O(log n) for each, and the rewriting
    /// of its block.
    pub(super) fn add(&mut self, keys: &[&[u8]]) {
        let mut rest = keys;
        while let Some(first) = rest.first() {
            let at = self.block_of(first);
            let end = self.blocks.get(at + 1).map_or(rest.len(), |next| {
                let next = first_of(next);
                rest.partition_point(|key| *key < next)
            });
            let (here, later) = rest.split_at(end);
            self.rewrite(at, here, |_| true);
            rest = later;
        }
    }

    /// Keeps, of the keys that start with `prefix`, those of which `keep` says so.
    pub(super) fn retain(&mut self, prefix: &[u8], mut keep: impl FnMut(&[u8]) -> bool) {
        let mut at = self.block_of(prefix);
        while at < self.blocks.len() {
            let first = first_of(&self.blocks[at]);
            if first > prefix && !first.starts_with(prefix) {
                return;
            }
            at += self.rewrite(at, &[], |key| !key.starts_with(prefix) || keep(key));
        }
    }

    /// Puts blocks with what `keep` keeps, and with `more`, in the place of block `at`; how many.
    fn rewrite(&mut self, at: usize, more: &[&[u8]], mut keep: impl FnMut(&[u8]) -> bool) -> usize {
        let bytes = self.blocks.get(at).map_or(0, |block| block.len())
            + more.iter().map(|key| key.len() + KEY_HEADER_BYTES).sum::<usize>();
        let mut writer = Writer::new(if bytes > BLOCK_BYTES_MAX { BLOCK_BYTES } else { BLOCK_BYTES_MAX });
        let mut more = more.iter().peekable();
        if let Some(block) = self.blocks.get(at) {
            let mut reader = Reader::new(block);
            while let Some(key) = reader.next() {
                while let Some(new) = more.next_if(|new| **new < key) {
                    writer.push(new);
                }
                more.next_if(|new| **new == key);
                if keep(key) {
                    writer.push(key);
                }
            }
        }
        more.for_each(|new| writer.push(new));
        let blocks = writer.done();
        let count = blocks.len();
        self.blocks.splice(at..self.blocks.len().min(at + 1), blocks);
        count
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.len() + size_of::<Box<[u8]>>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => proptest::collection::vec(0..3u8, 1..12),
            1 => (200..400usize, 0..3u8).prop_map(|(len, last)| [vec![1; len], vec![last]].concat()),
        ]
    }

    fn keys(sorted: &Sorted, prefix: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        sorted.for_each(prefix, |key| found.push(key.to_vec()));
        found
    }

    proptest! {
        #[test]
        fn it_holds_what_a_set_holds(
            first in proptest::collection::btree_set(key(), 0..600),
            turns in proptest::collection::vec((proptest::collection::btree_set(key(), 0..200), key(), 0..4u8), 1..6),
        ) {
            let mut given = Keys::default();
            first.iter().rev().chain(&first).for_each(|key| given.push(key));
            let mut sorted = Sorted::of(&given.sorted());
            let mut model: BTreeSet<Vec<u8>> = first;
            for (more, prefix, last) in turns {
                let prefix = &prefix[..prefix.len() / 2];
                sorted.add(&more.iter().map(|key| &key[..]).collect::<Vec<_>>());
                model.extend(more);
                sorted.retain(prefix, |key| key.last() != Some(&last));
                model.retain(|key| !key.starts_with(prefix) || key.last() != Some(&last));
                prop_assert_eq!(keys(&sorted, b""), model.iter().cloned().collect::<Vec<_>>());
                let under: Vec<_> = model.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
                prop_assert_eq!(keys(&sorted, prefix), under);
                prop_assert!(sorted.blocks.iter().all(|block| !block.is_empty()));
            }
        }
    }
}

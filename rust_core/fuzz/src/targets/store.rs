//! A store whose files the input changes: pristine images, edits, and checksums put right behind them.

use std::sync::{Arc, OnceLock};

use spellkeep_core::checksum::xxh3_64;
use spellkeep_core::env::disk::read_file;
use spellkeep_core::env::{Disk, OpenHow};
use spellkeep_core::record::{Draft, Frame, Kind, Seal, StateClass};
use spellkeep_core::store::{Store, StoreError};
use spellkeep_core::wal::{Durability, WalOptions};

use super::frame::mend;
use super::source::Source;
use crate::common::sim::{SimDisk, Tree};
use crate::common::{batch, clear, delete, env_on, set, small};

pub const SCOPE: &[u8] = b"\x01";

/// Name, contents, and where its frames begin.
#[derive(Clone)]
pub struct File {
    pub name: String,
    pub bytes: Vec<u8>,
    frames: Vec<usize>,
}

/// The files of a store.
#[derive(Clone)]
pub struct Image {
    pub mapped: bool,
    pub files: Vec<File>,
    seed: u64,
}

pub fn options(mapped: bool) -> WalOptions {
    WalOptions { ring_bytes: 4096, segment_bytes: 4096, ..small(Durability::Interval, mapped) }
}

/// Reserves little ahead, so that a state is quickly made and read.
fn disk() -> SimDisk {
    let mut disk = SimDisk::of(Tree::default());
    disk.grant = Some(4096 + (16 << 10) + 8192);
    disk
}

pub fn open(disk: &SimDisk, mapped: bool) -> Result<Store, StoreError> {
    Store::open(env_on(Arc::new(disk.clone())), options(mapped))
}

fn make(mapped: bool, closed: bool) -> Image {
    let disk = disk();
    let store = open(&disk, mapped).expect("a new store");
    let put = |key: &str, len: usize| {
        set(&store, SCOPE, key, &vec![len as u8; len]).expect("room");
    };
    put("a", 3000);
    put("b", 30);
    store.wal().flush().expect("a sync");
    put("a", 900);
    store.wal().flush().expect("a sync");
    put("b", 9);
    delete(&store, SCOPE, "a").expect("room");
    clear(&store, SCOPE).expect("room");
    store.wal().flush().expect("a sync");
    let op = |key: &str| (SCOPE.to_vec(), key.to_owned(), Some(vec![7; 20]));
    batch(&store, &[op("a"), op("c")]).expect("room");
    clear(&store, SCOPE).expect("room");
    put("c", 10);
    let seed = store.wal().seed();
    if closed {
        store.close().expect("a sync");
    }
    let left = SimDisk::of(disk.tree());
    drop(store);
    let file = |name: String| {
        let bytes = read_file(&left, &name).expect("it is there");
        // Reserved zeros say nothing.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let len = if name == "ring" { bytes.len() } else { used.next_multiple_of(8) };
        let bytes = bytes[..len.min(bytes.len())].to_vec();
        let frames = (64..bytes.len()).step_by(8).filter(|at| Frame::parse(&bytes[*at..], seed).is_ok()).collect();
        File { name, bytes, frames }
    };
    Image { mapped, files: left.list("").expect("names").into_iter().map(file).collect(), seed }
}

/// One of four: with and without a ring, closed and killed.
pub fn image(number: usize) -> Image {
    static MADE: OnceLock<Vec<Image>> = OnceLock::new();
    MADE.get_or_init(|| (0..4).map(|i| make(i & 1 == 0, i & 2 == 0)).collect())[number % 4].clone()
}

impl Image {
    /// One change that the input chooses.
    pub fn edit(&mut self, from: &mut Source<'_>) {
        let count = self.files.len();
        let what = from.below(8);
        let file = &mut self.files[from.below(count)];
        let at = usize::from(from.u16()) % (file.bytes.len() + 1);
        match what {
            // Bytes over others: in the headers, in a frame, anywhere.
            0 | 1 => put(&mut file.bytes, at, from.bytes()),
            2 => put(&mut file.bytes, at % 96, from.bytes()),
            3 if !file.frames.is_empty() => {
                let frame = file.frames[at % file.frames.len()];
                let field = [0, 8, 16, 24, 32, 36, 40, 44, 48, 50, 52, 54][from.below(12)];
                put(&mut file.bytes, frame + field, from.take(4));
            }
            4 => file.bytes.truncate(at),
            5 => file.bytes = from.take(usize::from(u8::MAX) * 4).to_vec(),
            6 => file.name = format!("segments/{:016x}-{:04x}.seg", from.u16(), from.u8()),
            _ => {
                let seed = self.seed;
                file.grow(from, seed);
            }
        }
    }

    /// Puts every checksum right; with `chain` also what links a frame to the one before it.
    pub fn mend(&mut self, chain: bool) {
        for file in &mut self.files {
            let (covered, at) = match file.name.as_str() {
                "MANIFEST" => (0..88, 88),
                "ring" => (0..40, 40),
                _ => (0..56, 56),
            };
            if file.bytes.len() >= at + 8 {
                let sum = xxh3_64(&file.bytes[covered]);
                file.bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
            }
            let mut former: Option<u32> = None;
            for at in file.frames.clone() {
                if let Some(sum) = former.filter(|_| chain && at + 40 <= file.bytes.len()) {
                    file.bytes[at + 36..at + 40].copy_from_slice(&sum.to_le_bytes());
                }
                former = mend(&mut file.bytes, at, self.seed).map(|len| {
                    let sum = &file.bytes[at + len - 8..at + len - 4];
                    u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]])
                });
            }
        }
    }

    /// On a disk of its own.
    pub fn disk(&self) -> SimDisk {
        let disk = disk();
        for file in &self.files {
            // Names may meet.
            if disk.exists(&file.name).expect("a look") {
                disk.remove(&file.name).expect("it is there");
            }
            let made = disk.open(&file.name, OpenHow::Create).expect("a new file");
            made.write_at(&file.bytes, 0).expect("a write");
        }
        disk
    }

    pub fn len_bytes(&self) -> usize {
        self.files.iter().map(|file| file.bytes.len()).sum()
    }
}

impl File {
    /// A record behind the last one that continues it, but for what the input says otherwise.
    fn grow(&mut self, from: &mut Source<'_>, seed: u64) {
        let Some(at) = self.frames.last().copied() else { return };
        let Ok(last) = Frame::parse(self.bytes.get(at..).unwrap_or_default(), seed) else { return };
        let kind = [Kind::Set, Kind::Delete, Kind::Clear, Kind::Skip, Kind::Event][from.below(5)];
        let key = [&b"a"[..], b"b", b"new"][from.below(3)];
        let left_out = u64::from(if kind == Kind::Skip { from.u8() } else { from.u8() / 200 });
        let seal = Seal {
            lsn: last.lsn.wrapping_add(1).wrapping_add(left_out),
            time_us: from.u64(),
            prev_pos: u64::from(from.u16()) & !7,
            epoch: last.epoch.wrapping_add(u32::from(from.u8() / 200)),
            prev_sum: last.sum(),
            unsynced_count: u32::from(from.u8()),
            flags: u16::from(from.u8() / 64),
            seed,
        };
        let (scope, key, value) = match kind {
            Kind::Skip => (&[][..], &b""[..], &[][..]),
            Kind::Clear => (SCOPE, &b""[..], from.bytes()),
            _ => (SCOPE, key, from.bytes()),
        };
        let mut draft = Draft::of(kind, StateClass::Standard, scope, key, value);
        let end = at + last.bytes().len();
        put(&mut self.bytes, end, draft.seal(&seal).0);
        self.frames.push(end);
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let end = at + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(new);
}

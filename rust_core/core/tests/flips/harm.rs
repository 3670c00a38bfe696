//! What is done to a file, one thing at a time: bits, lengths, sectors.

use std::ops::Range;

use spellkeep_core::env::{Disk, OpenHow};

use super::image::Files;
use crate::common::Rng;
use crate::common::sim::SimDisk;

/// A kind of file, and where in it each bit says something of its own; elsewhere any bit of a byte is like the others.
struct FileKind {
    begins: &'static str,
    dense: Range<usize>,
}

/// Every kind of file that a store has. A new one goes here.
const KINDS: [FileKind; 4] = [
    FileKind { begins: "MANIFEST", dense: 0..96 },
    FileKind { begins: "ring", dense: 0..96 },
    FileKind { begins: "segments/", dense: 0..64 + 56 },
    FileKind { begins: "snapshots/", dense: 0..40 + 16 + 64 },
];

fn kind(name: &str) -> &'static FileKind {
    KINDS.iter().find(|kind| name.starts_with(kind.begins)).unwrap_or_else(|| panic!("{name} is no known kind of file"))
}

/// One thing that is wrong with a disk.
#[derive(Clone, Debug)]
pub enum Harm {
    Flip {
        file: String,
        bit: usize,
    },
    Cut {
        file: String,
        len: usize,
    },
    Missing {
        file: String,
    },
    /// These bytes stand there: zeros, another sector, an earlier one.
    Put {
        how: &'static str,
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    /// Two stretches changed places.
    Swap {
        files: [String; 2],
        at: [usize; 2],
        bytes: [Vec<u8>; 2],
    },
    /// The whole file is as it was at an earlier moment; None: it was not there.
    Earlier {
        file: String,
        bytes: Vec<u8>,
    },
}

impl Harm {
    pub fn files(&self) -> &[String] {
        match self {
            Self::Swap { files, .. } => files,
            Self::Flip { file, .. } | Self::Cut { file, .. } | Self::Missing { file } => std::slice::from_ref(file),
            Self::Put { file, .. } | Self::Earlier { file, .. } => std::slice::from_ref(file),
        }
    }

    /// Whether it is about files of one kind only.
    pub fn only_in(&self, begins: &str) -> bool {
        self.files().iter().all(|file| file.starts_with(begins))
    }

    /// Whether there is what it is about.
    pub fn fits(&self, files: &Files) -> bool {
        match self {
            Self::Flip { file, bit } => files[file].len() * 8 > *bit,
            _ => true,
        }
    }

    /// Puts the bytes of its files back.
    pub fn undo(&self, disk: &SimDisk, files: &Files) {
        for file in self.files() {
            disk.alter(file, 0, &files[file]);
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Flip { file, bit } => format!("bit {} of byte {} of {file} flipped", bit % 8, bit / 8),
            Self::Cut { file, len } => format!("{file} cut to {len} bytes"),
            Self::Missing { file } => format!("{file} missing"),
            Self::Put { how, file, at, bytes } => format!("{} bytes at {at} of {file} {how}", bytes.len()),
            Self::Swap { files, at, bytes } => {
                let [(a, x), (b, y)] = [(&files[0], at[0]), (&files[1], at[1])];
                format!("{} bytes at {x} of {a} and at {y} of {b} swapped", bytes[0].len())
            }
            Self::Earlier { file, .. } => format!("{file} as it was earlier"),
        }
    }

    pub fn apply(&self, disk: &SimDisk, files: &Files) {
        let set_len = |file: &str, len: usize| disk.open(file, OpenHow::Write).unwrap().set_len(len as u64).unwrap();
        match self {
            Self::Flip { file, bit } => disk.alter(file, bit / 8, &[files[file][bit / 8] ^ 1 << (bit % 8)]),
            Self::Cut { file, len } => set_len(file, *len),
            Self::Missing { file } => disk.remove(file).unwrap(),
            Self::Put { file, at, bytes, .. } => disk.alter(file, *at, bytes),
            Self::Swap { files, at, bytes } => {
                disk.alter(&files[0], at[0], &bytes[1]);
                disk.alter(&files[1], at[1], &bytes[0]);
            }
            Self::Earlier { file, bytes } => {
                set_len(file, 0);
                disk.alter(file, 0, bytes);
            }
        }
    }
}

/// Behind the last byte that is not zero, reserved zeros say no more than the first few of them.
fn used(bytes: &[u8]) -> usize {
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    (last + 72).min(bytes.len())
}

/// Every bit; or, of what is not dense, about one in a byte of `one_in`.
pub fn flips(files: &Files, every: bool, one_in: usize, rng: &mut Rng) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (file, bytes) in files {
        let dense = &kind(file).dense;
        for byte in 0..used(bytes) {
            let sampled = if rng.below(one_in) == 0 { 1 << rng.below(8) } else { 0 };
            let mask: u8 = if every || dense.contains(&byte) { 0xFF } else { sampled };
            let bits = (0..8).filter(|bit| mask & 1 << bit != 0);
            harms.extend(bits.map(|bit| Harm::Flip { file: file.clone(), bit: byte * 8 + bit }));
        }
    }
    harms
}

/// Every length; or about one of sixteen where nothing is dense. And no file at all.
pub fn cuts(files: &Files, every: bool, rng: &mut Rng) -> Vec<Harm> {
    let mut harms = Vec::new();
    for (file, bytes) in files {
        harms.push(Harm::Missing { file: file.clone() });
        let dense = &kind(file).dense;
        let lens = (0..used(bytes)).filter(|len| every || dense.contains(len) || rng.below(16) == 0);
        harms.extend(lens.map(|len| Harm::Cut { file: file.clone(), len }));
    }
    harms
}

/// The sectors of `size` bytes of all files, the last one of a file shorter.
fn sectors(files: &Files, size: usize) -> Vec<(&String, usize, &[u8])> {
    let of = |(file, bytes): (_, &'_ Vec<u8>)| -> Vec<(_, usize)> {
        (0..used(bytes)).step_by(size).map(|at| (file, at)).collect()
    };
    let places = files.iter().flat_map(of);
    places.map(|(file, at)| (file, at, &files[file][at..(at + size).min(files[file].len())])).collect()
}

/// Sectors that were zeroed, or are as they were at an earlier moment; whole files of an earlier moment.
pub fn lost_writes(files: &Files, earlier: &[Files]) -> Vec<Harm> {
    let mut harms = Vec::new();
    for size in [512, 4096] {
        for (file, at, bytes) in sectors(files, size) {
            let put = |how, bytes| Harm::Put { how, file: file.clone(), at, bytes };
            harms.push(put("zeroed", vec![0; bytes.len()]));
            for earlier in earlier.iter().filter_map(|files| files.get(file)) {
                let mut then = earlier.get(at..).unwrap_or_default().to_vec();
                then.resize(bytes.len(), 0);
                harms.push(put("as they were earlier", then));
            }
        }
    }
    for (file, bytes) in files {
        let earlier = earlier.iter().filter_map(|files| files.get(file)).filter(|earlier| *earlier != bytes);
        harms.extend(earlier.map(|bytes| Harm::Earlier { file: file.clone(), bytes: bytes.clone() }));
    }
    harms
}

/// Sectors that stand in each other's place, or twice; all pairs, or one of `one_in`.
pub fn misplaced(files: &Files, one_in: usize, rng: &mut Rng) -> Vec<Harm> {
    let mut harms = Vec::new();
    for size in [512, 4096] {
        let all = sectors(files, size);
        for (i, (file, at, bytes)) in all.iter().enumerate() {
            for (j, (other_file, other_at, other)) in all.iter().enumerate() {
                if i == j || bytes == other || bytes.len() != other.len() || rng.below(one_in) != 0 {
                    continue;
                }
                let put = Harm::Put { how: "a copy of others", file: (*file).clone(), at: *at, bytes: other.to_vec() };
                harms.push(put);
                if i < j {
                    let files = [(*file).clone(), (*other_file).clone()];
                    harms.push(Harm::Swap { files, at: [*at, *other_at], bytes: [bytes.to_vec(), other.to_vec()] });
                }
            }
        }
    }
    harms
}

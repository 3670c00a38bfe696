//! What is fuzzed. Each target takes any bytes and panics when the engine does something that it must not do; its seeds
//! are made here too. The fuzzers and the plain test `seeds` of the core run the same functions.
#![allow(dead_code)]

mod frame;
mod memory;
mod recovery;
mod scope;
mod source;
mod store;
mod tree;
mod value;

/// A name, what takes the bytes, and what begins the corpus.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const ALL: [Target; 5] = [
    Target { name: "value", run: value::decode, seeds: value::decode_seeds },
    Target { name: "value_roundtrip", run: value::roundtrip, seeds: value::roundtrip_seeds },
    Target { name: "recovery", run: recovery::run, seeds: recovery::seeds },
    Target { name: "frame", run: frame::run, seeds: frame::seeds },
    Target { name: "scope", run: scope::run, seeds: scope::seeds },
];

/// The target of that name.
pub fn named(name: &str) -> &'static Target {
    ALL.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("no target is called {name}"))
}

/// Bytes that no seed was made for, always the same ones.
pub fn noise(number: u64, len: usize) -> Vec<u8> {
    let mut rng = crate::common::Rng::of(7, number);
    (0..len).map(|_| rng.next() as u8).collect()
}

//! The engine of Spellkeep. Pure Rust; the Python binding in `rust_core/py` only translates.
//!
//! Rooms, lowest first (`layers.toml` is the graph that `tests/tidy` enforces):
//! `sync error limits checksum` | `redaction` | `env` | `scope value record` | `index wal checkpoint` | `store`.
#![deny(unsafe_code)]

pub mod checkpoint;
pub mod checksum;
pub mod env;
pub mod error;
pub mod index;
pub mod limits;
pub mod record;
pub mod redaction;
pub mod scope;
pub mod store;
pub mod sync;
pub mod value;
pub mod wal;

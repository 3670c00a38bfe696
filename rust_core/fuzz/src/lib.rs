//! Fuzz targets of the engine. `make fuzz` builds them with libFuzzer; without the feature `fuzzer` this is plain Rust.

#[path = "../../core/tests/common/mod.rs"]
mod common;
pub mod targets;

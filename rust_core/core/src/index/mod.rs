//! The index: every key of every scope, in memory. Readers never wait and never see a half-written entry.
//!
//! Writers are serialised by the log's append lock, which is what [`crate::sync::WriteToken`] stands for.

mod entry;
mod expiries;
mod place;
mod schedule;
mod scope_map;
mod table;

pub use entry::{Entry, Meta};
pub use expiries::{Expiring, Forgotten};
pub use place::Place;
pub use schedule::Schedule;
pub use scope_map::{Index, ScopeMap};

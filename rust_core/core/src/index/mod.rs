//! The index: every key of every scope, in memory. Readers never wait and never see a half-written entry.
//!
//! Writers are serialised by the log's append lock, which is what [`crate::sync::WriteToken`] stands for.

mod entry;
mod expiries;
mod life;
mod list;
mod order;
mod place;
mod read_view;
mod resident;
mod retained;
mod schedule;
mod scope_map;
mod sorted;
mod table;
mod turns;
mod undo;

pub use entry::{Entry, Meta};
pub use expiries::{Expiring, Forgotten};
pub use life::{Ending, Life};
pub use place::Place;
pub use read_view::Moment;
pub use retained::ViewId;
pub use schedule::Schedule;
pub use scope_map::{Index, ScopeMap};
pub use undo::Undo;

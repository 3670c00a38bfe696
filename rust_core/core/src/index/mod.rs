//! The index: every key of every scope, in memory. Readers never wait and never see a half-written entry.
//!
//! Writers are serialised by the log's append lock, which is what [`WriteToken`] stands for.

mod entry;
mod scope_map;
mod table;

pub use entry::{Entry, Meta};
pub use scope_map::{Index, Located, ScopeMap};

/// Proof that the caller holds the append lock: there is one per store, inside that lock.
#[derive(Debug)]
pub struct WriteToken(());

impl WriteToken {
    /// For the owner of the lock, once.
    pub(crate) fn new() -> Self {
        Self(())
    }
}

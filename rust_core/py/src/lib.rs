//! `spellkeep._core`: translation between Python and `spellkeep-core`, one file per room, no logic of its own.
pub mod errors;
pub mod scope;
pub mod store;
pub mod value;

use pyo3::prelude::*;

/// Entries come and go with every write; the system's allocator spends more on them than everything else in a write.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::scope::StateScope;
    #[pymodule_export]
    use super::store::{Batch, Changes, EntryBuffer, Items, ReadView, ScopeHandle, Store, store_salvage, store_verify};
    #[pymodule_export]
    use crate::value::{
        DictView, Limits, SequenceView, Tagged, ViewIter, value_decode, value_encode, value_use_registry, value_view,
    };
}

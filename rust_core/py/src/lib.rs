//! `spellkeep._core`: translation between Python and `spellkeep-core`, one file per room, no logic of its own.
mod allocator;
pub mod correlation;
pub mod errors;
pub mod hooks;
pub mod redaction;
pub mod scope;
pub mod store;
pub mod value;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::correlation::{Correlation, correlation_var};
    #[pymodule_export]
    use super::hooks::{Hook, HookAsked, HookContext, HookFilter, HookTable};
    #[pymodule_export]
    use super::hooks::{hook_ask, hook_call, hook_deliver, hook_digest, hook_pick};
    #[pymodule_export]
    use super::redaction::{is_secret_name, redact_text, secrets_in};
    #[pymodule_export]
    use super::scope::StateScope;
    #[pymodule_export]
    use super::store::{
        Batch, Change, Changes, EntryBuffer, Events, Items, ReadView, ScopeHandle, Store, store_salvage, store_verify,
    };
    #[pymodule_export]
    use crate::value::{
        DictView, Limits, ModelFields, Pictures, SequenceView, Substitution, Tagged, ViewIter, value_bundle,
        value_changed, value_copies, value_decode, value_difference, value_encode, value_gather, value_time_us,
        value_use_registry, value_uuid_bytes, value_view,
    };
}

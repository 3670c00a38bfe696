//! The store binding: what `spellkeep.store` builds its face on.

mod batch;
mod changes;
mod damage;
mod entry;
mod events;
mod failure;
mod figures;
mod handle;
mod manager;
mod numbered;
mod past;
mod read;
mod read_view;
mod sealing;
mod ttl;
mod write;

use std::mem::ManuallyDrop;
use std::ops::Deref;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt};
use spellkeep_core::limits::ValueLimits;
use spellkeep_core::record::StateClass;
use spellkeep_core::store;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::SealingKeys;
use spellkeep_core::wal::{Durability, WalError};

use crate::hooks::Hooks;
use crate::value::{encode_as, encode_into};

pub use batch::Batch;
pub use changes::{Change, Changes};
pub use damage::{store_salvage, store_verify};
pub use entry::class_of;
pub use events::Events;
pub use failure::to_py;
pub use handle::ScopeHandle;
pub use manager::Store;
pub use read::{EntryBuffer, Items};
pub use read::{live, value_of};
pub use read_view::ReadView;
pub use sealing::{decode_sealed, opened_count};
pub use ttl::{MaxAge, Ttl};

/// The engine's store and what the binding adds: limits per state class, and hooks.
pub struct Shared {
    store: ManuallyDrop<store::Store>,
    limits: ValueLimits,
    trusted_limits: ValueLimits,
    external_limits: ValueLimits,
    sealing_keys: Option<Arc<SealingKeys>>,
    /// What runs before operations.
    pub hooks: Hooks,
}

impl Shared {
    fn new(store: store::Store, limits: ValueLimits, sealing_keys: Option<Arc<SealingKeys>>) -> Self {
        let trusted_limits = ValueLimits { items_max: u64::MAX, string_bytes_max: usize::MAX, ..limits };
        let external_limits = limits.for_external();
        Self {
            store: ManuallyDrop::new(store),
            limits,
            trusted_limits,
            external_limits,
            sealing_keys,
            hooks: Hooks::default(),
        }
    }

    /// Whether anything is written here. Errors: Closed, Forked, ReadOnly.
    pub fn check_writable(&self, py: Python<'_>) -> PyResult<()> {
        self.check().map_err(|e| to_py(py, e))?;
        if self.is_read_only() { Err(to_py(py, WalError::ReadOnly.into())) } else { Ok(()) }
    }

    /// Encodes a value as it is kept under a key: limits as its class has them, sealed if its class is. Errors: those of
    /// the walk, `seal.key`.
    #[inline]
    pub fn encode(
        &self,
        value: &Bound<'_, PyAny>,
        class: StateClass,
        place: sealing::Place<'_>,
        out: &mut Vec<u8>,
    ) -> PyResult<()> {
        let (py, limits) = (value.py(), self.limits(class));
        if class != StateClass::Sensitive {
            return encode_as(py, value, limits, class, out);
        }
        sealing::seal(py, self.sealing_keys(), out, place, |out| encode_into(py, value, limits, out))
    }

    /// What opens the sealed values of this store.
    pub fn sealing_keys(&self) -> Option<&Arc<SealingKeys>> {
        self.sealing_keys.as_ref()
    }

    /// What a value of this class may be.
    pub fn limits(&self, class: StateClass) -> &ValueLimits {
        match class {
            StateClass::Trusted => &self.trusted_limits,
            StateClass::Standard | StateClass::Sensitive => &self.limits,
            StateClass::External => &self.external_limits,
        }
    }
}

impl Deref for Shared {
    type Target = store::Store;

    fn deref(&self) -> &store::Store {
        &self.store
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.store.wal().is_forked() {
            // The parent's threads, lock and mapping are not here: leave everything as it is, down to the memory.
            return;
        }
        if self.store.check().is_ok() {
            let store = &*self.store;
            // Closing writes and syncs, which other threads need not wait for.
            Python::attach(|py| {
                if let Err(error) = py.detach(|| store.close()) {
                    failure::to_py(py, error).write_unraisable(py, None);
                }
            });
        }
        // SAFETY: dropped here and nowhere else.
        unsafe { ManuallyDrop::drop(&mut self.store) };
    }
}

/// A version as callers give it: a whole number from 0 on.
#[derive(Clone, Copy)]
pub struct Version(u64);

impl Version {
    /// Of what is not there.
    pub const NONE: Self = Self(0);

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }
}

impl FromPyObject<'_, '_> for Version {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let complaint = || format!("a version is a whole number from 0 to 2**64 - 1, not {}", &*given);
        if !given.is_instance_of::<PyInt>() || given.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(complaint()));
        }
        given.extract().map(Self).map_err(|_| PyValueError::new_err(complaint()))
    }
}

/// What the word means that callers give. Errors: `store.option`.
fn durability(py: Python<'_>, word: &str) -> PyResult<Durability> {
    Durability::from_word(word).ok_or_else(|| {
        let what = format!("durability={word:?}: \"process\", \"interval\" or \"sync\"");
        to_py(py, WalError::BadOption(what).into())
    })
}

/// The class that `spellkeep.StateClass` members stand for: their value is the number stored in frames.
fn state_class(given: Option<&Bound<'_, PyAny>>, default: StateClass) -> PyResult<StateClass> {
    let Some(given) = given.filter(|given| !given.is_none()) else {
        return Ok(default);
    };
    let number = given.getattr("value").and_then(|value| value.extract::<u8>());
    number
        .ok()
        .and_then(StateClass::from_byte)
        .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err(format!("state_class must be a StateClass, not {given}")))
}

//! (room) hooks: running hooks before operations. No lock is held while one runs.

mod asked;
mod context;
mod deliver;
mod dispatch;
mod filter;
mod hook;

use std::sync::{Mutex, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use spellkeep_core::checksum::{xxh3_64, xxh3_64_with_seed};
use spellkeep_core::sync::{AtomicU32, Ordering::Relaxed};

pub use asked::{HookAsked, hook_ask};
pub use context::HookContext;
pub use deliver::{hook_call, hook_deliver};
pub use dispatch::{before_batch, before_removal, before_set};
pub use filter::{HookFilter, hook_pick};
pub use hook::Hook;

use crate::scope::StateScope;

/// What hooks run before. The numbers index [`HookTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Point {
    /// Storing a value.
    Set = 0,
    /// Removing a key.
    Delete = 1,
    /// Removing every key of a scope.
    Clear = 2,
    /// Committing operations as one.
    Batch = 3,
    /// Making the whole state of an agent another.
    AgentSave = 4,
    /// Reading the whole state of an agent.
    AgentLoad = 5,
    /// Beginning a session.
    SessionStart = 6,
    /// Ending a session.
    SessionEnd = 7,
}

const POINTS: usize = 8;
const NAMES: [&str; POINTS] =
    ["set", "delete", "clear", "batch", "agent_save", "agent_load", "session_start", "session_end"];

/// How many hooks deep something was done: what a record says in a tag.
pub const DEPTH_TAG: &str = "hook-depth:";

/// The first byte of a custom scope, and what the names of our own begin with: what hooks write about themselves.
const OWN: &[u8] = b"\x08spellkeep.";

fn is_own(scope: &[u8]) -> bool {
    scope.starts_with(OWN)
}

/// XXH3 of everything that a hook is given of an operation, before it and after.
pub fn input_digest(operation: &str, scope: &[u8], class: u8, key: &[u8], value: &[u8]) -> u64 {
    let place = xxh3_64_with_seed(scope, xxh3_64(operation.as_bytes()) ^ u64::from(class));
    xxh3_64_with_seed(value, xxh3_64_with_seed(key, place))
}

/// The digest of what a hook would be given of an operation on an encoded value.
#[pyfunction]
#[pyo3(signature = (operation, scope, key, class_number, value))]
pub fn hook_digest(operation: &str, scope: &StateScope, key: &str, class_number: u8, value: &[u8]) -> u64 {
    input_digest(operation, scope.encoded(), class_number, key.as_bytes(), value)
}

impl Point {
    fn name(self) -> &'static str {
        NAMES[self as usize]
    }

    /// Whether it is about one key.
    fn has_key(self) -> bool {
        matches!(self, Self::Set | Self::Delete)
    }
}

/// The hooks of a store as of now, per point in the order in which they run. Never changed, only replaced.
#[pyclass(frozen, weakref, module = "spellkeep._core")]
pub struct HookTable {
    points: [Vec<Py<Hook>>; POINTS],
    state: Py<PyWeakrefReference>,
}

impl HookTable {
    fn state<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.state.bind(py).upgrade())
    }
}

#[pymethods]
impl HookTable {
    #[new]
    fn new(state: &Bound<'_, PyAny>, points: [Vec<Py<Hook>>; POINTS]) -> PyResult<Self> {
        Ok(Self { points, state: PyWeakrefReference::new(state)?.unbind() })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.points.iter().flatten().try_for_each(|hook| visit.call(hook))
    }
}

/// What a store knows of its hooks. The table belongs to `state.hooks`, where the collector sees it.
#[derive(Default)]
pub struct Hooks {
    /// One bit per point that has a hook.
    points: AtomicU32,
    table: Mutex<Option<Py<PyWeakrefReference>>>,
}

impl Hooks {
    /// Whether anything runs before `point`.
    #[inline]
    pub fn any(&self, point: Point) -> bool {
        self.points.load(Relaxed) >> point as u32 & 1 == 1
    }

    /// Whether anything runs before any.
    #[inline]
    pub fn any_at_all(&self) -> bool {
        self.points.load(Relaxed) != 0
    }

    /// Takes another table in place of the one before; it must be kept elsewhere.
    pub fn install(&self, table: &Bound<'_, HookTable>) -> PyResult<()> {
        let bits =
            table.get().points.iter().enumerate().map(|(index, hooks)| u32::from(!hooks.is_empty()) << index).sum();
        let weak = PyWeakrefReference::new(table)?.unbind();
        let former = self.lock().replace(weak);
        self.points.store(bits, Relaxed);
        drop(former);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Py<PyWeakrefReference>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table<'py>(&self, py: Python<'py>) -> Option<Bound<'py, HookTable>> {
        let weak = self.lock().as_ref().map(|weak| weak.clone_ref(py))?;
        weak.bind(py).upgrade()?.cast_into().ok()
    }
}

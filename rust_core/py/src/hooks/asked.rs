//! Asking the hooks before what Python does in several steps: saving and loading agents, beginning and ending sessions.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use spellkeep_core::limits::ValueLimits;
use spellkeep_core::record::{Draft, Fields, Kind, StateClass};

use super::dispatch::{Ran, run};
use super::{HookContext, HookTable, Point};
use crate::correlation;
use crate::scope::StateScope;
use crate::store::Store;
use crate::value::{decode, encode_into};

/// A value here is made of many that each keep their limits: what holds them is a few levels more, and larger.
const DEPTH_MORE: u32 = 8;
const BYTES_MAX: usize = 1 << 30;

/// That nobody refused. Its executions are noted with `done`, or, where nothing came of it, when it goes.
#[pyclass(frozen, module = "spellkeep._core")]
pub struct HookAsked {
    value: Option<Draft>,
    ran: Mutex<Ran>,
}

#[pymethods]
impl HookAsked {
    /// The value as the hooks leave it.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.value.as_ref().map(|draft| decode(py, draft.value(), None)).transpose()
    }

    /// Say which version came of it.
    fn done(&self, version: u64) {
        std::mem::take(&mut *self.ran.lock().unwrap_or_else(PoisonError::into_inner)).done(|_| version);
    }
}

/// Run what there is before `operation`. Raises what a validator says.
#[pyfunction]
#[pyo3(signature = (store, table, operation, scope, value=None, version=0))]
pub fn hook_ask(
    store: &Bound<'_, Store>,
    table: &Bound<'_, HookTable>,
    operation: &str,
    scope: &Bound<'_, StateScope>,
    value: Option<&Bound<'_, PyAny>>,
    version: u64,
) -> PyResult<HookAsked> {
    let (py, shared) = (scope.py(), store.get().shared());
    let point = [Point::AgentSave, Point::AgentLoad, Point::SessionStart, Point::SessionEnd];
    let point = point.into_iter().find(|point| point.name() == operation);
    let point = point.ok_or_else(|| PyValueError::new_err(format!("nothing is asked before {operation:?}")))?;
    let encoded = scope.get().encoded();
    let draft = value.map(|value| {
        let mut draft = Draft::default();
        draft.begin(Kind::Set, StateClass::Trusted, encoded);
        let limits = shared.limits(StateClass::Trusted);
        let limits = ValueLimits { depth_max: limits.depth_max + DEPTH_MORE, value_bytes_max: BYTES_MAX, ..*limits };
        encode_into(py, value, &limits, draft.value_buf())?;
        draft.end_with(b"", Fields::from(correlation::current(py)?.origin()));
        PyResult::Ok(draft)
    });
    let (draft, map, mut ran) = (draft.transpose()?, shared.scope(encoded), Ran::default());
    let context = HookContext::of_call(table.clone().unbind(), shared, point, &map, draft.as_ref(), version);
    // What is said of an end has happened.
    let source = draft.as_ref().filter(|_| point != Point::SessionEnd);
    let changed = run(py, shared, table, context, source, (0, &mut ran))?;
    Ok(HookAsked { value: changed.or(draft), ran: Mutex::new(ran) })
}

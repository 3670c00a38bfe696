//! Giving committed changes to a hook one after the other, as long as all goes well: what else happens, Python decides.

use std::time::Instant;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use super::hook::{Hook, Outcome};
use crate::correlation::{Correlation, Inside};
use crate::store::Change;

static PROCEED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Call the hook with the changes from `start` on. Stops behind the last one, where its breaker is not closed, and where
/// it answers anything but to go on. Returns how many it was given and went on from; then what else it answered or
/// raised, and after how many nanoseconds.
#[pyfunction]
pub fn hook_deliver<'py>(
    hook: &Bound<'py, Hook>,
    changes: &Bound<'py, PyList>,
    depths: Vec<u32>,
    start: usize,
) -> PyResult<(usize, Option<Bound<'py, PyAny>>, u64)> {
    let py = hook.py();
    let proceed = PROCEED.get_or_try_init(py, || {
        let class = py.import("spellkeep.hooks.result")?.getattr("HookResult")?;
        class.call_method0("proceed").map(Bound::unbind)
    })?;
    let mut context = Inside::new(py)?;
    let mut done = 0;
    for (index, depth) in depths.iter().enumerate().skip(start) {
        if !hook.get().is_free() {
            break;
        }
        let given = changes.get_item(index)?;
        let change = given.cast::<Change>()?.get();
        let committed = change.committed();
        let origin = Correlation::because_of(py, committed.lsn, &committed.origin(), depth + 1)?;
        context.enter(&Bound::new(py, origin)?)?;
        let begun = Instant::now();
        let answer = hook.get().call.bind(py).call1((&given,));
        let ns = begun.elapsed().as_nanos() as u64;
        match answer {
            Ok(answer) if answer.is_none() || answer.is(proceed) => {
                Hook::count(hook, Outcome::Proceeded, ns)?;
                hook.get().note((
                    committed.lsn,
                    ns.div_ceil(1000),
                    Outcome::Proceeded as u8,
                    change.digest(),
                    Vec::new(),
                ));
                done += 1;
            }
            Ok(answer) => return Ok((done, Some(answer), ns)),
            Err(error) => return Ok((done, Some(error.into_value(py).into_bound(py).into_any()), ns)),
        }
    }
    Ok((done, None, 0))
}

/// Call a hook once with what it is given, as part of `origin`; what it raises is raised.
#[pyfunction]
pub fn hook_call<'py>(
    hook: &Bound<'py, Hook>,
    given: &Bound<'py, PyAny>,
    origin: &Bound<'py, Correlation>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut context = Inside::new(hook.py())?;
    context.enter(origin)?;
    hook.get().call.bind(hook.py()).call1((given,))
}

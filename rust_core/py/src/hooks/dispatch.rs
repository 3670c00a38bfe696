//! Running the hooks of one operation, one after the other, in the thread of the caller.

use std::cell::Cell;
use std::time::Instant;

use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use spellkeep_core::index::ScopeMap;
use spellkeep_core::record::{Draft, Fields, Kind};
use spellkeep_core::store;
use spellkeep_core::sync::Arc;

use super::context::Recorded;
use super::hook::{Hook, Outcome};
use super::{HookContext, HookTable, Point, is_own};
use crate::correlation;
use crate::errors::raise;
use crate::store::Shared;

/// How deep hooks may write inside of hooks.
const DEPTH_MAX: u32 = 8;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

struct Inside;

impl Inside {
    fn enter(py: Python<'_>) -> PyResult<Self> {
        let depth = DEPTH.get();
        if depth >= DEPTH_MAX {
            let detail = format!("hooks write inside of hooks {DEPTH_MAX} deep: one of them runs because of itself");
            return Err(raise(py, "LimitExceeded", "hook.depth", &detail, None));
        }
        DEPTH.set(depth + 1);
        Ok(Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// What ran, to be noted once it is known what came of it: where nothing did, when this goes.
#[derive(Default)]
pub struct Ran(Vec<(Py<Hook>, usize, u64, Outcome, u64, Recorded)>);

impl Ran {
    /// Notes it: `version_of` gives the version of an operation.
    pub fn done(mut self, version_of: impl Fn(usize) -> u64) {
        self.note(version_of);
    }

    fn note(&mut self, version_of: impl Fn(usize) -> u64) {
        for (hook, index, ns, outcome, digest, recorded) in self.0.drain(..) {
            hook.get().note((version_of(index), ns.div_ceil(1000), outcome as u8, digest, recorded));
        }
    }
}

impl Drop for Ran {
    /// A hook refused, or the write did.
    fn drop(&mut self) {
        self.note(|_| 0);
    }
}

/// What one hook says.
enum Said {
    Go(Outcome),
    Change(Py<PyAny>),
    No(Outcome, PyErr),
}

/// Before a set: `draft` becomes what the hooks make of it.
#[cold]
pub fn before_set(
    py: Python<'_>,
    shared: &Arc<Shared>,
    map: &Arc<ScopeMap>,
    draft: &mut Draft,
    if_version: Option<u64>,
) -> PyResult<Ran> {
    let mut ran = Ran::default();
    if let Some(table) = table_for(py, shared, map)? {
        let context = HookContext::of_set(table.clone().unbind(), shared, map, draft, if_version);
        if let Some(changed) = run(py, shared, &table, context, Some(draft), (0, &mut ran))? {
            *draft = changed;
        }
    }
    Ok(ran)
}

/// Before a delete, or the clear of a scope (no key).
#[cold]
pub fn before_removal(
    py: Python<'_>,
    shared: &Arc<Shared>,
    map: &Arc<ScopeMap>,
    key: Option<&str>,
    if_version: Option<u64>,
) -> PyResult<Ran> {
    let mut ran = Ran::default();
    if let Some(table) = table_for(py, shared, map)? {
        let key = key.map(str::as_bytes);
        let context = HookContext::of_removal(table.clone().unbind(), shared, map, key, if_version);
        run(py, shared, &table, context, None, (0, &mut ran))?;
    }
    Ok(ran)
}

/// Before a batch: each operation, then the whole.
#[cold]
pub fn before_batch(py: Python<'_>, shared: &Arc<Shared>, batch: &mut store::Batch) -> PyResult<Ran> {
    let mut ran = Ran::default();
    shared.check_writable(py)?;
    let Some(table) = shared.hooks.table(py) else { return Ok(ran) };
    for index in 0..batch.ops().len() {
        let op = &batch.ops()[index];
        let point = if op.draft.kind() == Kind::Set { Point::Set } else { Point::Delete };
        if is_own(op.map.scope()) || !shared.hooks.any(point) {
            continue;
        }
        let context = context_of(&table, shared, op);
        let source = (point == Point::Set).then_some(&op.draft);
        if let Some(draft) = run(py, shared, &table, context, source, (index, &mut ran))? {
            // The same key: it takes the place of the one before.
            let (map, if_version) = (Arc::clone(&op.map), op.if_version);
            batch.push(store::Op { map, draft, if_version });
        }
    }
    if shared.hooks.any(Point::Batch) && !batch.ops().iter().all(|op| is_own(op.map.scope())) {
        let operations = batch.ops().iter().map(|op| Py::new(py, context_of(&table, shared, op)));
        let operations = PyTuple::new(py, operations.collect::<PyResult<Vec<_>>>()?)?.unbind();
        let context = HookContext::of_batch(table.clone().unbind(), shared, operations);
        let last = batch.ops().len() - 1;
        run(py, shared, &table, context, None, (last, &mut ran))?;
    }
    Ok(ran)
}

fn table_for<'py>(py: Python<'py>, shared: &Shared, map: &ScopeMap) -> PyResult<Option<Bound<'py, HookTable>>> {
    // Nobody is asked about what cannot be written anyway.
    shared.check_writable(py)?;
    Ok(if is_own(map.scope()) { None } else { shared.hooks.table(py) })
}

fn context_of(table: &Bound<'_, HookTable>, shared: &Arc<Shared>, op: &store::Op) -> HookContext {
    let table = table.clone().unbind();
    if op.draft.kind() == Kind::Set {
        HookContext::of_set(table, shared, &op.map, &op.draft, op.if_version)
    } else {
        HookContext::of_removal(table, shared, &op.map, Some(op.draft.key()), op.if_version)
    }
}

/// Runs the hooks of a context's point; returns what is to be written instead of `source`, if that changed.
pub(super) fn run(
    py: Python<'_>,
    shared: &Shared,
    table: &Bound<'_, HookTable>,
    context: HookContext,
    source: Option<&Draft>,
    (index, ran): (usize, &mut Ran),
) -> PyResult<Option<Draft>> {
    let inside = Inside::enter(py)?;
    let hooks = &table.get().points[context.point as usize];
    let mut context = Bound::new(py, context)?;
    let (mut changed, mut digest) = (None, context.get().digest(py));
    let mut begun = Instant::now();
    for hook in hooks {
        let hook = hook.bind(py);
        if !context.get().passes(py, hook.get().filter.get()) || !admitted(hook)? {
            continue;
        }
        let said = ask(hook, &context, source.is_some());
        let ended = Instant::now();
        let ns = ended.duration_since(begun).as_nanos() as u64;
        begun = ended;
        let said = match said {
            Ok(said) => said,
            Err(passing) => {
                hook.call_method0("_abandoned")?;
                context.get().take_recorded();
                return Err(passing);
            }
        };
        match said {
            Said::Go(outcome) => {
                Hook::count(hook, outcome, ns)?;
                ran.0.push((hook.clone().unbind(), index, ns, outcome, digest, context.get().take_recorded()));
            }
            Said::Change(value) => {
                let former = changed.as_ref().or(source).expect("only a set is changed");
                // A value that cannot be kept is the hook's failure, and the hook one that may refuse.
                let made = redrafted(shared, former, value.bind(py));
                let (outcome, failure) = match &made {
                    Ok(_) => (Outcome::Modified, None),
                    Err(failure) => (Outcome::Failed, Some(failure.clone_ref(py))),
                };
                Hook::count(hook, outcome, ns)?;
                let next = made.as_ref().ok().map(|draft| context.get().changed(py, draft)).transpose()?;
                let answered = next.as_ref().map(|next| next.digest(py));
                tell(hook, &context, outcome, ns, failure, answered);
                let draft = made.map_err(|failure| vetoed(hook, "hook.failed", Some(failure)))?;
                if let (Some(next), Some(answered)) = (next, answered) {
                    (context, digest) = (Bound::new(py, next)?, answered);
                }
                changed = Some(draft);
                begun = Instant::now();
            }
            Said::No(outcome, error) => {
                Hook::count(hook, outcome, ns)?;
                tell(hook, &context, outcome, ns, Some(error.clone_ref(py)), None);
                if hook.get().fail_closed {
                    return Err(error);
                }
                // What was written down is not the next hook's time.
                context.get().take_recorded();
                begun = Instant::now();
            }
        }
    }
    drop(inside);
    Ok(changed)
}

/// Whether the hook may run. One that must not be passed by refuses while its breaker is open.
fn admitted(hook: &Bound<'_, Hook>) -> PyResult<bool> {
    let admitted = Hook::admitted(hook)?;
    if !admitted && hook.get().fail_closed {
        return Err(vetoed(hook, "hook.breaker_open", None));
    }
    Ok(admitted)
}

/// Calls the hook. Errors: what is not an `Exception`, such as KeyboardInterrupt, which is no answer.
fn ask(hook: &Bound<'_, Hook>, context: &Bound<'_, HookContext>, is_set: bool) -> PyResult<Said> {
    let py = hook.py();
    match hook.get().call.bind(py).call1((context,)) {
        Ok(answer) if answer.is_none() => Ok(Said::Go(Outcome::Proceeded)),
        Ok(answer) => Ok(said(hook, &answer, is_set).unwrap_or_else(|error| failed(hook, error))),
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        Err(error) if hook.get().fail_closed && is_answer(py, &error) => Ok(Said::No(Outcome::Cancelled, error)),
        Err(error) => Ok(failed(hook, error)),
    }
}

fn failed(hook: &Bound<'_, Hook>, error: PyErr) -> Said {
    let error = if hook.get().fail_closed { vetoed(hook, "hook.failed", Some(error)) } else { error };
    Said::No(Outcome::Failed, error)
}

/// A veto that a hook raises is its answer, and a recursion is to be seen as what it is.
fn is_answer(py: Python<'_>, error: &PyErr) -> bool {
    let code = error.value(py).getattr("code").and_then(|code| code.extract::<String>());
    let code = code.unwrap_or_default();
    code == "hook.depth" || code.starts_with("hook.") && error.get_type(py).name().is_ok_and(|name| name == "HookVeto")
}

/// What a `HookResult` says.
fn said(hook: &Bound<'_, Hook>, answer: &Bound<'_, PyAny>, is_set: bool) -> PyResult<Said> {
    let py = hook.py();
    let action = answer.getattr("action");
    let action = action.as_ref().ok().and_then(|action| action.extract::<&str>().ok()).unwrap_or("");
    let may = hook.get().fail_closed;
    match action {
        "proceed" => Ok(Said::Go(Outcome::Proceeded)),
        "skip" => Ok(Said::Go(Outcome::Skipped)),
        "modify" if may && is_set => Ok(Said::Change(answer.getattr("value")?.unbind())),
        "modify" if may => Err(PyTypeError::new_err("there is no value to modify")),
        "cancel" if may => Ok(Said::No(Outcome::Cancelled, veto(hook, "hook.veto", Some(answer), None))),
        "retry" if may => Ok(Said::No(Outcome::Retry, veto(hook, "hook.retry", Some(answer), None))),
        "modify" | "cancel" | "retry" => Err(PyTypeError::new_err(format!("an Observer only looks; it said {action}"))),
        _ => Err(PyTypeError::new_err(format!(
            "a hook returns a HookResult or None, not {}",
            answer.get_type().name().map_or_else(|_| py.None().to_string(), |name| name.to_string())
        ))),
    }
}

fn redrafted(shared: &Shared, former: &Draft, value: &Bound<'_, PyAny>) -> PyResult<Draft> {
    let mut draft = Draft::default();
    draft.begin(Kind::Set, former.class(), former.scope());
    draft.keep_seal(former.keeps_seal());
    shared.encode(value, former.class(), (former.scope(), former.key()), draft.value_buf())?;
    let current = correlation::current(value.py())?;
    draft.end_with(former.key(), Fields { expires_us: former.expires_us(), origin: current.origin() });
    Ok(draft)
}

/// Tells the hook's Python half what is written down at once. What goes wrong there is no matter of the caller's.
fn tell(
    hook: &Bound<'_, Hook>,
    context: &Bound<'_, HookContext>,
    outcome: Outcome,
    ns: u64,
    error: Option<PyErr>,
    answered: Option<u64>,
) {
    let py = hook.py();
    let error = error.map(|error| error.into_value(py));
    if let Err(failure) = hook.call_method1("_tell", (context, outcome as u8, ns, error, answered)) {
        hook.get().left_out();
        failure.write_unraisable(py, Some(hook.as_any()));
    }
}

fn vetoed(hook: &Bound<'_, Hook>, code: &str, cause: Option<PyErr>) -> PyErr {
    veto(hook, code, None, cause)
}

fn veto(hook: &Bound<'_, Hook>, code: &str, answer: Option<&Bound<'_, PyAny>>, cause: Option<PyErr>) -> PyErr {
    let py = hook.py();
    let build = || -> PyResult<PyErr> {
        let name: String = hook.getattr("name")?.extract()?;
        let fields = PyDict::new(py);
        fields.set_item("hook", &name)?;
        let reason = match answer {
            Some(answer) => answer.getattr("reason")?.extract::<Option<String>>()?,
            None => None,
        };
        if code == "hook.retry" {
            fields.set_item("retry_after_s", answer.map(|answer| answer.getattr("after_s")).transpose()?)?;
        }
        fields.set_item("reason", reason.as_deref())?;
        let detail = match code {
            "hook.failed" => format!("hook {name:?} failed, and nothing passes that it did not see"),
            "hook.breaker_open" => format!("hook {name:?} is held back after failures, and nothing passes without it"),
            _ => format!("hook {name:?} said no: {}", reason.as_deref().unwrap_or("without a reason")),
        };
        Ok(raise(py, "HookVeto", code, &detail, Some(fields)))
    };
    let error = build().unwrap_or_else(|failure| failure);
    error.set_cause(py, cause);
    error
}

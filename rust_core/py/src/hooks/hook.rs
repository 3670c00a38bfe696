//! `Hook`: one hook with its figures. What is rare, its breaker and what it says of failures, is in Python.

use std::sync::{Mutex, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use spellkeep_core::sync::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::HookFilter;
use super::context::Recorded;

/// How an execution ended. The numbers are part of the history.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    Proceeded = 0,
    Modified = 1,
    Cancelled = 2,
    Retry = 3,
    Skipped = 4,
    Failed = 5,
}

const OUTCOMES: [&str; 6] = ["proceeded", "modified", "cancelled", "retry", "skipped", "failed"];

/// Four per doubling, from a nanosecond to two minutes.
const BUCKETS: usize = 4 * 37;

/// Executions that wait to be written. Beyond it they are counted and left out.
const NOTES_MAX: usize = 1 << 16;

/// One execution: version of the write (0: none came of it), microseconds, outcome, digest of the input, what it
/// recorded.
pub type Note = (u64, u64, u8, u64, Recorded);

/// A hook that is registered.
#[pyclass(frozen, subclass, module = "spellkeep._core")]
pub struct Hook {
    pub(super) call: Py<PyAny>,
    pub(super) filter: Py<HookFilter>,
    pub(super) fail_closed: bool,
    budget_ns: u64,
    records: bool,
    /// Its breaker is closed: successes need not be told one by one.
    free: AtomicBool,
    untold: AtomicU64,
    outcomes: [AtomicU64; 6],
    slow: AtomicU64,
    refused: AtomicU64,
    total_ns: AtomicU64,
    max_ns: AtomicU64,
    buckets: Box<[AtomicU64]>,
    notes: Mutex<Vec<Note>>,
    left_out: AtomicU64,
}

impl Hook {
    /// Whether it may run now. A breaker that is open says no.
    pub(super) fn admitted(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let hook = slf.get();
        if hook.free.load(Relaxed) {
            return Ok(true);
        }
        let admitted = slf.call_method0("_admit")?.is_truthy()?;
        if !admitted {
            hook.refused.fetch_add(1, Relaxed);
        }
        Ok(admitted)
    }

    /// Counts an execution. Afterwards its breaker knows of everything but fast successes while it is closed.
    pub(super) fn count(slf: &Bound<'_, Self>, outcome: Outcome, ns: u64) -> PyResult<()> {
        let hook = slf.get();
        hook.outcomes[outcome as usize].fetch_add(1, Relaxed);
        hook.total_ns.fetch_add(ns, Relaxed);
        hook.max_ns.fetch_max(ns, Relaxed);
        hook.buckets[bucket(ns)].fetch_add(1, Relaxed);
        let slow = ns > hook.budget_ns;
        if slow {
            hook.slow.fetch_add(1, Relaxed);
        }
        if outcome != Outcome::Failed && !slow && hook.free.load(Relaxed) {
            hook.untold.fetch_add(1, Relaxed);
            return Ok(());
        }
        let untold = hook.untold.swap(0, Relaxed);
        slf.call_method1("_ended", (outcome != Outcome::Failed, slow, untold)).map(drop)
    }

    pub(super) fn note(&self, note: Note) {
        if !self.records {
            return;
        }
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX {
            notes.push(note);
        } else {
            self.left_out();
        }
    }

    /// Counts an execution that the history does not have.
    pub(super) fn left_out(&self) {
        self.left_out.fetch_add(u64::from(self.records), Relaxed);
    }
}

#[pymethods]
impl Hook {
    #[new]
    #[pyo3(signature = (call, filter, *, fail_closed, budget_s, records))]
    fn new(call: Py<PyAny>, filter: Py<HookFilter>, fail_closed: bool, budget_s: f64, records: bool) -> Self {
        Self {
            call,
            filter,
            fail_closed,
            budget_ns: (budget_s * 1e9) as u64,
            records,
            free: AtomicBool::new(true),
            untold: AtomicU64::new(0),
            outcomes: Default::default(),
            slow: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            total_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            notes: Mutex::default(),
            left_out: AtomicU64::new(0),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.call)?;
        visit.call(&self.filter)
    }

    /// Say whether its breaker is closed.
    #[pyo3(name = "_set_free")]
    fn set_free(&self, free: bool) {
        self.free.store(free, Relaxed);
    }

    /// Whether its breaker is closed.
    #[getter(_free)]
    pub(super) fn is_free(&self) -> bool {
        self.free.load(Relaxed)
    }

    /// Count an execution that ran elsewhere.
    #[pyo3(name = "_count")]
    fn py_count(slf: &Bound<'_, Self>, outcome: u8, ns: u64) -> PyResult<()> {
        const ALL: [Outcome; 6] = [
            Outcome::Proceeded,
            Outcome::Modified,
            Outcome::Cancelled,
            Outcome::Retry,
            Outcome::Skipped,
            Outcome::Failed,
        ];
        let outcome = ALL.get(usize::from(outcome)).copied();
        let outcome = outcome.ok_or_else(|| pyo3::exceptions::PyValueError::new_err("an outcome is 0 to 5"))?;
        Self::count(slf, outcome, ns)
    }

    /// The executions since the last call. What one recorded is a fifth part.
    #[pyo3(name = "_take_notes")]
    fn take_notes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let shown = notes.into_iter().map(|(version, us, outcome, digest, recorded)| {
            if recorded.is_empty() {
                return (version, us, outcome, digest).into_pyobject(py);
            }
            let recorded: Vec<_> = recorded.iter().map(|each| PyBytes::new(py, each)).collect();
            (version, us, outcome, digest, recorded).into_pyobject(py)
        });
        shown.collect()
    }

    /// Figures, as a dict.
    #[pyo3(name = "_figures")]
    fn figures<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let figures = PyDict::new(py);
        let mut count = 0;
        for (name, outcome) in OUTCOMES.iter().zip(&self.outcomes) {
            let number = outcome.load(Relaxed);
            count += number;
            figures.set_item(format!("{name}_count"), number)?;
        }
        figures.set_item("count", count)?;
        figures.set_item("slow_count", self.slow.load(Relaxed))?;
        figures.set_item("refused_count", self.refused.load(Relaxed))?;
        figures.set_item("unrecorded_count", self.left_out.load(Relaxed))?;
        figures.set_item("total_s", self.total_ns.load(Relaxed) as f64 / 1e9)?;
        figures.set_item("max_s", self.max_ns.load(Relaxed) as f64 / 1e9)?;
        let buckets: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        for (name, part) in [("p50_s", 0.5), ("p95_s", 0.95), ("p99_s", 0.99)] {
            figures.set_item(name, quantile_s(&buckets, part))?;
        }
        Ok(figures)
    }
}

/// Below four nanoseconds one each; then four per doubling.
fn bucket(ns: u64) -> usize {
    let exponent = 63 - (ns | 4).leading_zeros() as usize;
    let quarter = (ns >> (exponent - 2)) as usize & 3;
    ((exponent - 2) * 4 + quarter + if ns >= 4 { 4 } else { 0 }).min(BUCKETS - 1)
}

/// The upper end of the bucket with the `part`-th of all: at most a quarter too long.
fn quantile_s(buckets: &[u64], part: f64) -> f64 {
    let wanted = (buckets.iter().sum::<u64>() as f64 * part).ceil() as u64;
    let mut seen = 0;
    for (index, count) in buckets.iter().enumerate() {
        seen += count;
        if seen >= wanted && seen > 0 {
            let (exponent, quarter) = ((index.max(4) - 4) / 4, index % 4);
            return if index < 4 {
                index as f64 / 1e9
            } else {
                f64::from(5 + quarter as u32) * 2_f64.powi(exponent as i32) / 1e9
            };
        }
    }
    0.0
}

//! `spellkeep.Entry`: a named tuple of Python, made without a call of Python code.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyAnyMethods, PyDelta, PyTuple, PyType};
use spellkeep_core::index;
use spellkeep_core::record::StateClass;
use spellkeep_core::sync::Arc;
use spellkeep_core::value::SealingKeys;

use super::read::value_of;

/// What each entry needs, looked up once.
struct Parts {
    class: Py<PyType>,
    epoch: Py<PyAny>,
    /// The members of `StateClass`, by their numbers.
    state_classes: Vec<Py<PyAny>>,
}

static PARTS: PyOnceLock<Parts> = PyOnceLock::new();

impl Parts {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        PARTS.get_or_try_init(py, || {
            let module = py.import("spellkeep.changes")?;
            let mut state_classes = Vec::new();
            for member in module.getattr("StateClass")?.try_iter()? {
                let member = member?;
                let number: usize = member.getattr("value")?.extract()?;
                let len = state_classes.len().max(number + 1);
                state_classes.resize_with(len, || py.None());
                state_classes[number] = member.unbind();
            }
            let class = module.getattr("Entry")?.cast_into::<PyType>()?.unbind();
            Ok(Self { class, epoch: module.getattr("_EPOCH")?.unbind(), state_classes })
        })
    }

    fn time<'py>(&self, py: Python<'py>, time_us: u64) -> PyResult<Bound<'py, PyAny>> {
        const DAY_US: u64 = 86_400_000_000;
        let (days, rest_us) = (time_us / DAY_US, time_us % DAY_US);
        let (seconds, micros) = ((rest_us / 1_000_000) as i32, (rest_us % 1_000_000) as i32);
        self.epoch.bind(py).add(PyDelta::new(py, days as i32, seconds, micros, false)?)
    }
}

/// The moment that lies so many microseconds after the Unix epoch.
pub fn time_of(py: Python<'_>, time_us: u64) -> PyResult<Bound<'_, PyAny>> {
    Parts::get(py)?.time(py, time_us)
}

/// The member of `StateClass`.
pub fn class_of(py: Python<'_>, class: StateClass) -> PyResult<Bound<'_, PyAny>> {
    Ok(Parts::get(py)?.state_classes[class as usize].bind(py).clone())
}

/// The entry, with its value. It may call registered decode functions.
pub fn entry_of<'py>(
    py: Python<'py>,
    keys: Option<&Arc<SealingKeys>>,
    scope: &[u8],
    entry: &index::Entry,
) -> PyResult<Bound<'py, PyAny>> {
    let (parts, meta) = (Parts::get(py)?, entry.meta());
    let expires_at = entry.expires_us().map(|expires_us| parts.time(py, expires_us)).transpose()?;
    let state_class = parts.state_classes[meta.class as usize].bind(py);
    let value = value_of(py, keys, scope, entry)?;
    let fields = (value, meta.lsn, parts.time(py, meta.time_us)?, expires_at, state_class);
    tuple_of(parts.class.bind(py), &fields.into_pyobject(py)?)
}

/// `tuple.__new__(class, (fields,))`, which is what a named tuple's own `__new__` comes to.
fn tuple_of<'py>(class: &Bound<'py, PyType>, fields: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let args = (fields,).into_pyobject(py)?;
    // SAFETY: a static type, whose slot is set when the interpreter starts.
    let new = unsafe { ffi::PyTuple_Type.tp_new };
    let new = new.ok_or_else(|| pyo3::exceptions::PySystemError::new_err("tuple has no __new__"))?;
    // SAFETY: `class` derives from tuple, `args` is a tuple, and the result is a new reference or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, new(class.as_type_ptr(), args.as_ptr(), std::ptr::null_mut())) }
}

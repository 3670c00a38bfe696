//! What one dict has that another one has not.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::critical_section::with_critical_section2;
use pyo3::types::{PyDict, PyList};

/// Find the entries of a dict that another one has not, or has with another value.
///
/// Two values are the same if they are one object, or equal and of the very same class: 1 is not True.
///
/// Args:
///     old: what there was.
///     new: what there is.
///     names: what to call the keys in the result; a key that is not in it is called what `name` gives for it, or stays.
///     gone: where the result has a list of the keys that are only in ``old``, if there are any; None to leave them out.
/// Returns: a new dict, in the order in which they came into `new`; its values are those of `new` themselves.
/// Raises:
///     RuntimeError: ``new``, or with ``gone`` ``old``, changed meanwhile; and what comparing two of its values raises.
/// Cost: 30 ns for an entry.
#[pyfunction]
#[pyo3(name = "value_difference", signature = (old, new, names = None, name = None, gone = None))]
pub fn value_difference<'py>(
    old: &Bound<'py, PyDict>,
    new: &Bound<'py, PyDict>,
    names: Option<&Bound<'py, PyDict>>,
    name: Option<&Bound<'py, PyAny>>,
    gone: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(old.py());
    let called = |key: Bound<'py, PyAny>| match (names.map(|names| names.get_item(&key)).transpose()?.flatten(), name) {
        (Some(known), _) => Ok(known),
        (None, Some(name)) => name.call1((key,)),
        (None, None) => Ok(key),
    };
    with_critical_section2(old, new, || {
        each(new, |key, value| match is_same(old, &key, &value)? {
            true => Ok(()),
            false => made.set_item(called(key)?, value),
        })?;
        let Some(gone) = gone else { return Ok(()) };
        let names = PyList::empty(old.py());
        each(old, |key, _| match new.contains(&key)? {
            true => Ok(()),
            false => names.append(called(key)?),
        })?;
        if names.is_empty() { Ok(()) } else { made.set_item(gone, names) }
    })?;
    Ok(made)
}

pub fn is_same<'py>(old: &Bound<'py, PyDict>, key: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> PyResult<bool> {
    let Some(was) = old.get_item(key)? else { return Ok(false) };
    Ok(was.is(value) || was.get_type_ptr() == value.get_type_ptr() && was.eq(value)?)
}

/// Looks at every entry, as [`each`], of a dict that no critical section is held for.
pub fn each_of<'py>(
    dict: &Bound<'py, PyDict>,
    look: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    // Without a GIL others may write into it at any moment.
    if cfg!(Py_GIL_DISABLED) { each(&dict.copy()?, look) } else { each(dict, look) }
}

/// Every entry, held while it is looked at: to compare two values may run code that changes the dict.
fn each<'py>(
    dict: &Bound<'py, PyDict>,
    mut look: impl FnMut(Bound<'py, PyAny>, Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let (py, len) = (dict.py(), dict.len());
    let mut seen = 0;
    let (mut position, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the dict is live, and its next place is looked for within what it is by then.
    while unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) } != 0 {
        // SAFETY: what it gave is live, since nobody else changes the dict (with the interpreter lock, or in the critical
        // section of whoever calls), and owned before anything else is done.
        let (key, value) = unsafe { (Bound::from_borrowed_ptr(py, key), Bound::from_borrowed_ptr(py, value)) };
        look(key, value)?;
        seen += 1;
        if dict.len() != len {
            break;
        }
    }
    if seen != len || dict.len() != len {
        return Err(PyRuntimeError::new_err("a dict changed while it was compared with another one"));
    }
    Ok(())
}

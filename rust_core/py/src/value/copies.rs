//! Copies of objects that are made of dicts, lists and sets of what cannot change, without running a line of Python for it.

use pyo3::exceptions::{PyException, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

#[cfg(not(Py_GIL_DISABLED))]
use super::same::is_leaf;
use super::same::part_of;

/// What is deeper is left to the caller, so that the stack is bounded and a cycle ends.
#[cfg(not(Py_GIL_DISABLED))]
const DEPTH_MAX: u32 = 64;
/// Dicts, lists and sets in one object, one that stands in two places counted twice. What has more is left to the caller.
const PARTS_MAX: u32 = 10_000;

/// Copy objects that are made of nothing but their parts; no copy shares anything with its original that could change.
///
/// Args:
///     items: objects of classes that are made of these parts, by ``Class.__new__`` without arguments.
///     parts: descriptors that give and take a part, such as ``Class.__dict__["__dict__"]``.
/// Returns: a list of length len(items): the copies, and None for an object with a part in it that is no text, number,
///     bytes, None, nor a dict, list or set of such, with more than 10,000 of these, or whose class makes no new objects so.
/// Cost: 0.5 us for an object of ten texts.
#[pyfunction]
#[pyo3(name = "value_copies")]
pub fn value_copies<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyList>,
    parts: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyList>> {
    if parts.is_empty() {
        return Err(PyValueError::new_err("copies takes the parts that the objects are made of, and these are none"));
    }
    let made = PyList::empty(py);
    for item in items {
        match object(&item, parts) {
            Ok(copy) => made.append(copy)?,
            Err(error) if error.is_instance_of::<PyException>(py) => made.append(py.None())?,
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

fn object<'py>(item: &Bound<'py, PyAny>, parts: &Bound<'py, PyTuple>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(made) = made_like(item)? else { return Ok(None) };
    let mut left = PARTS_MAX;
    for part in parts.iter_borrowed() {
        let found = part_of(&part, item)?;
        let Some(copy) = copied(&found, 0, &mut left)? else { return Ok(None) };
        if !set_part(&part, &made, &copy)? {
            return Ok(None);
        }
    }
    Ok(Some(made))
}

/// A new object of the very class, without its parts; None where the class makes none so.
pub(super) fn made_like<'py>(item: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = item.py();
    let class = item.get_type();
    // SAFETY: the slot is called as the interpreter calls it; it returns a new reference or an error.
    let made = unsafe {
        let Some(new) = (*class.as_type_ptr()).tp_new else { return Ok(None) };
        Bound::from_owned_ptr_or_err(py, new(class.as_type_ptr(), PyTuple::empty(py).as_ptr(), std::ptr::null_mut()))?
    };
    // A class may give what is there already, or something else.
    // SAFETY: the object is live.
    let is_new = made.get_type().is(&class) && unsafe { ffi::Py_REFCNT(made.as_ptr()) } == 1;
    Ok(is_new.then_some(made))
}

/// Gives an object a part. False if the descriptor takes none.
pub(super) fn set_part(part: &Bound<'_, PyAny>, made: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: the slot is called as the interpreter calls it, with live objects; zero is success.
    unsafe {
        let Some(set) = (*ffi::Py_TYPE(part.as_ptr())).tp_descr_set else { return Ok(false) };
        if set(part.as_ptr(), made.as_ptr(), value.as_ptr()) == 0 { Ok(true) } else { Err(PyErr::fetch(part.py())) }
    }
}

/// None of what cannot be copied here. Without a GIL others may write into what is read here at any moment.
#[cfg(Py_GIL_DISABLED)]
fn copied<'py>(_: &Bound<'py, PyAny>, _: u32, _: &mut u32) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(None)
}

#[cfg(not(Py_GIL_DISABLED))]
fn copied<'py>(value: &Bound<'py, PyAny>, depth: u32, left: &mut u32) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, ob) = (value.py(), value.as_ptr());
    // SAFETY: the value is live, and its exact type is checked before it is treated as one; nobody else has the copy.
    unsafe {
        if is_leaf(ob) {
            return Ok(Some(value.clone()));
        }
        if depth >= DEPTH_MAX || *left == 0 {
            return Ok(None);
        }
        *left -= 1;
        let class = ffi::Py_TYPE(ob);
        let made = if class == &raw mut ffi::PyDict_Type {
            Bound::from_owned_ptr_or_err(py, ffi::PyDict_Copy(ob))?
        } else if class == &raw mut ffi::PyList_Type {
            Bound::from_owned_ptr_or_err(py, ffi::PyList_GetSlice(ob, 0, ffi::PyList_GET_SIZE(ob)))?
        } else if class == &raw mut ffi::PySet_Type {
            Bound::from_owned_ptr_or_err(py, ffi::PySet_New(ob))?
        } else {
            return Ok(None);
        };
        let whole = if class == &raw mut ffi::PyDict_Type {
            dict(&made, depth, left)?
        } else if class == &raw mut ffi::PyList_Type {
            list(&made, depth, left)?
        } else {
            made.try_iter()?.all(|item| item.is_ok_and(|item| is_leaf(item.as_ptr())))
        };
        Ok(whole.then_some(made))
    }
}

/// Replaces what could change in a copy of a dict. False if that is not possible.
///
/// # Safety
/// It is an exact dict that nobody else has.
#[cfg(not(Py_GIL_DISABLED))]
unsafe fn dict(made: &Bound<'_, PyAny>, depth: u32, left: &mut u32) -> PyResult<bool> {
    let (mut at, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: as promised by the caller, so its keys stay: values may be replaced meanwhile.
    unsafe {
        while ffi::PyDict_Next(made.as_ptr(), &mut at, &mut key, &mut value) != 0 {
            if !is_leaf(key) {
                return Ok(false);
            }
            if is_leaf(value) {
                continue;
            }
            let Some(copy) = copied(&Bound::from_borrowed_ptr(made.py(), value), depth + 1, left)? else {
                return Ok(false);
            };
            if ffi::PyDict_SetItem(made.as_ptr(), key, copy.as_ptr()) != 0 {
                return Err(PyErr::fetch(made.py()));
            }
        }
    }
    Ok(true)
}

/// Replaces what could change in a copy of a list. False if that is not possible.
///
/// # Safety
/// It is an exact list that nobody else has.
#[cfg(not(Py_GIL_DISABLED))]
unsafe fn list(made: &Bound<'_, PyAny>, depth: u32, left: &mut u32) -> PyResult<bool> {
    // SAFETY: as promised by the caller, so its length stays; the list takes over the reference to the copy.
    unsafe {
        for at in 0..ffi::PyList_GET_SIZE(made.as_ptr()) {
            let value = ffi::PyList_GET_ITEM(made.as_ptr(), at);
            if is_leaf(value) {
                continue;
            }
            let Some(copy) = copied(&Bound::from_borrowed_ptr(made.py(), value), depth + 1, left)? else {
                return Ok(false);
            };
            if ffi::PyList_SetItem(made.as_ptr(), at, copy.into_ptr()) != 0 {
                return Err(PyErr::fetch(made.py()));
            }
        }
    }
    Ok(true)
}

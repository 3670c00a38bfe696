//! Numbered keys: a prefix and ten digits, such as the messages of an agent. Reading, comparing and finding many at once,
//! without a call of Python per key.

use std::fmt::Write;

use pyo3::prelude::*;
use pyo3::types::PyList;
use spellkeep_core::index::{Entry, ScopeMap};

use super::Shared;
use super::failure::{missing, to_py};
use super::read::{live, value_of};
use super::sealing::opened;
use crate::value::encode_as;
use spellkeep_core::record::StateClass;

const DIGITS: usize = 10;

/// The keys of one prefix, one after the other, in one buffer.
pub struct Keys {
    key: String,
    prefix_len: usize,
}

impl Keys {
    /// Of this prefix.
    pub fn new(prefix: &str) -> Self {
        let mut key = String::with_capacity(prefix.len() + DIGITS);
        key.push_str(prefix);
        Self { key, prefix_len: prefix.len() }
    }

    /// The key of a number, until the next one.
    pub fn name(&mut self, number: u64) -> &str {
        self.key.truncate(self.prefix_len);
        if number < 10_u64.pow(DIGITS as u32) {
            // By hand: the formatter takes longer than the lookup.
            let mut digits = [b'0'; DIGITS];
            let mut rest = number;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            self.key.extend(digits.map(char::from));
        } else {
            write!(self.key, "{number}").expect("a string takes everything");
        }
        &self.key
    }

    fn key(&mut self, number: u64) -> &[u8] {
        self.name(number).as_bytes()
    }
}

/// The values from `start` up to `stop`. Errors: `key.missing`.
pub fn values<'py>(
    py: Python<'py>,
    shared: &Shared,
    map: &ScopeMap,
    prefix: &str,
    (start, stop): (u64, u64),
) -> PyResult<Bound<'py, PyList>> {
    shared.check().map_err(|e| to_py(py, e))?;
    let (mut keys, found) = (Keys::new(prefix), PyList::empty(py));
    for number in start..stop {
        let key = keys.key(number);
        let entry =
            live(py, shared, map, key)?.ok_or_else(|| missing(py, std::str::from_utf8(key).unwrap_or(prefix)))?;
        found.append(value_of(py, shared.sealing_keys(), map.scope(), &entry)?)?;
    }
    Ok(found)
}

/// Whether an entry holds these bytes, sealed or not.
fn is_same(py: Python<'_>, shared: &Shared, map: &ScopeMap, entry: &Entry, encoded: &[u8]) -> PyResult<bool> {
    if entry.meta().class != StateClass::Sensitive {
        return Ok(entry.value() == encoded);
    }
    Ok(opened(py, shared.sealing_keys(), entry.value(), (map.scope(), entry.key()))? == encoded)
}

/// Whether `value` of this class is stored under `key`, byte for byte.
pub fn holds(
    shared: &Shared,
    map: &ScopeMap,
    class: StateClass,
    key: &str,
    value: &Bound<'_, PyAny>,
) -> PyResult<bool> {
    let py = value.py();
    shared.check().map_err(|e| to_py(py, e))?;
    let mut encoded = Vec::new();
    encode_as(py, value, shared.limits(StateClass::Trusted), class, &mut encoded)?;
    match live(py, shared, map, key.as_bytes())? {
        Some(entry) => is_same(py, shared, map, &entry, &encoded),
        None => Ok(false),
    }
}

/// How many of `values`, from the first on, are stored byte for byte under the keys from `start` on.
pub fn equal(
    py: Python<'_>,
    shared: &Shared,
    map: &ScopeMap,
    class: StateClass,
    prefix: &str,
    start: u64,
    values: &Bound<'_, PyList>,
) -> PyResult<usize> {
    shared.check().map_err(|e| to_py(py, e))?;
    let (mut keys, mut encoded) = (Keys::new(prefix), Vec::new());
    for (index, value) in values.iter().enumerate() {
        let Some(entry) = live(py, shared, map, keys.key(start + index as u64))? else {
            return Ok(index);
        };
        encoded.clear();
        encode_as(py, &value, shared.limits(StateClass::Trusted), class, &mut encoded)?;
        if !is_same(py, shared, map, &entry, &encoded)? {
            return Ok(index);
        }
    }
    Ok(values.len())
}

/// The first number from `start` up to `stop` whose value is `value`, byte for byte.
pub fn find(
    shared: &Shared,
    map: &ScopeMap,
    class: StateClass,
    prefix: &str,
    (start, stop): (u64, u64),
    value: &Bound<'_, PyAny>,
) -> PyResult<Option<u64>> {
    let py = value.py();
    shared.check().map_err(|e| to_py(py, e))?;
    let (mut keys, mut encoded) = (Keys::new(prefix), Vec::new());
    encode_as(py, value, shared.limits(StateClass::Trusted), class, &mut encoded)?;
    for number in start..stop {
        if let Some(entry) = live(py, shared, map, keys.key(number))?
            && is_same(py, shared, map, &entry, &encoded)?
        {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// The first number from `start` on without a key, given that there is none behind it either. By doubling, then halving:
/// O(log n) lookups.
pub fn end(py: Python<'_>, shared: &Shared, map: &ScopeMap, prefix: &str, start: u64) -> PyResult<u64> {
    shared.check().map_err(|e| to_py(py, e))?;
    let mut keys = Keys::new(prefix);
    let mut there = |number: u64| map.get(keys.key(number), |_| ()).is_some();
    let mut step = 1;
    let mut low = start;
    while there(low + step - 1) {
        low += step;
        step *= 2;
    }
    // The end is from `low` on, before `low + step`.
    let mut high = low + step - 1;
    while low < high {
        let middle = low + (high - low) / 2;
        if there(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

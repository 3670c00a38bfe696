//! Numbered keys: a prefix and ten digits, such as the messages of an agent. Reading, comparing and finding many at once,
//! without a call of Python per key.

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
/// Of the largest number.
const DIGITS_MAX: usize = 20;

/// The keys of one prefix, one after the other, in one buffer.
pub struct Keys {
    key: Vec<u8>,
    prefix_len: usize,
    number: Option<u64>,
}

impl Keys {
    /// Of this prefix.
    pub fn new(prefix: &str) -> Self {
        let mut key = Vec::with_capacity(prefix.len() + DIGITS);
        key.extend_from_slice(prefix.as_bytes());
        Self { key, prefix_len: prefix.len(), number: None }
    }

    /// The key of a number, until the next one.
    pub fn key(&mut self, number: u64) -> &[u8] {
        let follows = number.checked_sub(1).is_some_and(|before| self.number == Some(before));
        if !(follows && count_on(&mut self.key[self.prefix_len..])) {
            self.key.truncate(self.prefix_len);
            // By hand, as the formatter takes longer than the lookup.
            let (mut digits, mut from, mut rest) = ([b'0'; DIGITS_MAX], DIGITS_MAX, number);
            while rest > 0 {
                from -= 1;
                digits[from] += (rest % 10) as u8;
                rest /= 10;
            }
            self.key.extend_from_slice(&digits[from.min(DIGITS_MAX - DIGITS)..]);
        }
        self.number = Some(number);
        &self.key
    }

    /// The same, as text.
    pub fn name(&mut self, number: u64) -> &str {
        std::str::from_utf8(self.key(number)).expect("a text and digits")
    }
}

/// Adds one to a number in digits; false, and zeros, when that would take a digit more.
fn count_on(digits: &mut [u8]) -> bool {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return true;
        }
        *digit = b'0';
    }
    false
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

/// Whether these bytes are stored under `key`, sealed or not. An entry is looked at where it is, unless it is sealed or cold.
fn is_stored(py: Python<'_>, shared: &Shared, map: &ScopeMap, key: &[u8], encoded: &[u8]) -> PyResult<bool> {
    let as_it_is = |entry: &Entry| {
        let is_plain = entry.meta().class != StateClass::Sensitive && !entry.is_cold();
        is_plain.then(|| entry.value() == encoded)
    };
    match map.get(key, as_it_is) {
        None => Ok(false),
        Some(Some(is_same)) => Ok(is_same),
        Some(None) => match live(py, shared, map, key)? {
            None => Ok(false),
            Some(entry) if entry.meta().class != StateClass::Sensitive => Ok(entry.value() == encoded),
            Some(entry) => Ok(opened(py, shared.sealing_keys(), entry.value(), (map.scope(), entry.key()))? == encoded),
        },
    }
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
    is_stored(py, shared, map, key.as_bytes(), &encoded)
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
        let key = keys.key(start + index as u64);
        encoded.clear();
        encode_as(py, &value, shared.limits(StateClass::Trusted), class, &mut encoded)?;
        if !is_stored(py, shared, map, key, &encoded)? {
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
        if is_stored(py, shared, map, keys.key(number), &encoded)? {
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

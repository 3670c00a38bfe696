//! Times as text, in microseconds.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The microseconds since 1970 of a time of UTC, if it is spelled as ``datetime.isoformat`` does. None for any other text.
///
/// That is ``YYYY-MM-DDTHH:MM:SS.ffffff+00:00``, the years from 1 on, and the six digits not all 0: these are left out then.
///
/// Cost: 60 ns.
/// Source: the proleptic Gregorian calendar of ISO 8601.
#[pyfunction]
pub fn value_time_us(text: &Bound<'_, PyString>) -> Option<i64> {
    let text: &[u8; 32] = text.to_str().ok()?.as_bytes().try_into().ok()?;
    let signs = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')];
    if &text[26..] != b"+00:00" || signs.iter().any(|&(at, sign)| text[at] != sign) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text[from..to]
            .iter()
            .try_fold(0, |number, &digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, micros) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_at = usize::try_from(month - 1).ok()?;
    let days = *[31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].get(month_at)?;
    if year < 1 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 || micros == 0 {
        return None;
    }
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month_at] + i64::from(is_leap && month > 2);
    let years = year - 1;
    // 719,162 days are from the first of January of year 1 to that of 1970.
    let date = years * 365 + years / 4 - years / 100 + years / 400 + before + day - 1 - 719_162;
    Some((((date * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

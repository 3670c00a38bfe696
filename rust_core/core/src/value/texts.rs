//! Ids and times that are text, as bytes and numbers: only where the very text can be made of these again.

/// The 16 bytes of a UUID in its canonical spelling (RFC 9562, section 4): lower case, with dashes.
#[must_use]
pub fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    let text: &[u8; 36] = text.as_bytes().try_into().ok()?;
    let mut raw = [0; 16];
    let mut digits = 0;
    for (at, &byte) in text.iter().enumerate() {
        if DASHES.contains(&at) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        raw[digits / 2] = raw[digits / 2] << 4 | digit;
        digits += 1;
    }
    Some(raw)
}

/// The microseconds since 1970 of a time of UTC that is spelled `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
///
/// Years are from 1 on, and the six digits not all 0: Python's `datetime.isoformat` leaves them out then. The calendar is
/// the proleptic Gregorian one of ISO 8601.
#[must_use]
pub fn time_us(text: &str) -> Option<i64> {
    const SIGNS: [(usize, u8); 6] = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.')];
    /// From the first of January of year 1 to that of 1970.
    const DAYS: i64 = 719_162;
    let text: &[u8; 32] = text.as_bytes().try_into().ok()?;
    if &text[26..] != b"+00:00" || SIGNS.iter().any(|&(at, sign)| text[at] != sign) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = &text[from..to];
        let add = |number, digit: &u8| number * 10 + i64::from(digit - b'0');
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, add))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, micros) = (number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 26)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let months = [31, 28 + i64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month - 1).ok()?;
    let days = *months.get(month)?;
    if year < 1 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 || micros == 0 {
        return None;
    }
    let years = year - 1;
    let before: i64 = months[..month].iter().sum();
    let date = years * 365 + years / 4 - years / 100 + years / 400 + before + day - 1 - DAYS;
    Some((((date * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_bytes_and_nothing_else_is() {
        let id = "00000000-0000-0000-0000-0000000000ff";
        assert_eq!(uuid_bytes(id).map(u128::from_be_bytes), Some(255));
        for other in ["", &id[1..], &id.to_uppercase(), &id.replace('-', "0"), &id.replace('f', "g")] {
            assert_eq!(uuid_bytes(other), None, "{other}");
        }
    }

    #[test]
    fn a_time_is_its_microseconds_and_nothing_else_is() {
        assert_eq!(time_us("1970-01-01T00:00:00.000001+00:00"), Some(1));
        assert_eq!(time_us("1969-12-31T23:59:59.999999+00:00"), Some(-1));
        assert_eq!(time_us("2024-03-01T00:00:00.000001+00:00"), Some(1_709_251_200_000_001));
        for other in
            ["1970-01-01T00:00:00.000000+00:00", "2023-02-29T00:00:00.000001+00:00", "1970-01-01T00:00:00+00:00"]
        {
            assert_eq!(time_us(other), None, "{other}");
        }
    }
}

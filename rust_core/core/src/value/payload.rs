//! Content of the small exts: dates, times, zones. All numbers little endian. Parsing accepts exactly what can exist.

/// A calendar date of the proleptic Gregorian calendar, years 1..=9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// 1..=9999
    pub year: u16,
    /// 1..=12
    pub month: u8,
    /// 1..=31, as the month has them.
    pub day: u8,
}

/// What a time of day is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone<'a> {
    /// Nothing: naive.
    None,
    /// A fixed distance from UTC, less than a day, and the name that was given to it.
    Offset {
        /// Microseconds east of UTC.
        micros: i64,
        /// As in `timezone(offset, name)`.
        name: Option<&'a str>,
    },
    /// A key of the IANA time zone database.
    Key(&'a str),
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock<'a> {
    /// 0..=23
    pub hour: u8,
    /// 0..=59
    pub minute: u8,
    /// 0..=59
    pub second: u8,
    /// 0..=999_999
    pub micro: u32,
    /// The second of two equal readings when clocks are set back.
    pub fold: bool,
    /// What it is relative to.
    pub zone: Zone<'a>,
}

/// A date with a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment<'a> {
    /// The date on the wall.
    pub date: Date,
    /// The time on the wall.
    pub clock: Clock<'a>,
}

/// A length of time, normalised: only `days` is ever negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// -999_999_999..=999_999_999
    pub days: i32,
    /// 0..=86_399
    pub seconds: u32,
    /// 0..=999_999
    pub micros: u32,
}

const FOLD: u8 = 0b0001;
const ZONE_OFFSET: u8 = 0b0010;
const ZONE_KEY: u8 = 0b0100;
const ZONE_NAMED: u8 = 0b1000;
const DAY_MICROS: i64 = 86_400_000_000;

impl Date {
    /// Appends the 4 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.year.to_le_bytes());
        out.extend_from_slice(&[self.month, self.day]);
    }

    /// Reads the 4 bytes.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [y0, y1, month, day] = *data else {
            return None;
        };
        let year = u16::from_le_bytes([y0, y1]);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Self { year, month, day })
    }
}

impl<'a> Clock<'a> {
    /// Appends 8 bytes and those of the zone.
    pub fn write(&self, out: &mut Vec<u8>) {
        let zone = match self.zone {
            Zone::None => 0,
            Zone::Offset { name: None, .. } => ZONE_OFFSET,
            Zone::Offset { name: Some(_), .. } => ZONE_OFFSET | ZONE_NAMED,
            Zone::Key(_) => ZONE_KEY,
        };
        out.extend_from_slice(&[self.hour, self.minute, self.second, zone | u8::from(self.fold)]);
        out.extend_from_slice(&self.micro.to_le_bytes());
        match self.zone {
            Zone::None => {}
            Zone::Offset { micros, name } => {
                out.extend_from_slice(&micros.to_le_bytes());
                out.extend_from_slice(name.unwrap_or_default().as_bytes());
            }
            Zone::Key(key) => out.extend_from_slice(key.as_bytes()),
        }
    }

    /// Reads what [`Clock::write`] wrote.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (&[hour, minute, second, flags, m0, m1, m2, m3], rest) = data.split_first_chunk::<8>()?;
        let micro = u32::from_le_bytes([m0, m1, m2, m3]);
        let zone = match flags & !FOLD {
            0 if rest.is_empty() => Zone::None,
            ZONE_KEY if !rest.is_empty() => Zone::Key(std::str::from_utf8(rest).ok()?),
            kind @ (ZONE_OFFSET | 0b1010) => {
                let (micros, name) = rest.split_first_chunk::<8>()?;
                let micros = i64::from_le_bytes(*micros);
                if micros.checked_abs().is_none_or(|size| size >= DAY_MICROS) {
                    return None;
                }
                let name = match kind {
                    ZONE_OFFSET if !name.is_empty() => return None,
                    ZONE_OFFSET => None,
                    _ => Some(std::str::from_utf8(name).ok()?),
                };
                Zone::Offset { micros, name }
            }
            _ => return None,
        };
        let possible = hour < 24 && minute < 60 && second < 60 && micro < 1_000_000;
        possible.then_some(Self { hour, minute, second, micro, fold: flags & FOLD != 0, zone })
    }
}

impl<'a> Moment<'a> {
    /// Appends date and clock.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.date.write(out);
        self.clock.write(out);
    }

    /// Reads what [`Moment::write`] wrote.
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        let (date, clock) = data.split_at_checked(4)?;
        Some(Self { date: Date::parse(date)?, clock: Clock::parse(clock)? })
    }
}

impl Span {
    /// The 12 bytes.
    pub fn bytes(&self) -> [u8; 12] {
        let mut out = [0; 12];
        out[..4].copy_from_slice(&self.days.to_le_bytes());
        out[4..8].copy_from_slice(&self.seconds.to_le_bytes());
        out[8..].copy_from_slice(&self.micros.to_le_bytes());
        out
    }

    /// Reads the 12 bytes.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [d0, d1, d2, d3, s0, s1, s2, s3, m0, m1, m2, m3] = *data else {
            return None;
        };
        let days = i32::from_le_bytes([d0, d1, d2, d3]);
        let seconds = u32::from_le_bytes([s0, s1, s2, s3]);
        let micros = u32::from_le_bytes([m0, m1, m2, m3]);
        let possible = (-999_999_999..=999_999_999).contains(&days) && seconds < 86_400 && micros < 1_000_000;
        possible.then_some(Self { days, seconds, micros })
    }
}

/// Whether `text` is what `str(Decimal)` writes: sign, then digits with point and exponent, or Infinity, or NaN with digits.
/// Checked here because a Decimal constructor with its traps off turns anything else into NaN without a word.
pub fn decimal_is_plain(text: &[u8]) -> bool {
    let body = text.strip_prefix(b"-").unwrap_or(text);
    if body == b"Infinity" {
        return true;
    }
    if let Some(digits) = body.strip_prefix(b"sNaN").or_else(|| body.strip_prefix(b"NaN")) {
        return digits.iter().all(u8::is_ascii_digit);
    }
    let (mantissa, exponent) = match body.iter().position(|&b| b == b'E') {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let points = mantissa.iter().filter(|&&b| b == b'.').count();
    let digits = mantissa.iter().filter(|b| b.is_ascii_digit()).count();
    let exponent_plain = exponent.is_none_or(|tail| {
        let tail = tail.strip_prefix(b"-").or_else(|| tail.strip_prefix(b"+")).unwrap_or(tail);
        !tail.is_empty() && tail.len() <= 20 && tail.iter().all(u8::is_ascii_digit)
    });
    digits > 0 && points <= 1 && digits + points == mantissa.len() && exponent_plain
}

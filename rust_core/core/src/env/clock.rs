//! Wall-clock time, as microseconds since the Unix epoch. It may jump; nothing but display and expiry depends on it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A source of wall-clock time.
pub trait Clock: Send + Sync {
    /// Microseconds since 1970-01-01T00:00:00Z; 0 for a clock set before that.
    fn now_us(&self) -> u64;
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
    }
}

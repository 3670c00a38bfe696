//! Wall-clock time, as microseconds since the Unix epoch. It may jump; nothing but display and expiry depends on it.

use rustix::time::{ClockId, clock_gettime};

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
        let now = clock_gettime(ClockId::Realtime);
        u64::try_from(now.tv_sec).map_or(0, |seconds| seconds * 1_000_000 + now.tv_nsec as u64 / 1000)
    }
}

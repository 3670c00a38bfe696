//! Time: the wall clock, which may jump and is what records show; and the time by which entries expire, which never
//! goes back.

use rustix::time::{ClockId, clock_gettime};

use crate::sync::{Arc, AtomicU64, Ordering};

/// The clocks of a machine.
pub trait Clock: Send + Sync {
    /// Wall-clock microseconds since 1970-01-01T00:00:00Z; 0 for a clock set before that. May jump both ways.
    fn now_us(&self) -> u64;

    /// Microseconds that go on at an even pace, also while the machine sleeps, whatever the wall clock does. Its zero
    /// means nothing.
    fn steady_us(&self) -> u64;
}

/// The operating system's clocks.
#[derive(Debug)]
pub struct SystemClock;

fn read_us(id: ClockId) -> u64 {
    let now = clock_gettime(id);
    u64::try_from(now.tv_sec).map_or(0, |seconds| seconds * 1_000_000 + now.tv_nsec as u64 / 1000)
}

impl Clock for SystemClock {
    fn now_us(&self) -> u64 {
        read_us(ClockId::Realtime)
    }

    fn steady_us(&self) -> u64 {
        read_us(ClockId::Boottime)
    }
}

/// The time by which entries expire: the wall clock as far ahead as it was ever seen, going on at a steady pace. When
/// the wall clock is set back, what has expired stays expired and what has not lives no longer than it was to.
pub struct ExpiryClock {
    clock: Arc<dyn Clock>,
    /// The most that wall time was ever seen ahead of steady time.
    ahead_us: AtomicU64,
}

impl ExpiryClock {
    /// One that starts at the wall time of now.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let started = Self { clock, ahead_us: AtomicU64::new(0) };
        started.now_us();
        started
    }

    /// Microseconds since the Unix epoch. Never less than an earlier answer. Cost: two clock readings.
    pub fn now_us(&self) -> u64 {
        // The wall clock first: a pause in between then makes the answer later by no more than itself.
        let wall_us = self.clock.now_us();
        let steady_us = self.clock.steady_us();
        self.seen(wall_us, steady_us)
    }

    /// The steady clock below it.
    pub fn steady_us(&self) -> u64 {
        self.clock.steady_us()
    }

    /// From here on it is at least `time_us`: a moment known to have passed, such as that of the newest record.
    pub fn raise(&self, time_us: u64) {
        self.seen(time_us, self.clock.steady_us());
    }

    fn seen(&self, wall_us: u64, steady_us: u64) -> u64 {
        let ahead_us = wall_us.saturating_sub(steady_us);
        let mut most_us = self.ahead_us.load(Ordering::Acquire);
        if ahead_us > most_us {
            most_us = self.ahead_us.fetch_max(ahead_us, Ordering::AcqRel).max(ahead_us);
        }
        steady_us.saturating_add(most_us)
    }
}

/// Clocks that stand still until told otherwise, for simulations.
#[derive(Debug)]
pub struct SimClock {
    wall_us: AtomicU64,
    steady_us: AtomicU64,
}

impl SimClock {
    /// One that shows this wall time.
    pub fn at(wall_us: u64) -> Self {
        Self { wall_us: AtomicU64::new(wall_us), steady_us: AtomicU64::new(0) }
    }

    /// Time passes.
    pub fn advance_us(&self, us: u64) {
        self.wall_us.fetch_add(us, Ordering::AcqRel);
        self.steady_us.fetch_add(us, Ordering::AcqRel);
    }

    /// Somebody sets the wall clock.
    pub fn set_wall_us(&self, wall_us: u64) {
        self.wall_us.store(wall_us, Ordering::Release);
    }
}

impl Clock for SimClock {
    fn now_us(&self) -> u64 {
        self.wall_us.load(Ordering::Acquire)
    }

    fn steady_us(&self) -> u64 {
        self.steady_us.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_clock_follows_the_wall_forward_and_never_goes_back() {
        let sim = Arc::new(SimClock::at(1_000_000));
        let clock = ExpiryClock::new(Arc::clone(&sim) as Arc<dyn Clock>);
        sim.advance_us(5);
        assert_eq!(clock.now_us(), 1_000_005);
        sim.set_wall_us(10);
        assert_eq!(clock.now_us(), 1_000_005);
        sim.advance_us(7);
        assert_eq!(clock.now_us(), 1_000_012);
        sim.set_wall_us(2_000_000);
        assert_eq!(clock.now_us(), 2_000_000);
        sim.set_wall_us(1_500_000);
        sim.advance_us(1);
        assert_eq!(clock.now_us(), 2_000_001);
        clock.raise(1_900_000);
        assert_eq!(clock.now_us(), 2_000_001);
        clock.raise(3_000_000);
        assert_eq!(clock.now_us(), 3_000_000);
    }

    #[test]
    fn the_system_s_expiry_clock_shows_wall_time() {
        let clock = ExpiryClock::new(Arc::new(SystemClock));
        let (before, now, after) = (SystemClock.now_us(), clock.now_us(), SystemClock.now_us());
        assert!(before <= now && now <= after + 1_000_000);
        assert!(clock.now_us() >= now);
    }
}

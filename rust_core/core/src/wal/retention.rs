//! Retention: how much of the log is kept beyond what a recovery needs, and how the rest goes.

use super::{Wal, WalError, held};
use crate::limits::KEEP_DAYS_MAX;
use crate::record::{Frame, Lsn, Pos};
use crate::sync::Ordering;

/// What is kept for histories although snapshots have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// At least this many bytes of the log; None keeps all of it.
    pub log_bytes: Option<u64>,
    /// Every record younger than this.
    pub age_us: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { log_bytes: Some(16 << 20), age_us: 0 }
    }
}

impl Retention {
    /// Keeps at least so many bytes (None: all), and what is younger than so many days.
    ///
    /// # Errors
    /// [`WalError::BadOption`] when a number is negative, not finite or beyond what can be told.
    pub fn new(log_bytes: Option<u64>, days: f64) -> Result<Self, WalError> {
        if !(0.0..=KEEP_DAYS_MAX).contains(&days) {
            return Err(WalError::BadOption(format!("keep_log_days must be from 0 to {KEEP_DAYS_MAX}")));
        }
        Ok(Self { log_bytes, age_us: (days * 86_400e6) as u64 })
    }
}

impl Wal {
    /// Position of the first record that is kept.
    pub fn log_start(&self) -> Pos {
        self.catalog.first().map_or(Pos::MAX, |first| first.start)
    }

    /// The first version that is kept.
    pub fn first_lsn(&self) -> Lsn {
        self.catalog.first().map_or(1, |first| first.first_lsn)
    }

    /// Makes everything durable, and seals the current segment when it holds at least `least_bytes`, so that it can go
    /// as soon as snapshots have it. Returns the last version that is durable.
    ///
    /// # Errors
    /// As [`Wal::flush`].
    pub fn seal(&self, least_bytes: u64) -> Result<Lsn, WalError> {
        self.flush()?;
        let mut drain = held(&self.drain);
        if self.is_closed() {
            return Err(WalError::Closed);
        }
        self.drain_locked(&mut drain, true)?;
        if drain.synced - drain.current.header.start >= least_bytes.max(1) {
            self.rotate(&mut drain);
            let wanted = drain.synced + self.ring_capacity;
            self.reserve(&mut drain, wanted);
        }
        Ok(self.synced_lsn.load(Ordering::Acquire))
    }

    /// Where the log may begin when nothing before `needed` is needed: the start of a segment.
    ///
    /// # Errors
    /// Damage, or the system's.
    pub fn start_for(&self, needed: Pos, keep: &Retention) -> Result<Pos, WalError> {
        let starts = self.catalog.starts();
        let mut start = starts.first().copied().unwrap_or(needed);
        let (Some(keep_bytes), end) = (keep.log_bytes, self.end()) else { return Ok(start) };
        let oldest_us = self.env.clock.now_us().saturating_sub(keep.age_us);
        for next in starts.into_iter().skip(1) {
            if next > needed || end - next < keep_bytes || (keep.age_us > 0 && !self.is_older(next, end, oldest_us)?) {
                break;
            }
            start = next;
        }
        Ok(start)
    }

    /// Whether everything before the segment that starts at `pos` was written before `oldest_us`.
    fn is_older(&self, pos: Pos, end: Pos, oldest_us: u64) -> Result<bool, WalError> {
        if pos >= end {
            return Ok(false);
        }
        let bytes = self.read(pos)?;
        Ok(Frame::parse(&bytes, self.seed).is_ok_and(|frame| frame.time_us < oldest_us))
    }

    /// Lets the log begin at `start`, a segment's start: the segments before it are removed. Returns how many.
    ///
    /// # Errors
    /// The system's. What could not be removed is removed at the next opening.
    pub fn trim(&self, start: Pos) -> Result<usize, WalError> {
        let mut manifest = held(&self.manifest);
        if self.is_closed() {
            return Err(WalError::Closed);
        }
        if start > manifest.log_start {
            // First, so that an opening never misses what it believes to be kept.
            let next = super::manifest::Manifest { log_start: start, ..*manifest };
            next.store(&*self.env.disk)?;
            *manifest = next;
        }
        // Before they are removed: whoever does not find one then knows that it was let go.
        let gone = self.catalog.trim(start);
        for header in &gone {
            self.env.disk.remove(&header.name())?;
        }
        Ok(gone.len())
    }
}

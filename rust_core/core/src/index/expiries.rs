//! Which entries of a scope expire, and when: only those that do take up memory here, each once.

use std::collections::BTreeSet;

use super::schedule::{NEVER_US, Schedule};
use super::turns::Turns;
use crate::record::Lsn;
use crate::sync::MutexGuard;

/// How many entries whoever counts passes by before letting a writer go first.
const COUNTED_AT_ONCE: usize = 64;

/// An entry with an expiry: when, and what finds it in its table. Ordered by time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiring {
    pub(super) expires_us: u64,
    pub(super) lsn: Lsn,
    pub(super) hash: u32,
}

impl Expiring {
    /// The version that expires.
    pub fn version(&self) -> Lsn {
        self.lsn
    }
}

/// The entries of one scope that expire. Exact: an entry that is replaced or cleared is taken out.
#[derive(Default)]
pub(super) struct Expiries(Turns<Sides>);

/// The entries on either side of a moment.
pub(super) struct Sides {
    /// Whatever is not above this one stands in `due`.
    reached: Expiring,
    due: BTreeSet<Expiring>,
    ahead: BTreeSet<Expiring>,
    /// Where the scope stands in the [`Schedule`].
    scheduled_us: u64,
}

impl Default for Sides {
    fn default() -> Self {
        let (due, ahead) = (BTreeSet::new(), BTreeSet::new());
        Self { reached: Expiring::default(), due, ahead, scheduled_us: NEVER_US }
    }
}

/// What a clear took out. Freeing it takes time, which nobody need wait for.
#[must_use = "drop it after the append lock"]
#[derive(Default)]
pub struct Forgotten(#[allow(dead_code)] [BTreeSet<Expiring>; 2]);

impl Expiries {
    /// For changes, by the holder of the append lock: while it lives, nobody counts.
    pub(super) fn change(&self) -> MutexGuard<'_, Sides> {
        self.0.change()
    }

    /// Calls `look` with how many entries have expired by `now_us` and have no record of it yet, while none comes or
    /// goes. Cost: O(log n) for each that has expired since the last time; writers go first.
    pub(super) fn count<R>(&self, now_us: u64, look: impl FnOnce(usize) -> R) -> R {
        loop {
            let mut sides = self.0.turn();
            if sides.reach(now_us) {
                return look(sides.due.len());
            }
            drop(sides);
            self.0.give_way();
        }
    }

    /// The first of those that have expired by `now_us`; when there is none, the scope is put where its first entry to
    /// expire is.
    pub(super) fn due(&self, now_us: u64, limit: usize, schedule: &Schedule, scope: &[u8]) -> Vec<Expiring> {
        let mut sides = self.0.turn();
        let all = sides.due.iter().chain(&sides.ahead);
        let due: Vec<_> = all.take_while(|item| item.expires_us <= now_us).take(limit).copied().collect();
        if due.is_empty() {
            let first_us = sides.ahead.first().map_or(NEVER_US, |item| item.expires_us);
            sides.stand_at(first_us, schedule, scope);
        }
        due
    }

    pub(super) fn size_bytes(&self) -> usize {
        let sides = self.0.turn();
        (sides.ahead.len() + sides.due.len()) * size_of::<Expiring>()
    }
}

impl Sides {
    fn side(&mut self, item: &Expiring) -> &mut BTreeSet<Expiring> {
        if *item <= self.reached { &mut self.due } else { &mut self.ahead }
    }

    pub(super) fn remove(&mut self, item: &Expiring) {
        self.side(item).remove(item);
    }

    pub(super) fn add(&mut self, item: Expiring, schedule: &Schedule, scope: &[u8]) {
        self.side(&item).insert(item);
        if item.expires_us < self.scheduled_us {
            self.stand_at(item.expires_us, schedule, scope);
        }
    }

    pub(super) fn forget_all(&mut self) -> Forgotten {
        Forgotten([std::mem::take(&mut self.ahead), std::mem::take(&mut self.due)])
    }

    /// Goes on to `now_us`, or a part of the way. Whether it is there.
    fn reach(&mut self, now_us: u64) -> bool {
        for _ in 0..COUNTED_AT_ONCE {
            let Some(first) = self.ahead.first().copied().filter(|first| first.expires_us <= now_us) else {
                self.reached = self.reached.max(Expiring { expires_us: now_us, lsn: Lsn::MAX, hash: u32::MAX });
                return true;
            };
            self.ahead.remove(&first);
            self.due.insert(first);
            self.reached = first;
        }
        false
    }

    fn stand_at(&mut self, time_us: u64, schedule: &Schedule, scope: &[u8]) {
        if time_us != self.scheduled_us {
            schedule.change(self.scheduled_us, time_us, scope);
            self.scheduled_us = time_us;
        }
    }
}

//! When to look at which scope for entries that have expired.

use std::collections::BTreeSet;

use super::turns::held;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// No time: nothing expires.
pub(super) const NEVER_US: u64 = u64::MAX;

/// Each scope that has expiring entries stands here once, no later than the first of them.
pub struct Schedule {
    scopes: Mutex<BTreeSet<(u64, Box<[u8]>)>>,
    first_us: AtomicU64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { scopes: Mutex::default(), first_us: AtomicU64::new(NEVER_US) }
    }
}

impl Schedule {
    pub(super) fn change(&self, from_us: u64, to_us: u64, scope: &[u8]) {
        let mut scopes = held(&self.scopes);
        let mut place = (from_us, Box::from(scope));
        scopes.remove(&place);
        if to_us != NEVER_US {
            place.0 = to_us;
            scopes.insert(place);
        }
        let first_us = scopes.first().map_or(NEVER_US, |(time_us, _)| *time_us);
        self.first_us.store(first_us, Ordering::SeqCst);
    }

    /// When the first scope is to be looked at. In one order with the changes that all threads make.
    pub fn first_us(&self) -> Option<u64> {
        Some(self.first_us.load(Ordering::SeqCst)).filter(|time_us| *time_us != NEVER_US)
    }

    /// The first scope that is to be looked at by `now_us`.
    pub(super) fn due_scope(&self, now_us: u64) -> Option<Box<[u8]>> {
        held(&self.scopes).first().filter(|(time_us, _)| *time_us <= now_us).map(|(_, scope)| scope.clone())
    }
}

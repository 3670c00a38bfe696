//! What keeps checkpoints from letting go of the log.

use std::collections::BTreeMap;

use crate::record::{Lsn, Pos};
use crate::sync::{Mutex, MutexGuard};
use crate::wal::Wal;

/// What keeps the log from being trimmed: where it began when each pin was made.
#[derive(Default)]
pub(super) struct Pins(Mutex<PinState>);

#[derive(Default)]
struct PinState {
    last_number: u64,
    pinned: BTreeMap<u64, Pos>,
    /// The log before this is being let go, or has gone.
    going: Pos,
    /// Of what comes behind this version nothing goes.
    held: Option<Lsn>,
}

impl Pins {
    /// Without pins.
    pub(super) fn holding(held: Option<Lsn>) -> Self {
        Self(Mutex::new(PinState { held, ..PinState::default() }))
    }

    fn held(&self) -> MutexGuard<'_, PinState> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A new one: its number, and from where on the log stays until it ends. Never waits for the disk.
    pub(super) fn begin(&self, log_start: impl FnOnce() -> Pos) -> (u64, Pos) {
        let mut state = self.held();
        let log_start = log_start().max(state.going);
        state.last_number += 1;
        let number = state.last_number;
        state.pinned.insert(number, log_start);
        (number, log_start)
    }

    pub(super) fn end(&self, number: u64) {
        self.held().pinned.remove(&number);
    }

    /// Lets no checkpoint let go of anything behind a version; None: that is over.
    pub(super) fn hold(&self, version: Option<Lsn>) {
        self.held().held = version;
    }

    pub(super) fn held_lsn(&self) -> Option<Lsn> {
        self.held().held
    }

    /// Where the log may begin instead of `start`. A pin or a hold that comes later does not count on what is before.
    pub(super) fn let_go(&self, start: Pos, wal: &Wal) -> Pos {
        let mut state = self.held();
        let start = state.held.and_then(|version| wal.start_above(version)).map_or(start, |held| held.min(start));
        let start = state.pinned.values().copied().min().map_or(start, |pinned| pinned.min(start));
        state.going = state.going.max(start);
        start
    }
}

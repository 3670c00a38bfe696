//! What readers that follow the log need: a wait for what comes next, and places to begin at. Writers do nothing for them.

use std::collections::VecDeque;

use super::drain::Head;
use super::{Wal, WalError, held};
use crate::env::thread::{monotonic_ms, wait_ms};
use crate::record::{Lsn, Pos};
use crate::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, Ordering};

/// A reader begins at most this far before the version that it wants, in what was written since the opening.
const STRIDE_BYTES: u64 = 256 << 10;
/// Beginnings that are remembered: of the last 2 GiB.
const HEADS_MAX: usize = 8192;

#[derive(Default)]
pub(super) struct Feed {
    waiting_count: AtomicUsize,
    turn: Mutex<()>,
    grown: Condvar,
    over: AtomicBool,
    heads: Mutex<VecDeque<Head>>,
}

impl Feed {
    /// The log has come this far, and readers find it there.
    pub(super) fn note(&self, head: Head) {
        let mut heads = held(&self.heads);
        if heads.back().is_none_or(|last| head.pos >= last.pos + STRIDE_BYTES) {
            if heads.len() == HEADS_MAX {
                heads.pop_front();
            }
            heads.push_back(head);
        }
        drop(heads);
        self.wake();
    }

    /// Wakes who waits. Who was about to wait has the lock, and hears it all the same.
    pub(super) fn wake(&self) {
        if self.waiting_count.load(Ordering::SeqCst) > 0 {
            drop(held(&self.turn));
            self.grown.notify_all();
        }
    }

    /// The last known place between two commits at or before version `since`.
    pub(super) fn before(&self, since: Lsn) -> Option<Head> {
        let heads = held(&self.heads);
        heads.partition_point(|head| head.lsn <= since).checked_sub(1).map(|at| heads[at])
    }
}

impl Wal {
    /// Waits until there is a version above `after`, at most `timeout_ms`; the last version there is. It is woken when the log
    /// is written out, each interval: writers do not wake anybody.
    ///
    /// # Errors
    /// The log is closed, or poisoned, or this process is a fork.
    pub fn wait_beyond(&self, after: Lsn, timeout_ms: u64) -> Result<Lsn, WalError> {
        if self.is_forked() {
            return Err(WalError::Forked);
        }
        let until_ms = monotonic_ms().saturating_add(timeout_ms);
        let mut turn = held(&self.feed.turn);
        self.feed.waiting_count.fetch_add(1, Ordering::SeqCst);
        let found = loop {
            if self.feed.over.load(Ordering::SeqCst) {
                break Err(WalError::Closed);
            }
            if let Some(poisoned) = self.poisoned() {
                break Err(poisoned);
            }
            let (last, left_ms) = (self.last_lsn(), until_ms.saturating_sub(monotonic_ms()));
            if last > after || left_ms == 0 {
                break Ok(last);
            }
            turn = wait_ms(&self.feed.grown, turn, left_ms);
        };
        self.feed.waiting_count.fetch_sub(1, Ordering::SeqCst);
        drop(turn);
        found
    }

    /// Nobody waits for more from now on.
    pub fn end_waits(&self) {
        self.feed.over.store(true, Ordering::SeqCst);
        self.feed.wake();
    }

    /// Where the segment begins that holds the first version above `version`.
    pub fn start_above(&self, version: Lsn) -> Option<Pos> {
        self.catalog.find_version(version).map(|header| header.start)
    }
}

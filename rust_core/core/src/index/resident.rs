//! Values in memory: how many bytes they take up, and how they leave and come back. Their keys stay.

use super::entry::Entry;
use super::place::shift;
use super::scope_map::ScopeMap;
use crate::env::thread::Alarm;
use crate::record::{Kind, Lsn};
use crate::sync::{AtomicUsize, OnceLock, Ordering, WriteToken};

/// Cells looked at in one go.
const CELLS_AT_ONCE: usize = 512;
/// A value of fewer bytes than this is worth less than the trouble.
const VALUE_BYTES_MIN: usize = 16;

/// How many bytes of values are in memory, and whom to ring when there are too many. Changed under the append lock.
pub(super) struct Resident {
    bytes: AtomicUsize,
    limit: AtomicUsize,
    alarm: OnceLock<Alarm>,
}

impl Default for Resident {
    fn default() -> Self {
        Self { bytes: AtomicUsize::new(0), limit: AtomicUsize::new(usize::MAX), alarm: OnceLock::new() }
    }
}

impl Resident {
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn shift(&self, more: usize, less: usize) {
        shift(&self.bytes, more, less);
        if self.bytes() > self.limit.load(Ordering::Relaxed) {
            self.ring();
        }
    }

    /// Once, until a limit is set again.
    #[cold]
    fn ring(&self) {
        self.limit.store(usize::MAX, Ordering::Relaxed);
        if let Some(alarm) = self.alarm.get() {
            alarm.ring();
        }
    }

    pub(super) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn set_alarm(&self, alarm: Alarm) {
        self.alarm.get_or_init(|| alarm);
    }
}

impl ScopeMap {
    /// Keys, with their versions, whose value may leave memory: written up to `below`. Looks at some cells from `hand`
    /// on and moves it; it is 0 again at the end.
    pub fn evictable(&self, hand: &mut usize, below: Lsn) -> Vec<(Box<[u8]>, Lsn)> {
        let mut found = Vec::new();
        let guard = self.shared.collector.enter();
        *hand = self.table.for_some(&guard, *hand, CELLS_AT_ONCE, |entry| {
            if entry.value_len() >= VALUE_BYTES_MIN && entry.meta().lsn <= below && self.is_kept(entry) {
                found.push((entry.key().into(), entry.meta().lsn));
            }
        });
        found
    }

    /// Lets the value of a key go, if it is still that version; its bytes.
    pub fn freeze(&self, token: &mut WriteToken, key: &[u8], lsn: Lsn) -> usize {
        self.exchange(token, key, |now| {
            let same = now.meta().lsn == lsn && now.meta().kind == Kind::Set && !now.is_cold();
            same.then(|| now.without_value())
        })
    }

    /// Takes a value back into memory, if its key is still without it at that version.
    pub fn thaw(&self, token: &mut WriteToken, whole: &Entry) {
        self.exchange(token, whole.key(), |now| {
            (now.is_cold() && now.meta().lsn == whole.meta().lsn).then(|| whole.clone())
        });
    }

    /// The bytes of the value before.
    fn exchange(&self, token: &mut WriteToken, key: &[u8], change: impl FnOnce(&Entry) -> Option<Entry>) -> usize {
        let guard = self.shared.collector.enter();
        let hash = self.hash(key);
        let changed = self.table.get(&guard, hash, key, |now| {
            let entry = change(now)?;
            // What a clear has hidden is counted elsewhere, and is freed soon.
            self.is_kept(now).then_some((now.value_len(), entry))
        });
        let Some((former, entry)) = changed.flatten() else { return 0 };
        let bytes = entry.value_len();
        self.table.put(token, &guard, hash, entry);
        shift(&self.kept_bytes, bytes, former);
        self.shared.resident.shift(bytes, former);
        former
    }
}

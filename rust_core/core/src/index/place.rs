//! A key's place in the index during one write: what the write must know, and the change itself.

use seize::LocalGuard;

use super::entry::{Entry, Meta};
use super::expiries::Expiring;
use super::scope_map::ScopeMap;
use crate::record::{Kind, Lsn, Pos};
use crate::sync::{AtomicUsize, Ordering, WriteToken};

/// Where a key stands, found once per write. True for as long as the append lock is held, but for time, which goes on.
pub struct Place<'m> {
    pub(super) map: &'m ScopeMap,
    pub(super) guard: LocalGuard<'m>,
    pub(super) hash: u32,
    pub(super) old_bytes: usize,
    /// The version of the value in the table, hidden by a clear or not; 0 when there is none.
    pub(super) set_lsn: Lsn,
    /// The version that counts as a key of the scope, expired or not; 0 when there is none.
    pub(super) kept_lsn: Lsn,
    /// When that one expires.
    pub(super) expires_us: Option<u64>,
    /// The live version; 0 when there is no live value.
    pub live_lsn: Lsn,
    /// Whether that value is sealed.
    pub is_sealed: bool,
    /// Where the key's last record stands; 0 when it never had one.
    pub prev_pos: Pos,
}

/// Changes a counter that only the holder of the append lock changes.
pub(super) fn shift(counter: &AtomicUsize, more: usize, less: usize) {
    counter.store(counter.load(Ordering::Relaxed) + more - less, Ordering::Relaxed);
}

impl Place<'_> {
    /// The version that has expired and has no record of it yet; 0 when there is none.
    pub fn expired_lsn(&self) -> Lsn {
        if self.live_lsn == 0 { self.kept_lsn } else { 0 }
    }

    /// Puts the entry of a committed record in place of what was found. `bytes` are its value, key and expiry field.
    #[inline]
    pub fn apply(&self, token: &mut WriteToken, meta: Meta, bytes: &[u8]) {
        let entry = Entry::new(meta, bytes);
        let (is_new, value_len) = (self.kept_lsn == 0 && meta.kind == Kind::Set, entry.value_len());
        if self.expires_us.is_some() || meta.expires() {
            self.replace_expiring(token, entry);
        } else {
            self.replace(token, entry);
        }
        if is_new {
            self.map.note(&bytes[value_len..value_len + meta.key_len()]);
        }
    }

    #[inline]
    fn replace(&self, token: &mut WriteToken, entry: Entry) {
        let map = self.map;
        let (was_kept, is_kept) = (self.kept_lsn != 0, entry.meta().kind == Kind::Set);
        let value_len = entry.value_len();
        self.retain(entry.meta().lsn);
        map.table.put(token, &self.guard, self.hash, entry);
        shift(&map.kept, usize::from(is_kept), usize::from(was_kept));
        shift(if was_kept { &map.kept_bytes } else { &map.hidden_bytes }, 0, self.old_bytes);
        shift(&map.kept_bytes, value_len, 0);
        map.shared.resident.shift(value_len, self.old_bytes);
    }

    /// As [`Place::replace`], while nobody counts the scope's keys: what has expired is counted beside the table.
    #[inline(never)]
    fn replace_expiring(&self, token: &mut WriteToken, entry: Entry) {
        let map = self.map;
        let item = |expires_us, lsn| Expiring { expires_us, lsn, hash: self.hash };
        let mut expiries = map.expiries.get_or_init(Box::default).change();
        if let Some(expires_us) = self.expires_us {
            expiries.remove(&item(expires_us, self.kept_lsn));
        }
        if let Some(expires_us) = entry.expires_us().filter(|_| entry.meta().kind == Kind::Set) {
            expiries.add(item(expires_us, entry.meta().lsn), &map.shared.schedule, &map.scope);
        }
        self.replace(token, entry);
    }
}

//! The keys of a scope in order: made by the first list, and kept. Writers note the keys that are new since; what is gone
//! goes when a list comes across it.

use super::sorted::{Keys, Sorted};
use super::turns::held;
use crate::sync::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Room for noted keys in the smallest scope.
const NOTED_BYTES_MIN: usize = 4096;

/// Every key that readers may see is in it, and some that they may not.
#[derive(Default)]
pub(super) struct Order {
    sorted: RwLock<Sorted>,
    noted: Mutex<Noted>,
}

/// What the sorted keys lack.
#[derive(Default)]
struct Noted {
    keys: Keys,
    /// Beyond this they are forgotten, and the next list sorts all keys anew: so many are as soon sorted as added. 0:
    /// they are forgotten.
    bytes_max: usize,
}

impl Order {
    /// Notes a key that has come to be there. After its entry can be found: else a list might take it for gone.
    pub(super) fn note(&self, key: &[u8]) {
        let mut noted = held(&self.noted);
        if noted.keys.size_bytes() + key.len() >= noted.bytes_max {
            *noted = Noted::default();
        } else {
            noted.keys.push(key);
        }
    }

    /// The keys, with all that was noted before. `all` gives them anew; what comes while it looks is noted.
    pub(super) fn sorted(&self, all: impl Fn() -> Keys) -> RwLockReadGuard<'_, Sorted> {
        {
            let noted = held(&self.noted);
            if !noted.keys.is_empty() || noted.bytes_max == 0 {
                drop(noted);
                self.catch_up(all);
            }
        }
        self.sorted.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn catch_up(&self, all: impl Fn() -> Keys) {
        let mut sorted = self.change();
        let bytes_max = NOTED_BYTES_MIN.max(sorted.size_bytes());
        let noted = std::mem::replace(&mut *held(&self.noted), Noted { keys: Keys::default(), bytes_max });
        if noted.bytes_max == 0 {
            *sorted = Sorted::of(&all().sorted());
        } else {
            sorted.add(&noted.keys.sorted());
        }
    }

    /// Lets the keys under `prefix` go that are gone: `is_gone` looks while nobody lists. One that comes back meanwhile is
    /// noted, so that the next list has it again.
    pub(super) fn forget(&self, prefix: &[u8], is_gone: impl Fn(&[u8]) -> bool) {
        self.change().retain(prefix, |key| !is_gone(key));
    }

    pub(super) fn size_bytes(&self) -> usize {
        let sorted = self.sorted.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        sorted.size_bytes() + held(&self.noted).keys.size_bytes()
    }

    fn change(&self) -> RwLockWriteGuard<'_, Sorted> {
        self.sorted.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

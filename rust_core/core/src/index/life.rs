//! Whether a read view lasts, and why it ended.

use crate::sync::{Arc, AtomicU32, Ordering};

/// Why a view shows nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Ending {
    /// Its user is done with it.
    Closed = 1,
    /// What it would retain no longer fits into the budget.
    Budget = 2,
    /// It was to last no longer.
    Age = 3,
    /// There is no store any more.
    StoreClosed = 4,
}

/// Whether a view has ended, and why: shared between the view and those who end it.
#[derive(Clone, Default)]
pub struct Life(Arc<AtomicU32>);

impl Life {
    /// Why it ended; None while it lasts.
    pub fn ending(&self) -> Option<Ending> {
        let endings = [Ending::Closed, Ending::Budget, Ending::Age, Ending::StoreClosed];
        let number = self.0.load(Ordering::Acquire);
        endings.into_iter().find(|ending| *ending as u32 == number)
    }

    pub(super) fn end(&self, why: Ending) {
        self.0.compare_exchange(0, why as u32, Ordering::AcqRel, Ordering::Relaxed).ok();
    }
}

//! Which calls a simulated disk refuses: what the engine does then is what the tests are about.

use crate::sync::{Arc, Mutex};

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Operation: `open create write sync allocate set_len rename remove sync_dir map`.
    pub op: &'static str,
    /// Part of the file's name.
    pub name: &'static str,
    /// How many matching calls succeed before the first failure.
    pub after_count: u32,
    /// How many calls fail; `u32::MAX` for all from then on.
    pub fail_count: u32,
    /// The error number. For `write`, 0 means a short write of half the bytes instead of an error.
    pub errno: i32,
}

/// The faults in force, shared between a test and its disk.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds one.
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).push(fault);
    }

    /// Removes all.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(|p| p.into_inner()).clear();
    }

    /// The error number that this call must fail with, counting it.
    pub fn strike(&self, op: &str, name: &str) -> Option<i32> {
        let mut faults = self.0.lock().unwrap_or_else(|p| p.into_inner());
        let fault = faults.iter_mut().find(|f| f.op == op && name.contains(f.name) && f.fail_count > 0)?;
        if fault.after_count > 0 {
            fault.after_count -= 1;
            return None;
        }
        if fault.fail_count != u32::MAX {
            fault.fail_count -= 1;
        }
        Some(fault.errno)
    }
}

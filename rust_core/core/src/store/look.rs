//! A store that is looked at and not changed, also while another process writes it.

use super::{Store, StoreError, StoreOptions};
use crate::env::Env;
use crate::env::look::LookDisk;
use crate::env::thread::park_ms;
use crate::sync::Arc;
use crate::wal::{Opener, Wal, WalError, is_written, manifest_bytes};

/// How often a store that changes under the reader is read again, a little later each time.
const ATTEMPTS_MAX: u32 = 12;

impl Store {
    /// Looks at the store of an environment as it is now. Nothing is written, made or removed there, no lock is held,
    /// and another process may go on writing: what it had acknowledged before this call is there, whole commits only.
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is no store; damage as [`Store::open`] judges it; the system's.
    ///
    /// # Cost
    /// As [`Store::open`], without a sync.
    pub fn look(env: &Env) -> Result<Self, StoreError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let written = is_written(&*env.disk)?;
            let manifest = manifest_bytes(&*env.disk)?;
            let looked = Self::look_once(env, written);
            let Err(error) = &looked else { return looked };
            let moved = || -> Result<bool, WalError> {
                Ok(written || is_written(&*env.disk)? || manifest_bytes(&*env.disk)? != manifest)
            };
            if attempts == ATTEMPTS_MAX || !may_pass(error) || !moved()? {
                return looked;
            }
            park_ms(1 << attempts.min(8));
        }
    }

    fn look_once(env: &Env, written: bool) -> Result<Self, StoreError> {
        let disk = Arc::new(LookDisk::new(Arc::clone(&env.disk)));
        let here = Env { disk, clock: Arc::clone(&env.clock), threads: false, lasting: true };
        let opener = if written { Opener::Onlooker } else { Opener::Reader };
        let options = StoreOptions::default();
        let mut store = Self::opened(&here, &options, |loader| Wal::look(here.clone(), loader, opener))?;
        store.recovery.live = written;
        store.looks_at = Some(env.clone());
        Ok(store)
    }

    /// Whether it was opened with [`Store::look`].
    pub fn is_read_only(&self) -> bool {
        self.looks_at.is_some()
    }
}

/// Whether the reason may be that the files changed while they were read.
fn may_pass(error: &StoreError) -> bool {
    match error {
        StoreError::Wal(WalError::Damaged(_) | WalError::Missing { .. } | WalError::NotAStore(_)) => true,
        StoreError::Wal(e) => e.is_not_found(),
        _ => false,
    }
}

//! A store that is looked at and not changed, also while another process writes it.

use super::{Store, StoreError, StoreOptions};
use crate::checkpoint::SNAPSHOT_NAMES;
use crate::env::disk::{Disk, read_file};
use crate::env::look::LookDisk;
use crate::env::thread::park_ms;
use crate::env::{Env, OpenHow};
use crate::sync::Arc;
use crate::wal::{Opener, Wal, WalError, is_written, manifest_bytes};

/// How often a store that changes under the reader is read again, a little later each time.
const ATTEMPTS_MAX: u32 = 12;
/// How often a snapshot that changes is copied again.
const COPIES_MAX: u32 = 8;
/// The first bytes of a snapshot's file: each of its commits changes them.
const SNAPSHOT_HEAD_BYTES: usize = 512;

impl Store {
    /// Looks at the store of an environment as it is now. Nothing is written, made or removed there, no lock is held,
    /// and another process may go on writing: what it had acknowledged before this call is there, whole commits only.
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is no store; damage as [`Store::open`] judges it; the system's.
    ///
    /// # Cost
    /// As [`Store::open`], without a sync. While another process writes, snapshots are copied into memory.
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
        if written {
            SNAPSHOT_NAMES.iter().try_for_each(|name| settle(&disk, &*env.disk, name))?;
        }
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

/// Takes a snapshot as it is between two of its commits. One that never rests is left to be found damaged.
pub(super) fn settle(look: &LookDisk, disk: &dyn Disk, name: &str) -> Result<(), WalError> {
    let head = || -> Result<Vec<u8>, WalError> {
        let mut head = vec![0; SNAPSHOT_HEAD_BYTES];
        let read = disk.open(name, OpenHow::Read)?.read_full_at(&mut head, 0)?;
        head.truncate(read);
        Ok(head)
    };
    for _ in 0..COPIES_MAX {
        if !disk.exists(name)? {
            return Ok(());
        }
        let before = head()?;
        let bytes = read_file(disk, name)?;
        let settled = bytes.starts_with(&before) && before == head()?;
        look.put(name, bytes);
        if settled {
            return Ok(());
        }
    }
    Ok(())
}

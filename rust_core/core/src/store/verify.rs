//! Verification: every byte that counts is read, and nothing that is found stops it.

use super::replica::Replica;
use super::{Store, StoreError};
use crate::checkpoint::{RedbSnapshot, SNAPSHOT_NAMES, SnapshotError};
use crate::env::Env;
use crate::env::disk::Disk;
use crate::env::look::LookDisk;
use crate::env::thread::{monotonic_ms, park_ms};
use crate::record::{Lsn, Mark};
use crate::sync::Arc;
use crate::wal::{Damage, Reach, Survey, WalError, is_written, manifest_bytes, store_id, survey};

/// How often a store that changes while it is verified is verified again before what is found counts.
const ATTEMPTS_MAX: u32 = 5;

/// What a verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Files read.
    pub file_count: usize,
    /// Bytes of them.
    pub byte_count: u64,
    /// Records of the log.
    pub record_count: u64,
    /// Rows of the snapshots.
    pub row_count: u64,
    /// Up to this version.
    pub last_lsn: Lsn,
    /// What is not as it was written.
    pub damages: Vec<Damage>,
    /// Milliseconds that it took.
    pub duration_ms: u64,
}

impl Store {
    /// Verifies everything written so far: manifest, ring, segments, every record with its chain, both snapshots with
    /// every page and row, and that each snapshot and the log behind it come to what the index has.
    ///
    /// # Errors
    /// The system's. Damage is in the result.
    ///
    /// # Cost
    /// Reads every file, and holds the version of every key three times in memory. Writers go on; a checkpoint waits.
    pub fn verify(&self) -> Result<Verified, StoreError> {
        self.check()?;
        if let Some(env) = &self.looks_at {
            return Self::verify_at(env);
        }
        let started_ms = monotonic_ms();
        let _no_checkpoint = self.keeper.checkpointer.snapshots.held();
        let upto = self.wal.last_lsn();
        self.wal.ensure_written(upto)?;
        let mut verified = examine(&*self.wal.env().disk, Some(self), Reach { upto, ring: false })?;
        verified.duration_ms = monotonic_ms() - started_ms;
        Ok(verified)
    }

    /// Verifies the store of an environment as [`Store::look`] sees it, damaged or not; nothing is changed.
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is none; the system's.
    pub fn verify_at(env: &Env) -> Result<Verified, StoreError> {
        let started_ms = monotonic_ms();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (written, manifest) = (is_written(&*env.disk)?, manifest_bytes(&*env.disk)?);
            let done = verify_once(env, written);
            let whole = done.as_ref().is_ok_and(|verified| verified.damages.is_empty());
            let moved = || -> Result<bool, WalError> {
                Ok(written || is_written(&*env.disk)? || manifest_bytes(&*env.disk)? != manifest)
            };
            if whole
                || attempts == ATTEMPTS_MAX
                || matches!(done, Err(StoreError::Wal(WalError::Missing { .. })))
                || !moved()?
            {
                return done.map(|verified| Verified { duration_ms: monotonic_ms() - started_ms, ..verified });
            }
            park_ms(1 << attempts);
        }
    }
}

fn verify_once(env: &Env, written: bool) -> Result<Verified, StoreError> {
    let look = Arc::new(LookDisk::new(Arc::clone(&env.disk)));
    if written {
        SNAPSHOT_NAMES.iter().try_for_each(|name| super::look::settle(&look, &*env.disk, name))?;
    }
    match Store::look(env) {
        Ok(view) => Ok(examine(&*look, Some(&view), Reach { upto: view.wal.last_lsn(), ring: true })?),
        Err(StoreError::Wal(WalError::Damaged(damage))) => {
            let mut verified = examine(&*look, None, Reach { upto: Lsn::MAX, ring: true })?;
            // What only the judgement of an opening sees.
            if !verified.damages.iter().any(|found| found.file == damage.file) {
                verified.damages.push(*damage);
            }
            Ok(verified)
        }
        Err(e) => Err(e),
    }
}

fn examine(disk: &dyn Disk, store: Option<&Store>, reach: Reach) -> Result<Verified, WalError> {
    let mut replicas = Vec::new();
    let mut verified = Verified::default();
    let id = store_id(disk)?;
    for name in SNAPSHOT_NAMES {
        if disk.exists(name)? {
            verified.file_count += 1;
            verified.byte_count += disk.open(name, crate::env::OpenHow::Read)?.len_named()?;
            match replica(disk, name, id) {
                Ok(replica) => replicas.push(replica),
                Err(SnapshotError::Damaged { file, what }) => verified.damages.push(Damage::new(&file, 0, 0, what)),
                Err(SnapshotError::Io(e)) => return Err(e.into()),
            }
        }
    }
    replicas.push(Replica::of_log());
    let found: Survey =
        survey(disk, reach, &mut |frame, _| replicas.iter_mut().for_each(|replica| replica.follow(frame)))?;
    verified.file_count += found.file_count;
    verified.byte_count += found.byte_count;
    verified.record_count = found.record_count;
    verified.row_count = replicas.iter().map(|replica| replica.row_count).sum();
    verified.last_lsn = found.end.map_or(0, |end| end.lsn);
    if let (Some(store), true, Some(first)) = (store, found.holes.is_empty(), found.first.or(Some(Mark::START))) {
        let reachable = |mark: &Mark| mark.lsn >= first.lsn && mark.lsn <= reach.upto;
        for replica in replicas.iter().filter(|replica| replica.mark.as_ref().is_some_and(reachable)) {
            if let Some(what) = replica.differs(store, reach.upto) {
                let file = if replica.file.is_empty() { disk.path_of("segments") } else { replica.file.clone() };
                verified.damages.push(Damage::new(&file, 0, 0, what));
            }
        }
    }
    verified.damages.splice(0..0, found.damages);
    Ok(verified)
}

fn replica(disk: &dyn Disk, name: &str, id: [u8; 16]) -> Result<Replica, SnapshotError> {
    let snapshot = RedbSnapshot::open(disk, name, id, true)?;
    Replica::of_snapshot(&snapshot, crate::checksum::xxh3_64(&id))
}

//! Verification: every byte that counts is read, and nothing that is found stops it.

use super::replica::Replica;
use super::{Store, StoreError};
use crate::checkpoint::{SNAPSHOT_NAMES, SnapshotError, SnapshotFile, take_over_former};
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
    /// every block and row, and that each snapshot and the log behind it come to what the index has.
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
        let no_checkpoint = self.keeper.checkpointer.snapshots.held();
        let marks = [0, 1].map(|slot| no_checkpoint[slot].as_ref().map(|snapshot| snapshot.mark()));
        let upto = self.wal.last_lsn();
        self.wal.ensure_written(upto)?;
        let look = LookDisk::new(Arc::clone(&self.wal.env().disk));
        let mut verified = examine(&look, Some(self), Reach { upto, ring: false }, marks)?;
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
            let done = verify_once(env);
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

fn verify_once(env: &Env) -> Result<Verified, StoreError> {
    let look = LookDisk::new(Arc::clone(&env.disk));
    match Store::look(env) {
        Ok(view) => Ok(examine(&look, Some(&view), Reach { upto: view.wal.last_lsn(), ring: true }, [None; 2])?),
        Err(StoreError::Wal(WalError::Damaged(damage))) => {
            let mut verified = examine(&look, None, Reach { upto: Lsn::MAX, ring: true }, [None; 2])?;
            // What only the judgement of an opening sees.
            if !verified.damages.iter().any(|found| found.file == damage.file) {
                verified.damages.push(*damage);
            }
            Ok(verified)
        }
        Err(e) => Err(e),
    }
}

/// `marks`: what the snapshots have come to, where that is known.
fn examine(
    disk: &LookDisk,
    store: Option<&Store>,
    reach: Reach,
    marks: [Option<Mark>; 2],
) -> Result<Verified, WalError> {
    let mut replicas = Vec::new();
    let mut verified = Verified::default();
    let id = store_id(disk)?;
    for (slot, name) in SNAPSHOT_NAMES.into_iter().enumerate() {
        note(take_over_former(disk, slot, id), &mut verified)?;
        if disk.exists(name)? {
            verified.file_count += 1;
            verified.byte_count += disk.open(name, crate::env::OpenHow::Read)?.len_named()?;
            let read = SnapshotFile::look(disk, name, id).and_then(|snapshot| Replica::of_snapshot(&snapshot));
            let is_short = |replica: &Replica| marks[slot].is_some() && replica.mark != marks[slot];
            let read = match read {
                Ok(replica) if is_short(&replica) => {
                    Err(SnapshotError::Damaged { file: replica.file, what: "its last run does not hold".into() })
                }
                read => read,
            };
            replicas.extend(note(read, &mut verified)?);
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
        for replica in &replicas {
            if !replica.file.is_empty() && replica.mark.is_some_and(|mark| mark.lsn < first.lsn) {
                let what = "what it has ends before the log begins";
                verified.damages.push(Damage::new(&replica.file, 0, 0, what));
            }
        }
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

/// Damage goes to what is reported.
fn note<T>(result: Result<T, SnapshotError>, verified: &mut Verified) -> Result<Option<T>, WalError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(SnapshotError::Io(e)) => Err(e.into()),
        Err(SnapshotError::Damaged { file, what }) => {
            verified.damages.push(Damage::new(&file, 0, 0, what));
            Ok(None)
        }
        Err(SnapshotError::Stopped) => Err(WalError::Closed),
    }
}

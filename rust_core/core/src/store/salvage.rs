//! What is whole of a damaged store: into a new one, or into memory to be looked at.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::import::Imported;
use super::{Store, StoreError, StoreOptions};
use crate::checkpoint::{Row, SNAPSHOT_NAMES, SnapshotError, SnapshotFile, take_over_former};
use crate::env::Env;
use crate::env::disk::Disk;
use crate::env::look::LookDisk;
use crate::env::mem::MemDisk;
use crate::record::{Frame, Lsn};
use crate::sync::Arc;
use crate::wal::{Damage, Reach, WalError, is_written, store_id, survey};

/// What was salvaged.
#[derive(Debug, Default)]
pub struct Salvaged {
    /// Records of the log that were taken over.
    pub record_count: u64,
    /// Rows of snapshots that were taken over, where the log no longer has them.
    pub row_count: u64,
    /// The last version that was taken over, as the damaged store counted.
    pub last_lsn: Lsn,
    /// What is not as it was written.
    pub damages: Vec<Damage>,
}

/// The versions that the log has whole.
#[derive(Default)]
struct Whole(Vec<RangeInclusive<Lsn>>);

impl Whole {
    fn add(&mut self, lsn: Lsn) {
        match self.0.last_mut() {
            Some(range) if *range.end() + 1 == lsn => *range = *range.start()..=lsn,
            _ => self.0.push(lsn..=lsn),
        }
    }

    fn has(&self, lsn: Lsn) -> bool {
        let index = self.0.partition_point(|range| *range.end() < lsn);
        self.0.get(index).is_some_and(|range| range.contains(&lsn))
    }
}

impl Store {
    /// Takes over everything that is whole of the store of `env`, in order, with its times, whole batches only; rows of
    /// snapshots where the log has lost them. The source is not changed. Versions are counted anew.
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is no store in `env`; the system's.
    pub fn salvage(&self, env: &Env) -> Result<Salvaged, StoreError> {
        self.take_over(env, false)
    }

    /// As [`Store::look`], of a damaged store too: with everything that is whole, under its own versions, in memory.
    ///
    /// # Errors
    /// [`WalError::Missing`] when there is no store; the system's.
    pub fn look_at_damaged(env: &Env) -> Result<Self, StoreError> {
        if Self::verify_at(env)?.damages.is_empty() {
            return Self::look(env);
        }
        let here = Env { disk: Arc::new(MemDisk::new()), threads: false, ..Env::memory() };
        let mut store = Self::open(here, StoreOptions::default())?;
        let salvaged = store.take_over(env, true)?;
        store.wal.flush()?;
        store.wal.refuse_writes();
        store.recovery.log.record_count = salvaged.record_count;
        store.recovery.log.last_lsn = salvaged.last_lsn;
        store.recovery.snapshot_row_count = salvaged.row_count;
        store.recovery.live = is_written(&*env.disk)?;
        store.damages = salvaged.damages;
        store.looks_at = Some(env.clone());
        Ok(store)
    }

    /// What was found when a damaged store was opened to be looked at.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    fn take_over(&self, env: &Env, keep_versions: bool) -> Result<Salvaged, StoreError> {
        let mut salvaged = Salvaged { damages: Self::verify_at(env)?.damages, ..Salvaged::default() };
        let look = LookDisk::new(Arc::clone(&env.disk));
        let mut whole = Whole::default();
        let all = Reach { upto: Lsn::MAX, ring: true };
        let found = survey(&look, all, &mut |frame, _| whole.add(frame.lsn))?;
        let mut rows = lost_rows(&look, &whole)?;
        let (mut commit, mut failed) = (Vec::new(), Ok(()));
        let upto = found.end.map_or(0, |end| end.lsn);
        survey(&look, Reach { upto, ..all }, &mut |frame, _| {
            if failed.is_ok() {
                failed = self.take_rows(&mut rows, frame.lsn, keep_versions, &mut salvaged);
            }
            commit.push(Imported::from(frame));
            if frame.ends_commit() && failed.is_ok() {
                salvaged.record_count += commit.len() as u64;
                salvaged.last_lsn = frame.lsn;
                failed = self.import(&mut std::mem::take(&mut commit), keep_versions);
            }
        })?;
        failed?;
        self.take_rows(&mut rows, Lsn::MAX, keep_versions, &mut salvaged)?;
        Ok(salvaged)
    }

    fn take_rows(
        &self,
        rows: &mut BTreeMap<Lsn, Imported>,
        before: Lsn,
        keep_versions: bool,
        salvaged: &mut Salvaged,
    ) -> Result<(), StoreError> {
        while rows.first_key_value().is_some_and(|(lsn, _)| *lsn < before) {
            let Some((lsn, row)) = rows.pop_first() else { break };
            self.import(&mut [row], keep_versions)?;
            salvaged.row_count += 1;
            salvaged.last_lsn = lsn;
        }
        Ok(())
    }
}

/// The rows of snapshots that the log does not have, by version.
fn lost_rows(disk: &LookDisk, whole: &Whole) -> Result<BTreeMap<Lsn, Imported>, WalError> {
    let mut rows = BTreeMap::new();
    let id = store_id(disk)?;
    for (slot, name) in SNAPSHOT_NAMES.into_iter().enumerate() {
        let taken_over = take_over_former(disk, slot, id);
        let mut take = |frame: &Frame<'_>| {
            if !whole.has(frame.lsn) {
                rows.insert(frame.lsn, Imported::from(frame));
            }
        };
        let is_there = disk.exists(name)?;
        if taken_over.is_ok() && !is_there {
            continue;
        }
        let read = taken_over.and_then(|()| SnapshotFile::look(disk, name, id));
        match read.and_then(|snapshot| snapshot.for_each(&mut |row: &Row<'_>| take(&row.frame))) {
            // Of one that is damaged, which the verification has told, only what was read before.
            Ok(()) | Err(SnapshotError::Damaged { .. } | SnapshotError::Stopped) => {}
            Err(SnapshotError::Io(e)) => return Err(e.into()),
        }
    }
    Ok(rows)
}

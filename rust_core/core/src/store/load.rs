//! Filling the index at an opening: from the newest snapshot that holds, then from the log behind it.

use super::checkpoint::Snapshots;
use super::{Recovery, StoreOptions};
use crate::checkpoint::{
    FORMER_NAMES, Row, SNAPSHOT_DIR, SNAPSHOT_NAMES, SnapshotError, SnapshotFile, take_over_former,
};
use crate::env::thread::both;
use crate::env::{Disk, Env, ExpiryClock};
use crate::index::{Index, Meta};
use crate::record::{Frame, Kind, Mark, Pos};
use crate::sync::{Arc, WriteToken};
use crate::wal::{Damage, RecoveryReport, Replay, WalError};

/// Fills an index.
pub(super) struct Loader {
    disk: Arc<dyn Disk>,
    lasting: bool,
    threads: bool,
    hash_seed: u64,
    clock: Arc<ExpiryClock>,
    view_budget_bytes: usize,
    memory_budget_bytes: usize,
    index: Index,
    token: WriteToken,
    recovery: Recovery,
    chosen: Option<(usize, Arc<SnapshotFile>)>,
    store_id: [u8; 16],
    last_us: u64,
}

impl Loader {
    pub(super) fn new(env: &Env, options: &StoreOptions, hash_seed: u64, clock: Arc<ExpiryClock>) -> Self {
        Self {
            disk: Arc::clone(&env.disk),
            lasting: env.lasting,
            threads: env.threads,
            hash_seed,
            index: Index::new(hash_seed, Arc::clone(&clock), options.view_budget_bytes),
            clock,
            view_budget_bytes: options.view_budget_bytes,
            memory_budget_bytes: match options.memory_budget_bytes {
                Some(bytes) if env.lasting => usize::try_from(bytes).unwrap_or(usize::MAX),
                _ => usize::MAX,
            },
            token: WriteToken::new(),
            recovery: Recovery::default(),
            chosen: None,
            store_id: [0; 16],
            last_us: 0,
        }
    }

    /// When the last record was written, as far as is known.
    pub(super) fn last_us(&self) -> u64 {
        self.last_us
    }

    /// The index, what the next checkpoint goes on from, and the report.
    pub(super) fn done(self, log: RecoveryReport) -> (Index, Snapshots, Recovery) {
        let snapshots = Snapshots::new(self.disk, self.lasting, self.store_id, self.chosen);
        (self.index, snapshots, Recovery { log, ..self.recovery })
    }

    /// The snapshots that are there and hold, newest first. Each is verified once: what comes next goes on with it.
    fn candidates(&mut self, store_id: [u8; 16]) -> Result<Vec<(usize, SnapshotFile)>, WalError> {
        if self.disk.exists(SNAPSHOT_DIR)? {
            // Refuses a link in its place.
            self.disk.create_dir(SNAPSHOT_DIR)?;
        }
        let mut there = Vec::new();
        for (slot, name) in SNAPSHOT_NAMES.into_iter().enumerate() {
            for temporary in [name, FORMER_NAMES[slot]].map(|name| format!("{name}.tmp")) {
                if self.disk.exists(&temporary)? {
                    self.disk.remove(&temporary)?;
                }
            }
            let taken_over = take_over_former(&*self.disk, slot, store_id);
            self.noted(taken_over)?;
            if self.disk.exists(name)? {
                there.push(slot);
            }
        }
        let open = |slot: usize| (slot, SnapshotFile::open(&*self.disk, SNAPSHOT_NAMES[slot], store_id, false));
        let opened: Vec<_> = match there[..] {
            [one, other] if self.threads => both(|| open(one), || open(other)).into(),
            _ => there.into_iter().map(open).collect(),
        };
        let mut found = Vec::new();
        for (slot, opened) in opened {
            found.extend(self.noted(opened)?.map(|snapshot| (slot, snapshot)));
        }
        found.sort_by_key(|(slot, snapshot)| (std::cmp::Reverse(snapshot.mark().lsn), *slot));
        Ok(found)
    }

    /// Damage is noted and passed over: that is what the other one is for.
    fn noted<T>(&mut self, result: Result<T, SnapshotError>) -> Result<Option<T>, WalError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(SnapshotError::Io(e)) => Err(e.into()),
            Err(damage) => {
                self.recovery.snapshot_damage.push(damage.to_string());
                Ok(None)
            }
        }
    }

    fn start_over(&mut self) {
        self.index = Index::new(self.hash_seed, Arc::clone(&self.clock), self.view_budget_bytes);
    }

    fn fill(&mut self, slot: usize, snapshot: SnapshotFile) -> Result<Mark, SnapshotError> {
        self.start_over();
        let (index, token, budget_bytes) = (&self.index, &mut self.token, self.memory_budget_bytes);
        let (mut count, mut last_us) = (0, 0);
        snapshot.for_each(&mut |row: &Row<'_>| {
            take(index, token, &row.frame, row.pos, budget_bytes);
            count += 1;
            last_us = row.frame.time_us.max(last_us);
        })?;
        self.last_us = last_us;
        let mark = snapshot.mark();
        (self.recovery.snapshot_lsn, self.recovery.snapshot_row_count) = (mark.lsn, count);
        self.chosen = Some((slot, Arc::new(snapshot)));
        Ok(mark)
    }
}

impl Replay for Loader {
    fn begin(&mut self, store_id: &[u8; 16], log_start: Pos) -> Result<Mark, WalError> {
        self.store_id = *store_id;
        for (slot, snapshot) in self.candidates(*store_id)? {
            if snapshot.mark().pos < log_start {
                let what = "what it has ends before the log begins".to_owned();
                self.noted::<()>(Err(SnapshotError::Damaged { file: snapshot.path(), what }))?;
                continue;
            }
            let filled = self.fill(slot, snapshot);
            if let Some(mark) = self.noted(filled)? {
                return Ok(mark);
            }
        }
        self.start_over();
        if log_start == Mark::START.pos {
            return Ok(Mark::START);
        }
        let what = match &self.recovery.snapshot_damage[..] {
            [] => "the snapshots are missing, and the log before them is gone".to_owned(),
            damage => format!("no snapshot holds, and the log before them is gone: {}", damage.join("; ")),
        };
        Err(Damage::new(&self.disk.path_of(SNAPSHOT_DIR), 0, 0, what).into())
    }

    fn apply(&mut self, frame: &Frame<'_>, pos: Pos) {
        self.last_us = frame.time_us;
        take(&self.index, &mut self.token, frame, pos, self.memory_budget_bytes);
    }
}

/// Applies a committed record to the index, without its value once the budget is used up.
fn take(index: &Index, token: &mut WriteToken, frame: &Frame<'_>, pos: Pos, budget_bytes: usize) {
    if !frame.kind.changes_entries() {
        return;
    }
    let map = index.scope(frame.scope());
    if frame.kind == Kind::Clear {
        drop(map.apply_clear(token, frame.lsn, pos));
        if map.is_worth_freeing() {
            for key in map.hidden_keys() {
                map.free_hidden(token, &key);
            }
        }
        return;
    }
    let expires = frame.fields.expires_us.is_some();
    let meta = Meta::new((frame.lsn, pos), frame.time_us, frame.key().len(), frame.kind, frame.class, expires);
    if frame.lsn <= map.cleared().0 {
        // In a snapshot the clear comes first, and what it removed is still there for the sake of histories.
        map.put_hidden(token, meta, frame.key());
    } else if frame.kind == Kind::Set && index.resident_bytes() >= budget_bytes {
        map.locate(frame.key()).apply(token, meta.cold(), &frame.entry_bytes()[frame.value().len()..]);
    } else {
        map.locate(frame.key()).apply(token, meta, frame.entry_bytes());
    }
}

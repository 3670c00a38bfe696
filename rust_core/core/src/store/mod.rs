//! The store: scoped keys over the log and the index. What the binding calls.

mod batch;
mod checkpoint;
mod commit;
mod history;
mod import;
mod keeper;
mod load;
mod look;
mod replica;
mod salvage;
mod verify;

use crate::checkpoint::SnapshotError;
use crate::env::{Env, IoError};
use crate::error::Coded;
use crate::index::{Entry, Index, ScopeMap};
use crate::record::Lsn;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::wal::{Damage, RecoveryReport, Refused, Retention, Wal, WalError, WalOptions, WalStats};

pub use batch::{Batch, Op};
pub use checkpoint::Checkpoint;
pub use commit::Removed;
pub use history::{Change, Changes};
pub use salvage::Salvaged;
pub use verify::Verified;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The log said no.
    #[error("{0}")]
    Wal(#[from] WalError),
    /// The entry moved on. Nothing was written.
    #[error("expected version {expected}, found {current}")]
    Conflict {
        /// What the caller expected; 0 = no live value.
        expected: Lsn,
        /// What is there; 0 = no live value.
        current: Lsn,
        /// Which operation of a batch it was.
        index: usize,
    },
    /// No room just now. Call [`Store::make_room`] where waiting is fine, then try again.
    #[error("busy")]
    Busy,
    /// Larger than the ring takes. Call the waiting form of the same operation.
    #[error("larger than the ring takes")]
    TooBig,
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Wal(e) => e.code(),
            Self::Conflict { .. } => "cas.version_mismatch",
            Self::Busy | Self::TooBig => "store.busy",
        }
    }
}

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => Self::Busy,
            Refused::TooBig => Self::TooBig,
            Refused::Failed(e) => Self::Wal(e),
        }
    }
}

impl From<SnapshotError> for StoreError {
    fn from(error: SnapshotError) -> Self {
        Self::Wal(match error {
            SnapshotError::Io(e) => e.into(),
            SnapshotError::Damaged { file, what } => Damage::new(&file, 0, 0, what).into(),
        })
    }
}

/// How a store is set up.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// The log.
    pub wal: WalOptions,
    /// How much of the log is kept for histories.
    pub keep: Retention,
    /// A checkpoint is due when the log has grown by this much, or by half a snapshot if that is more.
    pub checkpoint_log_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { wal: WalOptions::default(), keep: Retention::default(), checkpoint_log_bytes: 16 << 20 }
    }
}

impl From<WalOptions> for StoreOptions {
    fn from(wal: WalOptions) -> Self {
        Self { wal, ..Self::default() }
    }
}

/// An open store. Shared by all threads of a process.
pub struct Store {
    wal: Arc<Wal>,
    index: Index,
    closed: AtomicBool,
    recovery: Recovery,
    keeper: Arc<keeper::Keeper>,
    /// What it looks at, when it is read-only.
    looks_at: Option<Env>,
    /// What was found wrong with it, when it was opened all the same.
    damages: Vec<Damage>,
}

/// What an opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// In the log.
    pub log: RecoveryReport,
    /// The version of the snapshot that the index was filled from; 0 when it was the log alone.
    pub snapshot_lsn: Lsn,
    /// Rows read from it.
    pub snapshot_row_count: u64,
    /// Whether another opener had the directory while a read-only one read it.
    pub live: bool,
    /// Snapshots that did not hold; the next checkpoint makes them anew.
    pub snapshot_damage: Vec<String>,
}

impl Store {
    /// Opens the store of an environment, making it when there is none.
    ///
    /// # Errors
    /// See [`Wal::open`].
    pub fn open(env: Env, options: impl Into<StoreOptions>) -> Result<Self, StoreError> {
        let options = options.into();
        Self::opened(&env, &options, |loader| Wal::open(env.clone(), options.wal, loader))
    }

    fn opened(
        env: &Env,
        options: &StoreOptions,
        open: impl FnOnce(&mut load::Loader) -> Result<(Arc<Wal>, RecoveryReport), WalError>,
    ) -> Result<Self, StoreError> {
        let random = env.disk.unique_id().map_err(WalError::from)?;
        let mut loader = load::Loader::new(env, crate::checksum::xxh3_64(&random));
        let (wal, log) = open(&mut loader)?;
        let (index, snapshots, recovery) = loader.done(log);
        let checkpointer = checkpoint::Checkpointer::new(&wal, options, snapshots);
        let refused = |source| IoError { op: "start a thread for", path: wal.env().disk.path_of(""), source };
        let keeper = keeper::Keeper::start(&wal, checkpointer).map_err(|e| WalError::from(refused(e)))?;
        Ok(Self { wal, index, closed: AtomicBool::new(false), recovery, keeper, looks_at: None, damages: Vec::new() })
    }

    /// What the opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Refuses when the store was closed, or opened by the parent of this process.
    ///
    /// # Errors
    /// [`WalError::Closed`], [`WalError::Forked`].
    #[inline]
    pub fn check(&self) -> Result<(), StoreError> {
        if self.wal.is_forked() {
            return Err(WalError::Forked.into());
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(WalError::Closed.into());
        }
        Ok(())
    }

    /// The map of a scope. Keep it: reads and writes through it skip the lookup.
    pub fn scope(&self, scope: &[u8]) -> Arc<ScopeMap> {
        self.index.scope(scope)
    }

    /// The map of a scope that was ever touched.
    pub fn find_scope(&self, scope: &[u8]) -> Option<Arc<ScopeMap>> {
        self.index.find(scope)
    }

    /// The encoded scopes that hold a live key, in order.
    pub fn live_scopes(&self) -> Vec<Arc<ScopeMap>> {
        let mut scopes = self.index.scopes();
        scopes.retain(|map| map.live_count() > 0);
        scopes
    }

    /// The live entries of a scope whose key starts with `prefix`, ordered by key.
    pub fn list(&self, map: &ScopeMap, prefix: &str) -> Vec<Entry> {
        map.list(prefix.as_bytes())
    }

    /// The log.
    pub fn wal(&self) -> &Arc<Wal> {
        &self.wal
    }

    /// Figures of the log, and how many live keys in how many scopes.
    pub fn stats(&self) -> (WalStats, usize, usize) {
        let scopes = self.live_scopes();
        (self.wal.stats(), scopes.iter().map(|map| map.live_count()).sum(), scopes.len())
    }

    /// Makes everything written so far durable, brings both snapshots up to it, and removes the log that is then not
    /// needed any more, as far as the retention allows. One at a time; others wait.
    ///
    /// # Errors
    /// The system's, or damage. What a snapshot had before it still has, and the log is kept back to it.
    ///
    /// # Cost
    /// Reads the log since the last checkpoint twice, and writes the last record of each changed key twice.
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.check()?;
        self.keeper.checkpointer.run()
    }

    /// How many checkpoints were made since opening, the version of the last one, and why the last attempt in the
    /// background failed.
    pub fn checkpoints(&self) -> (u64, Lsn, Option<String>) {
        let (count, lsn) = self.keeper.checkpointer.figures();
        (count, lsn, self.keeper.failure())
    }

    /// Waits until a refused commit of `bytes` may be tried again.
    ///
    /// # Errors
    /// The disk is full, or the store is closed or poisoned.
    pub fn make_room(&self, bytes: usize) -> Result<(), StoreError> {
        Ok(self.wal.make_room(bytes)?)
    }

    /// Makes everything written so far durable and gives the directory up. Closing twice is nothing.
    ///
    /// # Errors
    /// Something could not be made durable.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut thread_was_well = true;
        if !self.wal.is_forked() {
            self.closed.store(true, Ordering::Release);
            thread_was_well = self.keeper.stop();
        }
        self.wal.close()?;
        if thread_was_well { Ok(()) } else { Err(WalError::Poisoned("the checkpoint thread panicked".into()).into()) }
    }
}

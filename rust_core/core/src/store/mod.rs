//! The store: scoped keys over the log and the index. What the binding calls.

mod batch;
mod checkpoint;
mod cold;
mod commit;
mod event;
mod expire;
mod history;
mod import;
mod keeper;
mod load;
mod look;
mod options;
mod pins;
mod read_view;
mod reaper;
mod replica;
mod salvage;
mod verify;

use crate::checkpoint::SnapshotError;
use crate::env::{Env, ExpiryClock, IoError};
use crate::error::Coded;
use crate::index::{Ending, Entry, Index, ScopeMap};
use crate::limits::READ_VIEWS_MAX;
use crate::record::Lsn;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::wal::{Damage, RecoveryReport, Refused, Wal, WalError, WalStats};

pub use batch::{Batch, Op};
pub use checkpoint::Checkpoint;
pub use cold::Pin;
pub use commit::Removed;
pub use history::{Change, Changes};
pub use options::StoreOptions;
pub use read_view::ReadView;
use reaper::Reaper;
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
    /// A sealed value would have been replaced by one that is not, and nobody asked for that. Nothing was written.
    #[error(
        "the value there is sealed; say state_class=StateClass.SENSITIVE, or the class that it is to have from now on"
    )]
    Sealed,
    /// No room just now. Call [`Store::make_room`] where waiting is fine, then try again.
    #[error("busy")]
    Busy,
    /// Larger than the ring takes. Call the waiting form of the same operation.
    #[error("larger than the ring takes")]
    TooBig,
    /// The read view shows nothing any more.
    #[error("{}", ended(*.0))]
    ViewEnded(Ending),
    /// There is no place for another read view.
    #[error("there are {READ_VIEWS_MAX} read views already; close those that are done")]
    TooManyViews,
}

fn ended(why: Ending) -> &'static str {
    match why {
        Ending::Closed => "the read view was closed; take another for more reads",
        Ending::Budget => {
            "too much was replaced while the read view lasted; take another and read faster, or raise view_budget_bytes"
        }
        Ending::Age => "the read view is older than its max_age_s; take another for more reads",
        Ending::StoreClosed => "the store was closed, and its read views with it; open it again",
    }
}

impl Coded for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Wal(e) => e.code(),
            Self::Conflict { .. } => "cas.version_mismatch",
            Self::Sealed => "seal.class",
            Self::Busy | Self::TooBig => "store.busy",
            Self::ViewEnded(_) => "view.ended",
            Self::TooManyViews => "view.count",
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
            SnapshotError::Stopped => WalError::Closed,
        })
    }
}

/// An open store. Shared by all threads of a process.
pub struct Store {
    wal: Arc<Wal>,
    index: Arc<Index>,
    reaper: Arc<Reaper>,
    closed: AtomicBool,
    recovery: Recovery,
    keeper: Arc<keeper::Keeper>,
    memory_budget_bytes: Option<u64>,
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
        let clock = Arc::new(ExpiryClock::new(Arc::clone(&env.clock)));
        let mut loader = load::Loader::new(env, options, crate::checksum::xxh3_64(&random), Arc::clone(&clock));
        let (wal, log) = open(&mut loader)?;
        // The wall clock may have been set back since: what had expired by then stays so.
        clock.raise(loader.last_us());
        let (index, snapshots, recovery) = loader.done(log);
        let index = Arc::new(index);
        // What does not outlive the process cannot be read back.
        let memory_budget_bytes = options.memory_budget_bytes.filter(|_| env.lasting);
        let checkpointer = checkpoint::Checkpointer::new(&wal, options, snapshots);
        let refused = |source| IoError { op: "start a thread for", path: wal.env().disk.path_of(""), source };
        let keeper = keeper::Keeper::start(&wal, &index, memory_budget_bytes, checkpointer)
            .map_err(|e| WalError::from(refused(e)))?;
        let reaper = Reaper::new(&wal, &index);
        reaper.note();
        Ok(Self {
            wal,
            index,
            reaper,
            closed: AtomicBool::new(false),
            recovery,
            keeper,
            memory_budget_bytes,
            looks_at: None,
            damages: Vec::new(),
        })
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
    /// Reads the log since the last checkpoint, and writes the last record of each changed key twice; of every key, when half
    /// as much was added as a snapshot had. When some of the log can go, reads both snapshots back first.
    pub fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.check()?;
        self.keeper.checkpoint()
    }

    /// How many checkpoints were made since opening, the version of the last one, and why the last attempt in the
    /// background failed.
    pub fn checkpoints(&self) -> (u64, Lsn, Option<String>) {
        let (count, lsn) = self.keeper.checkpointer.figures();
        (count, lsn, self.keeper.failure())
    }

    /// Lets no checkpoint let go of anything of the log that comes behind `version`, until it is called again: None ends it.
    /// What was let go before stays gone: begin to read, then look.
    pub fn hold_log(&self, version: Option<Lsn>) {
        self.keeper.checkpointer.pins.hold(version);
    }

    /// What [`Store::hold_log`] said last.
    pub fn held_lsn(&self) -> Option<Lsn> {
        self.keeper.checkpointer.pins.held_lsn()
    }

    /// How many read views there are, and the bytes retained for them.
    pub fn view_figures(&self) -> (usize, usize) {
        self.index.undo().figures()
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
        let mut threads_were_well = true;
        if !self.wal.is_forked() {
            self.closed.store(true, Ordering::Release);
            self.wal.end_waits();
            self.index.undo().end_all();
            threads_were_well = self.reaper.stop() & self.keeper.stop();
        }
        self.wal.close()?;
        if threads_were_well { Ok(()) } else { Err(WalError::Poisoned("a background thread panicked".into()).into()) }
    }
}

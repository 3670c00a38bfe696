//! The thread that makes checkpoints when the log has grown, and lets values leave memory when they have. It sleeps without
//! a timer while they do not.

use super::StoreError;
use super::checkpoint::{Checkpoint, Checkpointer};
use super::cold::evict;
use crate::env::thread::{Background, park, park_ms};
use crate::index::Index;
use crate::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, Weak};
use crate::wal::{Wal, WalError};

/// How long after a failure (a full disk) it tries again.
const RETRY_MS: u64 = 5000;

/// The thread's owner: the store, alone. The thread holds it weakly, so that a dropped store ends it.
pub(super) struct Keeper {
    wal: Arc<Wal>,
    index: Arc<Index>,
    memory_budget_bytes: Option<u64>,
    pub(super) checkpointer: Checkpointer,
    thread: Mutex<Option<Background>>,
    stop: AtomicBool,
    /// Why the last attempt failed; None since it has worked.
    failure: Mutex<Option<String>>,
}

impl Keeper {
    /// Starts the thread, where the environment has threads.
    ///
    /// # Errors
    /// When the system refuses another thread.
    pub(super) fn start(
        wal: &Arc<Wal>,
        index: &Arc<Index>,
        memory_budget_bytes: Option<u64>,
        checkpointer: Checkpointer,
    ) -> std::io::Result<Arc<Self>> {
        let keeper = Arc::new(Self {
            wal: Arc::clone(wal),
            index: Arc::clone(index),
            memory_budget_bytes,
            checkpointer,
            thread: Mutex::default(),
            stop: AtomicBool::new(false),
            failure: Mutex::default(),
        });
        if wal.env().threads {
            let weak = Arc::downgrade(&keeper);
            let thread = Background::start("spellkeep-checkpoint", move || run(&weak))?;
            wal.set_growth_alarm(thread.alarm());
            index.set_memory_alarm(thread.alarm());
            *held(&keeper.thread) = Some(thread);
        }
        Ok(keeper)
    }

    /// Ends the thread and waits for it. False when it had panicked.
    pub(super) fn stop(&self) -> bool {
        self.stop.store(true, Ordering::Release);
        self.checkpointer.close();
        let thread = held(&self.thread).take();
        thread.is_none_or(Background::join)
    }

    /// Why the last attempt failed; None since it has worked.
    pub(super) fn failure(&self) -> Option<String> {
        held(&self.failure).clone()
    }

    /// See [`super::Store::checkpoint`]. What works, whoever asked for it, takes back the last failure.
    pub(super) fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let done = self.checkpointer.run()?;
        *held(&self.failure) = None;
        Ok(done)
    }

    /// Makes a checkpoint when one is due; how long to sleep then, in milliseconds. None: until rung.
    fn turn(&self) -> Option<u64> {
        if let Some(budget_bytes) = self.memory_budget_bytes
            && let Err(e) = evict(&self.wal, &self.index, budget_bytes)
        {
            return self.failed(e.into());
        }
        let due = self.checkpointer.due();
        if self.wal.end() < due {
            self.wal.ring_at(due);
            // What was appended in between has not rung.
            return if self.wal.end() < due { None } else { Some(0) };
        }
        match self.checkpoint() {
            Ok(_) => Some(0),
            Err(e) => self.failed(e),
        }
    }

    /// How long to sleep after a failure.
    fn failed(&self, error: StoreError) -> Option<u64> {
        if matches!(error, StoreError::Wal(WalError::Closed | WalError::Forked | WalError::Poisoned(_))) {
            // Every caller is told so; there is nothing more to do.
            return None;
        }
        *held(&self.failure) = Some(error.to_string());
        Some(RETRY_MS)
    }
}

impl Drop for Keeper {
    /// The thread ends when it finds nobody to work for.
    fn drop(&mut self) {
        self.wal.ring_growth_alarm();
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn run(weak: &Weak<Keeper>) {
    loop {
        let Some(keeper) = weak.upgrade() else { return };
        if keeper.stop.load(Ordering::Acquire) || keeper.wal.is_forked() {
            return;
        }
        let sleep_ms = keeper.turn();
        drop(keeper);
        match sleep_ms {
            Some(0) => {}
            Some(sleep_ms) => park_ms(sleep_ms),
            None => park(),
        }
    }
}

//! What goes wrong in the log, and what a caller can do about it.

use crate::env::{IoError, LockFailed, fork};
use crate::error::Coded;
use crate::record::Lsn;
use crate::sync::Arc;

/// Stored bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file}: {what} at byte {offset}; whole up to version {last_good_lsn}{}. Keep a copy of the directory. \
     `spellkeep verify` lists all that is wrong, and without a backup `spellkeep salvage` writes what is whole into a new \
     store; open(path, read_only=True, allow_damage=True) shows it", again(.next_good_lsn)
)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The last version before it.
    pub last_good_lsn: Lsn,
    /// The first version behind it that is whole; 0 when that is not known.
    pub next_good_lsn: Lsn,
    /// Bytes that do not hold; 0 when that is not known.
    pub len_bytes: u64,
    /// What is wrong, in a few words.
    pub what: String,
}

fn again(next_good_lsn: &Lsn) -> String {
    if *next_good_lsn == 0 { String::new() } else { format!(" and again from {next_good_lsn} on") }
}

impl Damage {
    /// Describes damage.
    pub fn new(file: &str, offset: u64, last_good_lsn: Lsn, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), offset, last_good_lsn, next_good_lsn: 0, len_bytes: 0, what: what.into() }
    }
}

/// Everything that the log can answer instead of a result.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The system refused; nothing that was acknowledged is affected.
    #[error("{0}")]
    Io(#[from] IoError),
    /// Stored bytes are not what was written.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// An earlier failure means that nothing more may be acknowledged.
    #[error("an earlier write failed, so nothing more is acknowledged: {0}. Close and reopen the store")]
    Poisoned(Arc<str>),
    /// The store was opened for looking only.
    #[error(
        "the store is open read-only: nothing is written to it. Open it without read_only=True where it may be written"
    )]
    ReadOnly,
    /// There is no store where one was to be looked at.
    #[error("there is no store in {path}, and one that is read-only is not made; open it without read_only=True first")]
    Missing {
        /// The directory.
        path: String,
    },
    /// The store was closed.
    #[error("the store is closed; open it again")]
    Closed,
    /// The store was opened by the parent of this process.
    #[error("this process was forked from the one that opened the store; open it again here")]
    Forked,
    /// Somebody else has the directory.
    #[error("{path} is open in {}; close it there first", owner(.pid))]
    Locked {
        /// The directory.
        path: String,
        /// The owner's process id, when it is known.
        pid: Option<u32>,
    },
    /// What was asked for is no longer in the log.
    #[error("the log begins with version {first_lsn} now: what came before was let go. Keep more with keep_log_bytes")]
    Trimmed {
        /// The first version that is still there.
        first_lsn: Lsn,
    },
    /// An option is out of range.
    #[error("{0}")]
    BadOption(String),
    /// The directory holds something that is not a store of this version.
    #[error("{0}")]
    NotAStore(String),
}

fn owner(pid: &Option<u32>) -> String {
    match pid {
        Some(pid) if *pid == fork::pid() => format!("this very process (pid {pid})"),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

impl From<Damage> for WalError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

impl WalError {
    /// The lock's refusal, for the directory `path`.
    pub fn from_lock(path: String, refused: LockFailed) -> Self {
        match refused {
            LockFailed::Held(pid) => Self::Locked { path, pid },
            LockFailed::Io(e) => Self::Io(e),
        }
    }

    /// Whether the reason is a full disk, quota or file-size limit: nothing broke, and space may come back.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Io(e) if e.source.raw_os_error().is_some_and(no_space))
    }

    /// Whether the reason is that a file is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(e) if e.source.kind() == std::io::ErrorKind::NotFound)
    }
}

fn no_space(errno: i32) -> bool {
    matches!(errno, libc::ENOSPC | libc::EDQUOT | libc::EFBIG)
}

impl Coded for WalError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(_) if self.is_full() => "storage.full",
            Self::Io(e) => match e.source.raw_os_error() {
                Some(libc::EROFS | libc::EACCES | libc::EPERM) => "storage.read_only",
                Some(libc::ENOTDIR | libc::EEXIST) => "storage.not_a_directory",
                _ => "storage.io",
            },
            Self::Damaged(_) => "log.damaged",
            Self::Poisoned(_) => "store.poisoned",
            Self::ReadOnly => "store.read_only",
            Self::Missing { .. } => "store.missing",
            Self::Closed => "store.closed",
            Self::Forked => "store.forked",
            Self::Locked { .. } => "store.locked",
            Self::Trimmed { .. } => "log.trimmed",
            Self::BadOption(_) => "store.option",
            Self::NotAStore(_) => "log.not_a_store",
        }
    }
}

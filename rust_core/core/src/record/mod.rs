//! One record of the log: what a frame holds, how a draft becomes one, how stored bytes are believed.
//!
//! Every byte is described in `docs/format.md`, Frame.

mod draft;
mod fields;
mod frame;
pub mod le;
mod mark;
mod origin;

pub use draft::{Draft, Seal};
pub use fields::{EXPIRY_FIELD_BYTES, Fields};
pub use frame::{
    FLAG_BATCH, FLAG_BATCH_LAST, FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, Fault, Frame, KEY_LEN_MAX, frame_len,
};
pub use mark::{MARK_BYTES, Mark, follows};
pub use origin::{Origin, OriginBuf, OriginError};

/// A version: the position of a record in the order of all records. The first is 1; 0 means "none".
pub type Lsn = u64;

/// A byte position in the log's stream, over all segments. The first frame stands at [`LOG_START`]; 0 means "none".
pub type Pos = u64;

/// Where the stream begins: so that position 0 can mean "none".
pub const LOG_START: Pos = 64;

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Stores a value under a key.
    Set = 1,
    /// Removes a key: a tombstone.
    Delete = 2,
    /// Removes every key of a scope.
    Clear = 3,
    /// Removes a key whose time was over: a tombstone.
    Expire = 4,
    /// Leaves out the versions before its own: a power loss may have taken them, and none is given twice.
    Skip = 5,
    /// Says that something happened. Nothing that is stored changes, so the index and snapshots pass it over.
    Event = 6,
}

impl Kind {
    /// What a change of this kind is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Delete => "delete",
            Self::Clear => "clear",
            Self::Expire => "expire",
            Self::Skip => "skip",
            Self::Event => "event",
        }
    }

    /// The kind with this number in a frame.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Set),
            2 => Some(Self::Delete),
            3 => Some(Self::Clear),
            4 => Some(Self::Expire),
            5 => Some(Self::Skip),
            6 => Some(Self::Event),
            _ => None,
        }
    }

    /// Whether it changes what is stored under a key.
    #[inline]
    pub fn changes_entries(self) -> bool {
        !matches!(self, Self::Skip | Self::Event)
    }

    /// Whether it has a value.
    #[inline]
    pub fn has_value(self) -> bool {
        matches!(self, Self::Set | Self::Event)
    }
}

/// How a value is treated. Stored with the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StateClass {
    /// From the program itself: only depth and total size are limited.
    Trusted = 1,
    /// The default: all limits.
    #[default]
    Standard = 2,
    /// Sealed before it reaches the store, and shown to nobody but who reads it.
    Sensitive = 3,
    /// From outside: strict limits, and what looks like a secret is not kept.
    External = 4,
}

impl StateClass {
    /// The class with this number in a frame.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Trusted),
            2 => Some(Self::Standard),
            3 => Some(Self::Sensitive),
            4 => Some(Self::External),
            _ => None,
        }
    }
}

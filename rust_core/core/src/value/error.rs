//! Why a value cannot be kept, or its bytes not be read.

use crate::error::Coded;

/// Everything that can be wrong with one value. Limits come with the number that was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// More container levels than allowed.
    #[error("nested deeper than {max} levels: raise depth_max (at most {ceiling}) or flatten it", ceiling = crate::limits::DEPTH_CEILING)]
    Depth {
        /// The configured number of levels.
        max: u32,
    },
    /// More items over all containers than allowed.
    #[error("more than {max} items in all: raise items_max or split the value over several keys")]
    Items {
        /// The configured number of items.
        max: u64,
    },
    /// A string or binary longer than allowed.
    #[error("a string or binary of {len_bytes} bytes: raise string_bytes_max (now {max_bytes}) or split it")]
    StringBytes {
        /// How long it is.
        len_bytes: usize,
        /// How long it may be.
        max_bytes: usize,
    },
    /// The whole encoding is longer than allowed.
    #[error("more than {max_bytes} bytes encoded: raise value_bytes_max or split the value over several keys")]
    TotalBytes {
        /// How long it may be.
        max_bytes: usize,
    },
    /// A container that contains itself.
    #[error("a container that contains itself cannot be kept: store an id in place of the back reference")]
    Cycle,
    /// A container whose size changed while it was walked.
    #[error(
        "changed size while it was being kept: do not change a value from another thread or from a registered encode"
    )]
    Changed,
    /// A tag that is empty or too long.
    #[error("a tag of {len_bytes} bytes: tags have 1 to {max} UTF-8 bytes", max = crate::limits::TAG_BYTES_MAX)]
    Tag {
        /// How long it is.
        len_bytes: usize,
    },
    /// Bytes of a format version that this code does not know.
    #[error("written in value format {found}, newer than this version of spellkeep reads: upgrade spellkeep")]
    FormatVersion {
        /// The version byte.
        found: u8,
    },
    /// Bytes that no encoder wrote.
    #[error("{reason} at byte {offset} of the value")]
    Malformed {
        /// Where, counted from the first byte of the value.
        offset: usize,
        /// What is wrong there.
        reason: &'static str,
    },
}

impl Coded for ValueError {
    fn code(&self) -> &'static str {
        match self {
            Self::Depth { .. } => "value.depth",
            Self::Items { .. } => "value.items",
            Self::StringBytes { .. } => "value.string_bytes",
            Self::TotalBytes { .. } => "value.total_bytes",
            Self::Cycle => "value.cycle",
            Self::Changed => "value.changed",
            Self::Tag { .. } => "value.tag",
            Self::FormatVersion { .. } => "value.format_version",
            Self::Malformed { .. } => "value.malformed",
        }
    }
}

impl ValueError {
    /// Whether a configured limit was exceeded, as against a value that can never be kept.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Depth { .. } | Self::Items { .. } | Self::StringBytes { .. } | Self::TotalBytes { .. })
    }

    /// Whether stored bytes are at fault, as against the value that a caller wants to keep.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::FormatVersion { .. } | Self::Malformed { .. })
    }
}

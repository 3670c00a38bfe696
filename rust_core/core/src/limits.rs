//! Every limit of the core, in one place, with its default. All are configurable when a store is opened.

/// Longest scope id, in UTF-8 bytes.
pub const SCOPE_ID_BYTES_MAX: usize = 256;
/// Longest key, in UTF-8 bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// Ceiling for [`ValueLimits::depth_max`]: encoder and decoder recurse once per level, so the stack bounds it.
pub const DEPTH_CEILING: u32 = 512;
/// Ceiling for [`ValueLimits::value_bytes_max`]: a frame's length is a `u32`.
pub const VALUE_BYTES_CEILING: usize = 1 << 30;

/// Longest correlation id, and longest name of a tag of a record, in UTF-8 bytes.
pub const CORRELATION_BYTES_MAX: usize = 128;
/// Longest name of an actor, in UTF-8 bytes.
pub const ACTOR_BYTES_MAX: usize = 128;
/// Most bytes of the tags of a record, with one between each two.
pub const TAGS_BYTES_MAX: usize = 255;

/// Longest tag of a registered class, in UTF-8 bytes.
pub const TAG_BYTES_MAX: usize = 256;

/// Containers whose items take at least this many bytes are in the footer of their value. Part of the format: another
/// number is another version.
pub const FOOTER_BYTES_MIN: usize = 1024;
/// Of a longer list the footer says where every so-manieth item is; a longer map has a table of its keys. Part of the format.
pub const FOOTER_STRIDE: usize = 16;

/// Longest time to live, in seconds: a hundred years of 365.25 days.
pub const TTL_S_MAX: f64 = 3_155_760_000.0;

/// Most read views at a time.
pub const READ_VIEWS_MAX: usize = 1024;
/// Default for how many bytes of replaced entries are retained for read views.
pub const VIEW_BUDGET_BYTES: usize = 64 << 20;
/// Range of that budget.
pub const VIEW_BUDGET_BYTES_RANGE: std::ops::RangeInclusive<usize> = 65_536..=1 << 40;

/// By how much the log may be asked to grow between two checkpoints.
pub const CHECKPOINT_LOG_BYTES_RANGE: std::ops::RangeInclusive<u64> = 65_536..=1 << 40;

/// Most operations of one batch.
pub const BATCH_OPS_MAX: usize = 100_000;
/// Most frame bytes of one batch.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// Files of sealed segments that an open log keeps open, those that were read last. It opens others when they are read.
pub const SEALED_OPEN_MAX: usize = 4;

/// Longest time that a log may be asked to be kept, in days.
pub const KEEP_DAYS_MAX: f64 = 36_525.0;

/// What one value may be. Checked during the single walk; nothing is written when one is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimits {
    /// Nesting levels of containers; a scalar has depth 0, `[]` depth 1. At most [`DEPTH_CEILING`].
    pub depth_max: u32,
    /// Items over all containers of one value (a map entry counts once).
    pub items_max: u64,
    /// UTF-8 bytes of one string, or bytes of one binary.
    pub string_bytes_max: usize,
    /// Encoded bytes of the whole value. At most [`VALUE_BYTES_CEILING`].
    pub value_bytes_max: usize,
}

impl ValueLimits {
    /// What a value from outside may be at most, whatever else may be.
    #[must_use]
    pub fn for_external(&self) -> Self {
        Self {
            depth_max: self.depth_max.min(32),
            items_max: self.items_max.min(100_000),
            string_bytes_max: self.string_bytes_max.min(1 << 20),
            value_bytes_max: self.value_bytes_max.min(4 << 20),
        }
    }
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self { depth_max: 128, items_max: 1_000_000, string_bytes_max: 16 << 20, value_bytes_max: 64 << 20 }
    }
}

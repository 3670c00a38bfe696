//! What every error of every room has in common: a stable slug that programs can match on.

/// An error with a stable code such as `key.too_long`. A slug never changes its meaning; new ones may appear.
pub trait Coded: std::error::Error {
    /// The slug: `room.reason`, lower case, underscores.
    fn code(&self) -> &'static str;
}

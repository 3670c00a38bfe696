//! What is wrong with a key or a scope, in words that say which character and where.
use super::ScopeKind;
use crate::error::Coded;
use crate::limits::{KEY_BYTES_MAX, SCOPE_ID_BYTES_MAX};

/// A key or scope that breaks a rule of naming. Indexes count characters from 0, as Python's `key[index]` does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum KeyError {
    #[error("the key is empty: use 1 to {KEY_BYTES_MAX} UTF-8 bytes")]
    Empty,
    #[error("the key has {len_bytes} UTF-8 bytes: at most {KEY_BYTES_MAX} are allowed")]
    TooLong { len_bytes: usize },
    #[error(
        "the key is not in Unicode form NFC: keys are never rewritten, so pass {nfc:?}, which differs from index {index}"
    )]
    NotNfc { nfc: Box<str>, index: usize },
    #[error("the key has the control character U+{:04X} at index {index}: remove it", *.character as u32)]
    ControlCharacter { character: char, index: usize },
    #[error("the key has the invisible format character U+{:04X} at index {index}: remove it", *.character as u32)]
    FormatCharacter { character: char, index: usize },
    #[error("the key has '..' at index {index}: a key never climbs, so use a single dot or another separator")]
    DotDot { index: usize },
    #[error("the key has '//' at index {index}: parts between slashes must not be empty")]
    DoubleSlash { index: usize },
    #[error("the key has a backslash at index {index}: use '/' to separate parts")]
    Backslash { index: usize },
    #[error("an id of {} is empty: use 1 to {SCOPE_ID_BYTES_MAX} UTF-8 bytes", .kind.shape())]
    ScopeIdEmpty { kind: ScopeKind },
    #[error("an id of {} has {len_bytes} UTF-8 bytes: at most {SCOPE_ID_BYTES_MAX} are allowed", .kind.shape())]
    ScopeIdTooLong { kind: ScopeKind, len_bytes: usize },
    #[error("not a scope: {detail}")]
    ScopeMalformed { detail: Box<str> },
}

impl KeyError {
    pub(super) fn malformed(detail: impl Into<Box<str>>) -> Self {
        Self::ScopeMalformed { detail: detail.into() }
    }
}

impl Coded for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty => "key.empty",
            Self::TooLong { .. } => "key.too_long",
            Self::NotNfc { .. } => "key.not_nfc",
            Self::ControlCharacter { .. } => "key.control_character",
            Self::FormatCharacter { .. } => "key.format_character",
            Self::DotDot { .. } => "key.dot_dot",
            Self::DoubleSlash { .. } => "key.double_slash",
            Self::Backslash { .. } => "key.backslash",
            Self::ScopeIdEmpty { .. } => "scope.empty_id",
            Self::ScopeIdTooLong { .. } => "scope.id_too_long",
            Self::ScopeMalformed { .. } => "scope.malformed",
        }
    }
}

//! Where an entry lives: a [`Scope`] (whose state it is) and a key (which entry of it).
//!
//! Two forms, both injective: [`Scope::encode`] for the log and the index, [`Scope`]'s `Display` for people. Nothing is
//! ever joined, so agent `a` key `b:c` and agent `a:b` key `c` are two places in both forms.
mod encoding;
mod error;
mod key;
mod kind;
mod text;

pub use encoding::encode_scope;
pub use error::KeyError;
pub use key::check_key;
pub use kind::ScopeKind;

#[cfg(test)]
mod tests;

/// Whose state an entry is: a kind and the ids that kind asks for. Always valid: every constructor checks.
///
/// Ordered as its encoding is: by kind, then id by id, each by its UTF-8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    kind: ScopeKind,
    ids: Box<[Box<str>]>,
}

impl Scope {
    /// The scope of `kind` with `ids`.
    ///
    /// # Errors
    /// `scope.malformed` for another number of ids than [`ScopeKind::id_count`], `scope.empty_id`, `scope.id_too_long`.
    pub fn new(kind: ScopeKind, ids: &[&str]) -> Result<Self, KeyError> {
        check_ids(kind, ids)?;
        Ok(Self { kind, ids: ids.iter().map(|id| Box::from(*id)).collect() })
    }

    /// The one scope without ids.
    #[must_use]
    pub fn global() -> Self {
        Self { kind: ScopeKind::Global, ids: Box::default() }
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ScopeKind {
        self.kind
    }

    /// The ids, outermost first.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ids.iter().map(AsRef::as_ref)
    }
}

/// The rules of scope ids, checked by everything that makes a scope or its encoding.
fn check_ids(kind: ScopeKind, ids: &[&str]) -> Result<(), KeyError> {
    if ids.len() != kind.id_count() {
        return Err(KeyError::malformed(format!("expected {}, got {} ids", kind.shape(), ids.len())));
    }
    for id in ids {
        if id.is_empty() {
            return Err(KeyError::ScopeIdEmpty { kind });
        }
        if id.len() > crate::limits::SCOPE_ID_BYTES_MAX {
            return Err(KeyError::ScopeIdTooLong { kind, len_bytes: id.len() });
        }
    }
    Ok(())
}

//! Where a record comes from: the fields that say what caused it, for whom, and in which piece of work.
//!
//! They are made once for many records, and copied into each as they are. See `docs/format.md`, Fields.

use super::le::u64_at;
use super::{Fields, Lsn};
use crate::error::Coded;
use crate::limits::{ACTOR_BYTES_MAX, CORRELATION_BYTES_MAX, TAGS_BYTES_MAX};

const CAUSE: u8 = 2;
const CORRELATION: u8 = 3;
const ACTOR: u8 = 4;
const TAGS: u8 = 5;
/// Stands between the names of tags, and in none of them.
const BETWEEN: char = '\0';

/// Why a text does not go into a record. Indexes count characters from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum OriginError {
    #[error("{what} is empty: use 1 to {CORRELATION_BYTES_MAX} UTF-8 bytes, or leave it out")]
    Empty { what: &'static str },
    #[error("{what} has {len_bytes} UTF-8 bytes: at most {CORRELATION_BYTES_MAX} are allowed")]
    TooLong { what: &'static str, len_bytes: usize },
    #[error("{what} has the control character U+{:04X} at index {index}: remove it", *.character as u32)]
    ControlCharacter { what: &'static str, character: char, index: usize },
    #[error("the tags take {len_bytes} UTF-8 bytes together: at most {TAGS_BYTES_MAX} are allowed")]
    TagsTooLong { len_bytes: usize },
}

impl Coded for OriginError {
    fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "correlation.empty",
            Self::TooLong { .. } => "correlation.too_long",
            Self::ControlCharacter { .. } => "correlation.control_character",
            Self::TagsTooLong { .. } => "correlation.tags_too_long",
        }
    }
}

fn checked<'t>(what: &'static str, text: &'t str, bytes_max: usize) -> Result<&'t str, OriginError> {
    match text.len() {
        0 => return Err(OriginError::Empty { what }),
        len_bytes if len_bytes > bytes_max => return Err(OriginError::TooLong { what, len_bytes }),
        _ => {}
    }
    match text.chars().enumerate().find(|(_, character)| character.is_control()) {
        Some((index, character)) => Err(OriginError::ControlCharacter { what, character, index }),
        None => Ok(text),
    }
}

/// The fields of an origin as a record has them, behind its expiry. Nothing is said where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a>(&'a [u8]);

impl<'a> Origin<'a> {
    /// Of a record that says nothing of it.
    pub const NONE: Self = Self(&[]);

    /// Of the bytes of another one.
    pub(crate) fn of(fields: &'a [u8]) -> Self {
        Self(fields)
    }

    /// Of bytes that say where they come from and nothing else; None when they do not hold.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fields, end) = Fields::read(bytes)?;
        (fields.expires_us.is_none() && end == bytes.len()).then_some(fields.origin)
    }

    /// Whether nothing is said.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// As it stands in a record.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    fn field(&self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.0;
        while let [tag, len, behind @ ..] = rest {
            let (payload, others) = behind.split_at_checked(usize::from(*len))?;
            if *tag == wanted {
                return Some(payload);
            }
            rest = others;
        }
        None
    }

    fn text(&self, wanted: u8) -> Option<&'a str> {
        self.field(wanted).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The version of the record or event that caused it.
    pub fn cause(&self) -> Option<Lsn> {
        self.field(CAUSE).map(|bytes| u64_at(bytes, 0))
    }

    /// What the records of one piece of work share.
    pub fn correlation(&self) -> Option<&'a str> {
        self.text(CORRELATION)
    }

    /// Who asked for it.
    pub fn actor(&self) -> Option<&'a str> {
        self.text(ACTOR)
    }

    /// Names under which it can be found.
    pub fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text(TAGS).into_iter().flat_map(|names| names.split(BETWEEN))
    }

    /// The same, but for the cause.
    pub fn caused_by(&self, cause: Lsn) -> OriginBuf {
        let rest = if self.cause().is_some() { &self.0[10..] } else { self.0 };
        OriginBuf([&[CAUSE, 8], &cause.to_le_bytes()[..], rest].concat().into())
    }
}

/// Whether a field with this tag is one of an origin, and holds.
pub(super) fn believed(tag: u8, payload: &[u8]) -> bool {
    let is_text = |bytes_max| (1..=bytes_max).contains(&payload.len()) && std::str::from_utf8(payload).is_ok();
    match tag {
        CAUSE => payload.len() == 8,
        CORRELATION => is_text(CORRELATION_BYTES_MAX),
        ACTOR => is_text(ACTOR_BYTES_MAX),
        TAGS => is_text(TAGS_BYTES_MAX) && payload.split(|byte| *byte == 0).all(|name| !name.is_empty()),
        _ => false,
    }
}

/// An origin that was checked, to be copied into records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginBuf(Box<[u8]>);

impl OriginBuf {
    /// Of these parts, those that are there.
    ///
    /// # Errors
    /// [`OriginError`] names the part that breaks a rule.
    pub fn new(
        cause: Option<Lsn>,
        correlation: Option<&str>,
        actor: Option<&str>,
        tags: &[&str],
    ) -> Result<Self, OriginError> {
        let mut fields = Vec::new();
        let mut put = |tag: u8, payload: &[u8]| {
            fields.extend([tag, payload.len() as u8]);
            fields.extend(payload);
        };
        if let Some(cause) = cause {
            put(CAUSE, &cause.to_le_bytes());
        }
        if let Some(id) = correlation {
            put(CORRELATION, checked("the correlation id", id, CORRELATION_BYTES_MAX)?.as_bytes());
        }
        if let Some(actor) = actor {
            put(ACTOR, checked("the actor", actor, ACTOR_BYTES_MAX)?.as_bytes());
        }
        if !tags.is_empty() {
            tags.iter().try_for_each(|tag| checked("a tag", tag, CORRELATION_BYTES_MAX).map(drop))?;
            let names = tags.join("\0");
            if names.len() > TAGS_BYTES_MAX {
                return Err(OriginError::TagsTooLong { len_bytes: names.len() });
            }
            put(TAGS, names.as_bytes());
        }
        Ok(Self(fields.into()))
    }

    /// To be read, or given to a draft.
    #[inline]
    pub fn get(&self) -> Origin<'_> {
        Origin(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_gives_back_what_it_was_made_of() {
        let made = OriginBuf::new(Some(17), Some("req-42"), Some("anna"), &["billing", "größe"]).unwrap();
        let origin = made.get();
        assert_eq!((origin.cause(), origin.correlation(), origin.actor()), (Some(17), Some("req-42"), Some("anna")));
        assert_eq!(origin.tags().collect::<Vec<_>>(), ["billing", "größe"]);
        let nothing = OriginBuf::new(None, None, None, &[]).unwrap();
        assert!(nothing.get().is_none());
        assert_eq!((nothing.get().cause(), nothing.get().tags().count()), (None, 0));
    }

    #[test]
    fn only_the_cause_is_replaced() {
        for made in [
            OriginBuf::new(None, Some("req-42"), None, &["a"]).unwrap(),
            OriginBuf::new(Some(3), Some("req-42"), None, &["a"]).unwrap(),
        ] {
            assert_eq!(made.get().caused_by(9), OriginBuf::new(Some(9), Some("req-42"), None, &["a"]).unwrap());
        }
    }

    #[test]
    fn a_text_of_the_longest_length_is_taken_and_a_longer_one_is_not() {
        let code = |id: &str, tags: &[&str]| OriginBuf::new(None, Some(id), None, tags).map_err(|e| e.code());
        assert!(code(&"x".repeat(128), &[]).is_ok());
        assert_eq!(code(&"x".repeat(129), &[]), Err("correlation.too_long"));
        assert_eq!(code("", &[]), Err("correlation.empty"));
        assert_eq!(code("a\nb", &[]), Err("correlation.control_character"));
        let half = "x".repeat(127);
        assert!(code("a", &[&half, &half]).is_ok());
        assert_eq!(code("a", &[&half, &"x".repeat(128)]), Err("correlation.tags_too_long"));
        assert_eq!(code("a", &["one\0two"]), Err("correlation.control_character"));
        assert_eq!(code("a", &[""]), Err("correlation.empty"));
        assert_eq!(OriginBuf::new(None, None, Some(&"x".repeat(129)), &[]).unwrap_err().code(), "correlation.too_long");
    }
}

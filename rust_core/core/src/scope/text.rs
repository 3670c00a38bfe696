//! The text form of a scope: `global`, `agent:scout`, `step:wf:s1`, ids percent-encoded (RFC 3986, section 2).
use std::fmt::{self, Display, Formatter, Write};
use std::str::FromStr;

use super::{KeyError, Scope, ScopeKind};

/// How much of a refused text an error repeats.
const SHOWN_CHARS_MAX: usize = 80;

impl Display for Scope {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        for id in self.ids() {
            f.write_char(':')?;
            for byte in id.bytes() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    f.write_char(char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = KeyError;

    /// Reads the text form. `parse` accepts what `Display` writes and, for people who type, any other character of an
    /// id as itself, except `:` and `%`; `parse(text)?.to_string()` is the canonical spelling.
    ///
    /// # Errors
    /// `scope.malformed` with what was expected, `scope.empty_id`, `scope.id_too_long`.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.split(':');
        let kind = parts.next().and_then(ScopeKind::from_name).ok_or_else(|| {
            let shapes = ScopeKind::ALL.map(ScopeKind::shape).join(", ");
            KeyError::malformed(format!("{}: expected one of {shapes}", shown(text)))
        })?;
        // One more than the largest count is enough to see that there are too many.
        let parts: Vec<&str> = parts.take(3).collect();
        if parts.len() != kind.id_count() {
            let shape = kind.shape();
            let detail = format!("{}: expected {shape}, with ':' inside an id written as %3A", shown(text));
            return Err(KeyError::malformed(detail));
        }
        let ids = parts.iter().map(|part| unescape(text, part)).collect::<Result<Vec<_>, _>>()?;
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Self::new(kind, &ids)
    }
}

fn unescape(text: &str, part: &str) -> Result<String, KeyError> {
    let mut pieces = part.split('%');
    let mut bytes = Vec::with_capacity(part.len());
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let byte = piece
            .get(..2)
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .ok_or_else(|| {
                let detail = "expected two hexadecimal digits after '%', and '%' itself written as %25";
                KeyError::malformed(format!("{}: {detail}", shown(text)))
            })?;
        bytes.push(byte);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes)
        .map_err(|_| KeyError::malformed(format!("{}: expected UTF-8 behind the percent signs", shown(text))))
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
    }
}

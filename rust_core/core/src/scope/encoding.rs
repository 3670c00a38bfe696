//! The stored form of a scope: the kind's number, then each id with `00` written as `00 FF` and closed by `00 00`.
//!
//! No encoding is a prefix of another (the kind fixes how many ids close it), so encoding followed by key bytes is
//! injective. The closing `00 00` sorts below every continuation of an id (`00 FF` or a byte above `00`), so bytes
//! compare as (kind, id, id, key) does.
use super::{KeyError, Scope, ScopeKind, check_ids};

const ESCAPED: u8 = 0xFF;
const END: u8 = 0x00;

/// The encoding of a scope without building it: one allocation. The binding's constructors use it.
///
/// # Errors
/// Those of [`Scope::new`].
pub fn encode_scope(kind: ScopeKind, ids: &[&str]) -> Result<Box<[u8]>, KeyError> {
    check_ids(kind, ids)?;
    Ok(encode_checked(kind, ids.iter().copied()))
}

fn encode_checked<'a>(kind: ScopeKind, ids: impl Iterator<Item = &'a str> + Clone) -> Box<[u8]> {
    let nul_count = |id: &str| id.bytes().filter(|byte| *byte == 0).count();
    let len_bytes = 1 + ids.clone().map(|id| id.len() + nul_count(id) + 2).sum::<usize>();
    let mut out = Vec::with_capacity(len_bytes);
    out.push(kind.number());
    for id in ids {
        if nul_count(id) == 0 {
            out.extend_from_slice(id.as_bytes());
        } else {
            for byte in id.bytes() {
                out.push(byte);
                if byte == 0 {
                    out.push(ESCAPED);
                }
            }
        }
        out.extend_from_slice(&[0, END]);
    }
    out.into_boxed_slice()
}

impl Scope {
    /// The stored form. Equal scopes give equal bytes, different ones different bytes, in the same order.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        encode_checked(self.kind, self.ids.iter().map(AsRef::as_ref))
    }

    /// The scope that [`Self::encode`] gave. Accepts nothing else, so `decode(b)?.encode() == b`.
    ///
    /// # Errors
    /// `scope.malformed`, `scope.empty_id`, `scope.id_too_long`. Never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyError> {
        let (number, mut rest) = bytes.split_first().ok_or_else(|| KeyError::malformed("no bytes"))?;
        let kind = ScopeKind::from_number(*number)
            .ok_or_else(|| KeyError::malformed(format!("no kind of scope has the number {number}")))?;
        let mut ids = Vec::with_capacity(kind.id_count());
        for _ in 0..kind.id_count() {
            let (id, after) = take_id(rest)?;
            ids.push(id);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(KeyError::malformed(format!("{} bytes after the end of {}", rest.len(), kind.shape())));
        }
        let borrowed: Vec<&str> = ids.iter().map(String::as_str).collect();
        Self::new(kind, &borrowed)
    }
}

fn take_id(mut rest: &[u8]) -> Result<(String, &[u8]), KeyError> {
    let mut id = Vec::new();
    loop {
        let nul = rest.iter().position(|byte| *byte == 0).ok_or_else(|| KeyError::malformed("an id has no end"))?;
        id.extend_from_slice(&rest[..nul]);
        let mark = rest.get(nul + 1).copied();
        rest = rest.get(nul + 2..).unwrap_or_default();
        match mark {
            Some(END) => break,
            Some(ESCAPED) => id.push(0),
            _ => return Err(KeyError::malformed("an id has a stray zero byte")),
        }
    }
    let id = String::from_utf8(id).map_err(|_| KeyError::malformed("an id is not UTF-8"))?;
    Ok((id, rest))
}

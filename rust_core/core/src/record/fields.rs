//! Optional fields of a record, behind its key: only what is there takes up space.
//!
//! Each is one byte of tag, one of length, and its bytes. See `docs/format.md`, Fields.

use super::le::u64_at;

const EXPIRY: u8 = 1;

/// What a record may say beyond its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// When the value stops being there, in wall-clock microseconds since the Unix epoch.
    pub expires_us: Option<u64>,
}

impl Fields {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Appends them.
    pub(super) fn write(&self, buf: &mut Vec<u8>) {
        if let Some(expires_us) = self.expires_us {
            buf.extend_from_slice(&[EXPIRY, 8]);
            buf.extend_from_slice(&expires_us.to_le_bytes());
        }
    }

    /// Reads the fields at the start of `bytes`, and where they end; None when this version does not know them.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (mut fields, mut at) = (Self::default(), 0);
        while let [tag, len, ..] = bytes[at..]
            && tag != 0
        {
            let payload = bytes.get(at + 2..at + 2 + usize::from(len))?;
            match (tag, len) {
                (EXPIRY, 8) => fields.expires_us = Some(u64_at(payload, 0)),
                _ => return None,
            }
            at += 2 + payload.len();
        }
        Some((fields, at))
    }
}

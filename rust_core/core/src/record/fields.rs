//! Optional fields of a record, behind its key: only what is there takes up space.
//!
//! Each is one byte of tag, one of length, and its bytes. See `docs/format.md`, Fields.

use super::le::u64_at;

const EXPIRY: u8 = 1;
/// Bytes of an expiry as it stands behind the key: tag, length, time.
pub const EXPIRY_FIELD_BYTES: usize = 10;

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

    /// Bytes of the expiry field. It stands first, so value, key and expiry are one piece of the frame.
    #[inline]
    pub(super) fn expiry_bytes(&self) -> usize {
        if self.expires_us.is_some() { EXPIRY_FIELD_BYTES } else { 0 }
    }

    /// Appends them, in the order of their tags.
    pub(super) fn write(&self, buf: &mut Vec<u8>) {
        if let Some(expires_us) = self.expires_us {
            buf.extend_from_slice(&[EXPIRY, 8]);
            buf.extend_from_slice(&expires_us.to_le_bytes());
        }
    }

    /// Reads the fields at the start of `bytes`, and where they end; None when this version does not know them.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (mut fields, mut at, mut former) = (Self::default(), 0, 0);
        while let [tag, len, ..] = bytes[at..]
            && tag != 0
        {
            if tag <= former {
                return None;
            }
            former = tag;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_order_or_given_twice_are_refused() {
        let mut once = Vec::new();
        let fields = Fields { expires_us: Some(77) };
        fields.write(&mut once);
        assert_eq!(once.len(), EXPIRY_FIELD_BYTES);
        assert_eq!(Fields::read(&once), Some((fields, EXPIRY_FIELD_BYTES)));
        assert_eq!(Fields::read(&once.repeat(2)), None);
    }
}

//! Optional fields of a record, behind its key: only what is there takes up space.
//!
//! Each is one byte of tag, one of length, and its bytes. See `docs/format.md`, Fields.

use super::Origin;
use super::le::u64_at;
use super::origin::believed;

const EXPIRY: u8 = 1;
/// Bytes of an expiry as it stands behind the key: tag, length, time.
pub const EXPIRY_FIELD_BYTES: usize = 10;

/// What a record may say beyond its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// When the value stops being there, in wall-clock microseconds since the Unix epoch.
    pub expires_us: Option<u64>,
    /// Where it comes from.
    pub origin: Origin<'a>,
}

/// Bytes of the field of an expiry. It stands first, so value, key and expiry are one piece of the frame.
#[inline]
pub(super) fn expiry_bytes(expires_us: Option<u64>) -> usize {
    if expires_us.is_some() { EXPIRY_FIELD_BYTES } else { 0 }
}

impl<'a> Fields<'a> {
    /// Of what comes from there, and stays.
    pub fn from(origin: Origin<'a>) -> Self {
        Self { expires_us: None, origin }
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.expires_us.is_none() && self.origin.is_none()
    }

    /// Appends them, in the order of their tags.
    #[inline]
    pub(super) fn write(&self, buf: &mut Vec<u8>) {
        if let Some(expires_us) = self.expires_us {
            buf.extend_from_slice(&[EXPIRY, 8]);
            buf.extend_from_slice(&expires_us.to_le_bytes());
        }
        buf.extend_from_slice(self.origin.bytes());
    }

    /// Reads the fields at the start of `bytes`, and where they end; None when this version does not know them.
    pub(super) fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (mut expires_us, mut at, mut former) = (None, 0, 0);
        while let [tag, len, ..] = bytes[at..]
            && tag != 0
        {
            if tag <= former {
                return None;
            }
            former = tag;
            let payload = bytes.get(at + 2..at + 2 + usize::from(len))?;
            match (tag, len) {
                (EXPIRY, 8) => expires_us = Some(u64_at(payload, 0)),
                _ if believed(tag, payload) => {}
                _ => return None,
            }
            at += 2 + payload.len();
        }
        Some((Self { expires_us, origin: Origin::of(&bytes[expiry_bytes(expires_us)..at]) }, at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OriginBuf;
    use super::*;

    fn written(fields: Fields<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        bytes
    }

    #[test]
    fn fields_out_of_order_or_given_twice_are_refused() {
        let fields = Fields { expires_us: Some(77), ..Fields::default() };
        let once = written(fields);
        assert_eq!(once.len(), EXPIRY_FIELD_BYTES);
        assert_eq!(Fields::read(&once), Some((fields, EXPIRY_FIELD_BYTES)));
        assert_eq!(Fields::read(&once.repeat(2)), None);
        let origin = OriginBuf::new(Some(5), None, None, &[]).unwrap();
        assert_eq!(Fields::read(&[&written(Fields::from(origin.get()))[..], &once].concat()), None);
    }

    #[test]
    fn every_field_reads_back_beside_every_other() {
        let parts = |n: u32| {
            let origin = OriginBuf::new(
                (n & 1 != 0).then_some(5),
                (n & 2 != 0).then_some("id"),
                (n & 4 != 0).then_some("anna"),
                if n & 8 != 0 { &["a", "b"] } else { &[] },
            );
            ((n & 16 != 0).then_some(77), origin.unwrap())
        };
        for (expires_us, made) in (0..32).map(parts) {
            let fields = Fields { expires_us, origin: made.get() };
            let bytes = written(fields);
            assert_eq!(Fields::read(&bytes), Some((fields, bytes.len())));
            assert_eq!(Fields::read(&[&bytes[..], &[0; 7]].concat()), Some((fields, bytes.len())), "padded");
        }
    }

    #[test]
    fn a_field_that_nobody_writes_is_refused() {
        for bytes in [
            &[2, 7, 0, 0, 0, 0, 0, 0, 0][..],
            &[3, 0],
            &[3, 1, 0xFF],
            &[4, 0],
            &[5, 0],
            &[5, 3, b'a', 0, 0],
            &[6, 1, b'a'],
            &[3, 9, b'a'],
        ] {
            assert_eq!(Fields::read(bytes), None, "{bytes:?}");
        }
        let long = [&[3, 129][..], &[b'x'; 129]].concat();
        assert_eq!(Fields::read(&long), None, "a correlation id of 129 bytes");
    }
}

//! Sealing: values of class Sensitive are encrypted before anything of them is kept, and opened when somebody reads them.
//!
//! AEGIS-256 (draft-irtf-cfrg-aegis-aead), bound to scope and key, so that a sealed value counts in its own place only.
//! Every byte is described in docs/format.md, A sealed value.

use std::ops::Deref;

use aegis::aegis256::Aegis256;

use super::MARK;
use crate::sync::{AtomicU64, Ordering};

/// Bytes of a key.
pub const SEALING_KEY_BYTES: usize = 32;
/// How a sealed value begins: its second byte stands where others have the version of their format, its third says
/// with which algorithm; there is one.
const MARKS: [u8; ID_AT] = [MARK, 3, 1, 0, 0, 0, 0, 0];

const ID_AT: usize = 8;
const NONCE_AT: usize = 16;
const HEAD_BYTES: usize = 48;
const TAG_BYTES: usize = 16;

/// What a key is known by. It says nothing about the key.
pub type SealingKeyId = [u8; 8];

/// Why a sealed value cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// It was sealed with another key.
    NoKey(SealingKeyId),
    /// It is not as it was written, or not in its place.
    Broken,
}

/// What seals and opens the values of one store.
pub struct SealingKeys {
    /// The first one seals, all of them open.
    keys: Vec<([u8; SEALING_KEY_BYTES], SealingKeyId)>,
    /// Random, and another one at each opening. With counter and clock it makes a nonce that is not given twice, nor by two
    /// copies of a stopped machine, as long as their clocks differ.
    opening: [u8; 16],
    sealed_count: AtomicU64,
}

impl SealingKeys {
    /// Of these keys; `random` are fresh bytes. None without keys.
    #[must_use]
    pub fn new(keys: &[[u8; SEALING_KEY_BYTES]], random: [u8; 16]) -> Option<Self> {
        let keys: Vec<_> = keys.iter().map(|key| (*key, id_of(key))).collect();
        (!keys.is_empty()).then_some(Self { keys, opening: random, sealed_count: AtomicU64::new(0) })
    }

    fn nonce(&self, now_ns: u64) -> [u8; 32] {
        let count = self.sealed_count.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0; 32];
        nonce[..16].copy_from_slice(&self.opening);
        nonce[16..24].copy_from_slice(&count.to_le_bytes());
        nonce[24..].copy_from_slice(&now_ns.to_le_bytes());
        nonce
    }

    /// Seals what `write` appends to `out`, in its place: the value under `key` of `scope`. `now_ns` is any clock's.
    ///
    /// # Errors
    /// Those of `write`; `out` is then longer than it was.
    #[inline]
    pub fn seal<E>(
        &self,
        out: &mut Vec<u8>,
        (scope, key): (&[u8], &[u8]),
        now_ns: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let ((secret, id), nonce) = (&self.keys[0], self.nonce(now_ns));
        let mut head = [0; HEAD_BYTES];
        head[..ID_AT].copy_from_slice(&MARKS);
        head[ID_AT..NONCE_AT].copy_from_slice(id);
        head[NONCE_AT..].copy_from_slice(&nonce);
        let start = out.len();
        out.extend_from_slice(&head);
        write(out)?;
        let cipher = Aegis256::<TAG_BYTES>::new(secret, &nonce);
        let tag = cipher.encrypt_in_place(&mut out[start + HEAD_BYTES..], &Place::of(scope, key));
        out.extend_from_slice(&tag);
        Ok(())
    }

    /// The value that was sealed.
    ///
    /// # Errors
    /// None of these keys sealed it; it is broken.
    pub fn open(&self, sealed: &[u8], (scope, key): (&[u8], &[u8])) -> Result<Vec<u8>, SealError> {
        let id = sealed_with(sealed).ok_or(SealError::Broken)?;
        let (head, rest) = sealed.split_at(HEAD_BYTES);
        let (kept, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealError::Broken)?;
        let nonce: &[u8; 32] = head.last_chunk().expect("the head ends with it");
        let (secret, _) = self.keys.iter().find(|(_, known)| *known == id).ok_or(SealError::NoKey(id))?;
        let cipher = Aegis256::<TAG_BYTES>::new(secret, nonce);
        cipher.decrypt(kept, tag, &Place::of(scope, key)).map_err(|_| SealError::Broken)
    }
}

/// The key that a value says it was sealed with. None: it is no sealed value.
#[must_use]
pub fn sealed_with(sealed: &[u8]) -> Option<SealingKeyId> {
    let is_sealed = sealed.len() >= HEAD_BYTES && sealed[..ID_AT] == MARKS;
    is_sealed.then(|| sealed[ID_AT..NONCE_AT].try_into().expect("as long as an id"))
}

fn id_of(key: &[u8; SEALING_KEY_BYTES]) -> SealingKeyId {
    let mark = Aegis256::<TAG_BYTES>::new(key, &[0; 32]).encrypt_in_place(&mut [], b"spellkeep sealing key");
    *mark.first_chunk().expect("longer than an id")
}

/// Encoded scope and key, side by side; on the stack where they are as short as most.
enum Place {
    Short([u8; 96], usize),
    Long(Vec<u8>),
}

impl Place {
    fn of(scope: &[u8], key: &[u8]) -> Self {
        let (middle, len) = (scope.len(), scope.len() + key.len());
        if len > 96 {
            return Self::Long([scope, key].concat());
        }
        let mut bytes = [0; 96];
        bytes[..middle].copy_from_slice(scope);
        bytes[middle..len].copy_from_slice(key);
        Self::Short(bytes, len)
    }
}

impl Deref for Place {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => &bytes[..*len],
            Self::Long(bytes) => bytes,
        }
    }
}

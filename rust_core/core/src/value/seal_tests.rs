//! Sealed values: opened by their key in their place, and by nothing else.

use std::collections::HashSet;
use std::convert::Infallible;

use super::{SealError, SealingKeys};

const KEY: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];
const PLACE: (&[u8], &[u8]) = (b"\x04scout\0\0", b"note");
const VALUE: &[u8] = b"\xC1\x01\xA5hello";

fn keys(keys: &[[u8; 32]]) -> SealingKeys {
    SealingKeys::new(keys, [9; 16]).expect("there are keys")
}

fn sealed(by: &SealingKeys, (scope, key): (&[u8], &[u8])) -> Vec<u8> {
    let mut out = b"before".to_vec();
    let done = by.seal(&mut out, (scope, key), 5, |out| -> Result<(), Infallible> {
        out.extend_from_slice(VALUE);
        Ok(())
    });
    assert!(done.is_ok() && out.starts_with(b"before"));
    out.split_off(6)
}

#[test]
fn a_value_is_opened_by_any_key_that_sealed_it() {
    let (old, both) = (keys(&[KEY]), keys(&[OTHER, KEY]));
    assert_eq!(both.open(&sealed(&old, PLACE), PLACE).as_deref(), Ok(VALUE));
    let new = sealed(&both, PLACE);
    assert_eq!(both.open(&new, PLACE).as_deref(), Ok(VALUE));
    assert!(matches!(old.open(&new, PLACE), Err(SealError::NoKey(id)) if new[8..16] == id));
    assert!(SealingKeys::new(&[], [0; 16]).is_none());
}

#[test]
fn nothing_of_the_value_or_the_key_is_in_it() {
    let out = sealed(&keys(&[KEY]), PLACE);
    assert_eq!(out.len(), VALUE.len() + 64);
    assert!(!out.windows(5).any(|part| part == b"hello"));
    assert!(!out.windows(4).any(|part| part == [7; 4]));
}

#[test]
fn no_two_seals_are_alike() {
    let by = keys(&[KEY]);
    let seen: HashSet<Vec<u8>> = (0..1000).map(|_| sealed(&by, PLACE)[16..48].to_vec()).collect();
    assert_eq!(seen.len(), 1000);
    // The same count in another opening, or at another time.
    let later = SealingKeys::new(&[KEY], [10; 16]).expect("there is a key");
    assert!(!seen.contains(&sealed(&later, PLACE)[16..48]));
    let mut out = Vec::new();
    let copy = keys(&[KEY]);
    assert_eq!(copy.seal(&mut out, PLACE, 6, |_| Ok::<(), Infallible>(())), Ok(()));
    assert!(!seen.contains(&out[16..48]));
}

#[test]
fn it_counts_in_its_own_place_only() {
    let by = keys(&[KEY]);
    let long = "k".repeat(200);
    for place in [PLACE, (b"".as_slice(), b"note".as_slice()), (PLACE.0, long.as_bytes())] {
        let out = sealed(&by, place);
        assert_eq!(by.open(&out, place).as_deref(), Ok(VALUE));
        for wrong in [(b"\x04other\0\0".as_slice(), place.1), (place.0, b"else".as_slice())] {
            assert_eq!(by.open(&out, wrong), Err(SealError::Broken));
        }
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let by = keys(&[KEY]);
    let out = sealed(&by, PLACE);
    for bit in 0..out.len() * 8 {
        let mut harmed = out.clone();
        harmed[bit / 8] ^= 1 << (bit % 8);
        assert!(by.open(&harmed, PLACE).is_err(), "bit {bit}");
    }
    for len in 0..out.len() {
        assert!(by.open(&out[..len], PLACE).is_err(), "length {len}");
    }
}

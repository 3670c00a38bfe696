//! Encoded scopes, their text form, and keys.

use spellkeep_core::limits::{KEY_BYTES_MAX, SCOPE_ID_BYTES_MAX};
use spellkeep_core::scope::{Scope, ScopeKind, check_key, encode_scope};

use super::memory::within;
use super::source::Source;

fn checked(bytes: &[u8]) -> Option<Scope> {
    let most = 4096 + bytes.len() * 8;
    let scope = within(most, "decoding a scope", || Scope::decode(bytes)).ok()?;
    assert_eq!(&*scope.encode(), bytes, "one scope has one encoding");
    let text = scope.to_string();
    assert_eq!(text.parse().as_ref(), Ok(&scope), "{text}");
    assert!(scope.ids().all(|id| !id.is_empty() && id.len() <= SCOPE_ID_BYTES_MAX));
    Some(scope)
}

fn chosen(from: &mut Source<'_>) -> Option<Scope> {
    let kind = ScopeKind::ALL[from.below(ScopeKind::ALL.len())];
    let ids: Vec<String> = (0..from.below(3)).map(|_| from.text()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let encoded = encode_scope(kind, &ids).ok()?;
    let scope = checked(&encoded).expect("what was encoded is decoded");
    assert!(scope.kind() == kind && scope.ids().eq(ids));
    Some(scope)
}

pub fn run(bytes: &[u8]) {
    checked(bytes);
    let mut from = Source(bytes);
    if let (Some(one), Some(other)) = (chosen(&mut from), chosen(&mut from)) {
        assert_eq!(one.cmp(&other), one.encode().cmp(&other.encode()), "encodings sort as scopes do");
        let (short, long) = (one.encode(), other.encode());
        assert!(one == other || !long.starts_with(&short), "an encoding is the beginning of another");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(scope) = within(4096 + bytes.len() * 64, "reading a scope", || text.parse::<Scope>()) {
        checked(&scope.encode()).expect("what was read can be encoded");
        assert_eq!(scope.to_string().parse::<Scope>().map(|again| again.to_string()), Ok(scope.to_string()));
    }
    if within(4096 + bytes.len() * 64, "checking a key", || check_key(text)).is_ok() {
        assert!(!text.is_empty() && text.len() <= KEY_BYTES_MAX && !text.contains(['\\', '\0', '\n']));
        assert!(!text.contains("..") && !text.contains("//"));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = ["global", "agent:scout", "step:wf:s%3A1", "user:%FF", "agent:a%00b", "plan/today", "a..b", "e\u{301}"];
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let scopes = texts.iter().filter_map(|text| text.parse::<Scope>().ok());
    seeds.extend(scopes.map(|scope| scope.encode().to_vec()));
    seeds.push(b"\x03\x01\x02ab\x03\x01\x01a".to_vec());
    seeds.push(b"\x06\x02\x01a\x02b\0\x06\x02\x01a\x01b".to_vec());
    seeds
}

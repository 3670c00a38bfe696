use proptest::prelude::*;

use super::{agent, any_scope};
use crate::error::Coded;
use crate::limits::SCOPE_ID_BYTES_MAX;
use crate::scope::{Scope, ScopeKind, encode_scope};

fn place(scope: &Scope, key: &str) -> Vec<u8> {
    [&scope.encode(), key.as_bytes()].concat()
}

#[test]
fn agent_a_with_key_b_c_is_not_agent_a_b_with_key_c() {
    assert_ne!(place(&agent("a"), "b:c"), place(&agent("a:b"), "c"));
    assert_ne!(place(&agent("a"), "\0\0b"), place(&agent("a\0\0"), "b"));
    assert_ne!(
        Scope::new(ScopeKind::Step, &["w", "x:s"]).unwrap().encode(),
        Scope::new(ScopeKind::Step, &["w:x", "s"]).unwrap().encode()
    );
}

#[test]
fn stored_numbers_and_bytes_never_change() {
    let numbers = ScopeKind::ALL.map(ScopeKind::number);
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(&*Scope::global().encode(), [1]);
    assert_eq!(&*agent("ab").encode(), [4, b'a', b'b', 0, 0]);
    assert_eq!(&*encode_scope(ScopeKind::Step, &["w\0", "s"]).unwrap(), [7, b'w', 0, 0xFF, 0, 0, b's', 0, 0]);
}

#[test]
fn ids_are_limited_from_both_sides() {
    let longest = "x".repeat(SCOPE_ID_BYTES_MAX);
    assert!(Scope::new(ScopeKind::Agent, &[&longest]).is_ok());
    assert_eq!(Scope::new(ScopeKind::Agent, &[&format!("{longest}x")]).unwrap_err().code(), "scope.id_too_long");
    assert_eq!(Scope::new(ScopeKind::Step, &["w", ""]).unwrap_err().code(), "scope.empty_id");
    assert_eq!(Scope::new(ScopeKind::Step, &["w"]).unwrap_err().code(), "scope.malformed");
    assert_eq!(Scope::new(ScopeKind::Global, &["w"]).unwrap_err().code(), "scope.malformed");
}

#[test]
fn bytes_that_no_scope_encodes_to_are_refused() {
    for bytes in [
        &b""[..],
        b"\x00",
        b"\x09a\0\0",
        b"\x01a",
        b"\x04",
        b"\x04\0\0",
        b"\x04a",
        b"\x04a\0",
        b"\x04a\0b",
        b"\x04a\0\0b",
        b"\x04\xC3\0\0",
        b"\x07a\0\0",
    ] {
        assert!(Scope::decode(bytes).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn a_place_is_injective_and_sorts_component_by_component(
        a in any_scope(), b in any_scope(), x in "[a:\0/]{1,3}", y in "[a:\0/]{1,3}"
    ) {
        let by_components = (&a, x.as_bytes()).cmp(&(&b, y.as_bytes()));
        prop_assert_eq!(place(&a, &x).cmp(&place(&b, &y)), by_components);
    }

    #[test]
    fn ids_that_are_prefixes_of_each_other_keep_order_and_difference(id in "[a\0]{1,4}", more in "[a\0]{0,3}", key in "[a\0]{1,3}") {
        let (short, long) = (agent(&id), agent(&format!("{id}{more}")));
        prop_assert_eq!(short.encode().cmp(&long.encode()), short.cmp(&long));
        prop_assert_eq!(place(&short, &format!("{more}{key}")) == place(&long, &key), more.is_empty());
    }

    #[test]
    fn decode_undoes_encode(scope in any_scope()) {
        let bytes = scope.encode();
        let ids: Vec<&str> = scope.ids().collect();
        prop_assert_eq!(&encode_scope(scope.kind(), &ids).unwrap(), &bytes);
        prop_assert_eq!(Scope::decode(&bytes).unwrap(), scope);
    }

    #[test]
    fn decode_of_any_bytes_never_panics_and_accepts_only_what_encode_gives(
        kind in 0u8..10, body in prop::collection::vec(prop_oneof![Just(0u8), Just(0xFF), any::<u8>()], 0..40)
    ) {
        let bytes = [&[kind], &body[..]].concat();
        if let Ok(scope) = Scope::decode(&bytes) {
            prop_assert_eq!(&*scope.encode(), &bytes[..]);
        }
    }
}

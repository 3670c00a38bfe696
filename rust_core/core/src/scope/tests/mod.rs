mod encoding;
mod key;
mod text;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Scope, ScopeKind};

pub(super) fn agent(id: &str) -> Scope {
    Scope::new(ScopeKind::Agent, &[id]).expect("a valid id")
}

/// Ids made of the bytes that an encoding could confuse, and ids of any Unicode text.
fn any_id() -> impl Strategy<Value = String> {
    let confusing =
        vec(prop::sample::select(vec!["\0", "\u{1}", ":", "%", "%3A", "a", "b", "/", "ÿ", "\u{10FFFF}"]), 1..6);
    prop_oneof![confusing.prop_map(|parts| parts.concat()), vec(any::<char>(), 1..60).prop_map(String::from_iter)]
}

pub(super) fn any_scope() -> impl Strategy<Value = Scope> {
    (prop::sample::select(ScopeKind::ALL.to_vec()), any_id(), any_id()).prop_map(|(kind, first, second)| {
        let ids = [first.as_str(), second.as_str()];
        Scope::new(kind, &ids[..kind.id_count()]).expect("ids within limits")
    })
}

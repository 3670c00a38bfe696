use proptest::prelude::*;

use super::{agent, any_scope};
use crate::error::Coded;
use crate::scope::{Scope, ScopeKind};

#[test]
fn text_forms_are_what_people_expect() {
    assert_eq!(Scope::global().to_string(), "global");
    assert_eq!(agent("scout").to_string(), "agent:scout");
    assert_eq!(agent("Zoë: 50%").to_string(), "agent:Zo%C3%AB%3A%2050%25");
    assert_eq!(Scope::new(ScopeKind::Step, &["wf", "s1"]).unwrap().to_string(), "step:wf:s1");
}

#[test]
fn parse_reads_what_people_type_and_writes_it_canonically() {
    for (typed, canonical) in [
        ("agent:my scout", "agent:my%20scout"),
        ("agent:%c3%ab%61", "agent:%C3%ABa"),
        ("custom:ë/x", "custom:%C3%AB%2Fx"),
    ] {
        let scope: Scope = typed.parse().unwrap();
        assert_eq!(scope.to_string(), canonical);
        assert_eq!(canonical.parse::<Scope>().unwrap(), scope);
    }
}

#[test]
fn malformed_text_is_refused_with_what_was_expected() {
    for (text, expected) in [
        ("", "expected one of global"),
        ("agnt:x", "agent:AGENT_ID"),
        ("Agent:x", "expected one of"),
        ("global:", "expected global"),
        ("agent", "expected agent:AGENT_ID"),
        ("agent:a:b", "%3A"),
        ("step:wf", "expected step:WORKFLOW_ID:STEP_NAME"),
        ("step:a:b:c:d", "expected step:"),
        ("agent:%", "two hexadecimal digits"),
        ("agent:%4", "two hexadecimal digits"),
        ("agent:%+4", "two hexadecimal digits"),
        ("agent:%é", "two hexadecimal digits"),
        ("agent:%FF", "expected UTF-8"),
    ] {
        let error = text.parse::<Scope>().unwrap_err();
        assert_eq!(error.code(), "scope.malformed", "{text:?}");
        assert!(error.to_string().contains(expected), "{text:?}: {error}");
    }
    assert_eq!("agent:".parse::<Scope>().unwrap_err().code(), "scope.empty_id");
    assert_eq!(format!("agent:{}", "x".repeat(257)).parse::<Scope>().unwrap_err().code(), "scope.id_too_long");
}

#[test]
fn an_error_repeats_only_the_start_of_a_huge_text() {
    let error = "é".repeat(1_000_000).parse::<Scope>().unwrap_err();
    assert!(error.to_string().len() < 600);
}

proptest! {
    #[test]
    fn parse_undoes_display_for_any_ids(scope in any_scope()) {
        prop_assert_eq!(scope.to_string().parse::<Scope>().unwrap(), scope);
    }

    #[test]
    fn parse_never_panics_and_what_it_reads_has_one_canonical_text(text in "(agent|step|global)?[:%a0-9A-Fé ]{0,12}") {
        if let Ok(scope) = text.parse::<Scope>() {
            let canonical = scope.to_string();
            prop_assert_eq!(canonical.parse::<Scope>().unwrap().to_string(), canonical);
        }
    }
}

use std::time::Instant;

use proptest::prelude::*;

use super::suspects::literals;
use super::*;

fn shown(text: &str) -> String {
    String::from_utf8(hide(text.as_bytes(), &secrets(text))).expect("cut at characters")
}

#[test]
fn names_are_split_into_words() {
    for name in [
        "password",
        "dbPassword",
        "API_KEY",
        "x-api-key",
        "HTTPCookie",
        "apiKey2",
        "token",
        "JWT",
        "a1Pin",
        "apiKeys",
        "APIKEYS",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "",
        "max_tokens",
        "keyboard",
        "PINned",
        "tokenA",
        "spin",
        "key api",
        "apiKeyss",
        "publicKeys",
        "schlüssel",
        "PWD",
        "PASSWORDs",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn no_beginning_is_that_of_another_one_and_they_are_few_enough() {
    // Past that the search for them is another one, which takes twice as long.
    assert!(literals().count() <= 32);
    for (one, _) in literals() {
        assert_eq!(literals().filter(|(other, _)| other.starts_with(&one)).count(), 1, "{one}");
    }
}

#[test]
fn secrets_that_overlap_or_lie_side_by_side_are_all_hidden() {
    assert_eq!(shown("sk-aaaaaaaaaaaaaaaaaaaa"), "[redacted]");
    assert_eq!(shown("x://sk-aaaaaaaaaaaaaaaaaaaa:b@c"), "x://[redacted]@c");
    assert_eq!(shown("a://b:c@://d:e@f"), "a://[redacted]@://[redacted]@f");
    assert_eq!(shown("sk-----BEGIN PRIVATE KEY-----\nab"), "sk[redacted]");
    assert_eq!(shown("密钥sk-aaaaaaaaaaaaaaaaaaaa。"), "密钥[redacted]。");
    assert_eq!(shown("BEARER \u{a0}abcdefgh=="), "[redacted]");
    assert_eq!(
        shown("bearbearer abcdefgh bears task-oriented-approaches eyJ"),
        "bearbearer abcdefgh bears task-oriented-approaches eyJ"
    );
}

/// A token that never ends was tried again behind every key: a page of a megabyte took half a minute.
#[test]
fn hostile_texts_take_linear_time() {
    let parts = [
        "bearer ",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ-ghp_aaaaaaaaaaaaaaaaaaaa-",
        "eyJaaaaaaaa-",
        "sk-",
        "://",
        "://a:",
        "://a:b@",
        "eyJaaaaaaaa.",
        "sk-aaaaaaaaaaaaaaaa ",
        "AKIA",
        "hf_",
        "sk_live_",
        "github_pat_a",
        "xoxb-",
        "bear",
        "Bearer\u{a0}",
    ];
    for part in parts {
        for (before, repeated) in [("", part), (part, " "), (part, "a"), (part, "a-")] {
            let text = before.to_owned() + &repeated.repeat((1 << 20) / repeated.len());
            let begun = Instant::now();
            let _ = shown(&text);
            // Milliseconds, or up to two seconds without optimisation on a slow machine.
            assert!(begun.elapsed().as_secs() < 10, "{before:?} and {repeated:?}: {:?}", begun.elapsed());
        }
    }
}

/// Texts made of pieces of secrets, so that many hold one.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(literals().map(|(text, _)| text).collect::<Vec<_>>()),
        proptest::sample::select(vec!["bearer ", "PRIVATE KEY-----", ".", ":", "@", "=", " ", "é", "-"])
            .prop_map(String::from),
        "[A-Za-z0-9_-]{1,24}",
        "[A-Z0-9]{16}",
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn the_fast_look_misses_nothing_that_a_pattern_finds(text in pieces(), around in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut found = Vec::new();
        for kind in patterns::Kind::ALL {
            patterns::find(kind, &text, &mut found);
        }
        let hidden = secrets(&text);
        for span in &found {
            prop_assert!(hidden.iter().any(|wide| wide.start <= span.start && span.end <= wide.end));
        }
        let bytes = [&around[..], text.as_bytes(), &around[..]].concat();
        prop_assert!(found.is_empty() || may_hold_secret(&bytes));
    }
}

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use crate::error::Coded;
use crate::limits::KEY_BYTES_MAX;
use crate::scope::{KeyError, check_key};

fn code(key: &str) -> &'static str {
    check_key(key).map_or_else(|error| error.code(), |()| "")
}

#[test]
fn ordinary_keys_pass() {
    for key in ["a", "plan", "b:c", "messages/000123", "v1.2", ".hidden", "a./b", "Zoë", "計画", "👩", "a b", "/", "."]
    {
        assert_eq!(code(key), "", "{key:?}");
    }
}

#[test]
fn the_length_limit_is_in_bytes_and_inclusive() {
    assert_eq!(code(""), "key.empty");
    assert_eq!(code(&"x".repeat(KEY_BYTES_MAX)), "");
    assert_eq!(code(&"x".repeat(KEY_BYTES_MAX + 1)), "key.too_long");
    assert_eq!(code(&"ë".repeat(KEY_BYTES_MAX / 2)), "");
    assert_eq!(code(&"ë".repeat(KEY_BYTES_MAX / 2 + 1)), "key.too_long");
}

#[test]
fn each_rule_names_the_character_and_its_index() {
    for (key, expected) in [
        ("ab\n", KeyError::ControlCharacter { character: '\n', index: 2 }),
        ("\0", KeyError::ControlCharacter { character: '\0', index: 0 }),
        ("a\u{7F}", KeyError::ControlCharacter { character: '\u{7F}', index: 1 }),
        ("ë\u{85}", KeyError::ControlCharacter { character: '\u{85}', index: 1 }),
        ("a\u{200B}b", KeyError::FormatCharacter { character: '\u{200B}', index: 1 }),
        ("a\u{202E}b", KeyError::FormatCharacter { character: '\u{202E}', index: 1 }),
        ("\u{FEFF}a", KeyError::FormatCharacter { character: '\u{FEFF}', index: 0 }),
        ("ë/../x", KeyError::DotDot { index: 2 }),
        ("a//b", KeyError::DoubleSlash { index: 1 }),
        ("a\\b", KeyError::Backslash { index: 1 }),
        ("xe\u{301}", KeyError::NotNfc { nfc: "xé".into(), index: 1 }),
        ("\u{212B}", KeyError::NotNfc { nfc: "Å".into(), index: 0 }),
    ] {
        assert_eq!(check_key(key), Err(expected), "{key:?}");
    }
    assert!(check_key("a\u{202E}b").unwrap_err().to_string().contains("U+202E at index 1"));
}

#[test]
fn all_1120_characters_that_nfc_rewrites_are_refused_not_rewritten() {
    let rewritten = ('\0'..=char::MAX).filter(|character| !unicode_normalization::is_nfc(&character.to_string()));
    let codes: Vec<_> = rewritten.map(|character| code(&character.to_string())).collect();
    assert_eq!(codes.len(), 1_120);
    assert!(codes.iter().all(|code| *code == "key.not_nfc"));
}

proptest! {
    #[test]
    fn the_fast_path_agrees_with_the_rules_written_out(key in "[\0a./\\\\\u{7F}\né ]{0,8}") {
        let control = key.chars().find(|character| character.is_control());
        let clean = !key.is_empty() && control.is_none() && !key.contains("..") && !key.contains("//") && !key.contains('\\');
        prop_assert_eq!(check_key(&key).is_ok(), clean);
    }

    #[test]
    fn what_passes_is_its_own_nfc(key in any::<String>()) {
        if check_key(&key).is_ok() {
            prop_assert_eq!(key.nfc().collect::<String>(), key);
        }
    }
}

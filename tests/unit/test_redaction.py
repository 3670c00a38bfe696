"""What is hidden, and what is not."""

from __future__ import annotations

import pytest

from spellkeep.redaction import HIDDEN, Redactor

CANARY = "canary-5f3a"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "dbPassword",
        "db_password",
        "api_key",
        "apiKey",
        "API_KEY",
        "x-api-key",
        "secret",
        "client_secret",
        "credentials",
        "token",
        "accessToken",
        "authorization",
        "Cookie",
        "privateKey",
        "private_key",
        "connection_string",
        "refresh_token",
    ],
)
def test_a_secret_field_is_hidden_whole(name: str) -> None:
    for value in (CANARY, {"deep": [CANARY]}, [CANARY], CANARY.encode(), 12345):
        assert Redactor().value({"outer": [{name: value}]}) == {"outer": [{name: HIDDEN}]}


@pytest.mark.parametrize(
    "name",
    [
        "max_tokens",
        "tokens",
        "token_count",
        "author",
        "authority",
        "keyboard",
        "key",
        "monkey",
        "secretary",
        "passenger",
        "compass",
        "pinned",
        "spin",
        "authorized",
        "tokenizer",
        "next_token_id",
    ],
)
def test_names_that_only_contain_such_a_word_are_left(name: str) -> None:
    assert Redactor().value({name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop1234",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz",
        "xoxb-1234567890-abc",
        "Bearer abcdef123456",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.sig",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE cut off",
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_any_text(secret: str) -> None:
    shown = Redactor().value({"note": [f"before {secret} after"], secret: 1})
    assert secret not in str(shown) and "before" in str(shown)


def test_a_password_in_an_address_is_hidden_and_the_address_is_not() -> None:
    assert Redactor().text("postgres://anna:hunter2@db/x") == f"postgres://{HIDDEN}@db/x"
    assert Redactor().text("redis://:hunter2@db/0") == f"redis://{HIDDEN}@db/0"
    assert Redactor().text("https://example.org:8080/a@b") == "https://example.org:8080/a@b"


@pytest.mark.parametrize(
    "text", ["0.1234567891234567", "call_Xy12ab34Cd56ef78Gh90", "f3b0c442-98fc-1c14-9afb", "task-1"]
)
def test_numbers_and_ids_are_left(text: str) -> None:
    assert Redactor().text(text) == text


def test_names_and_patterns_of_ones_own_are_added() -> None:
    redactor = Redactor(fields=["shoe"], patterns=[r"PIN-\d+"])
    assert redactor.value({"shoe": 42, "note": "PIN-1234"}) == {"shoe": HIDDEN, "note": HIDDEN}


def test_patterns_of_ones_own_and_the_known_ones_do_not_hide_each_other() -> None:
    redactor = Redactor(patterns=[r"user=\w+ key=sk-\w{4}", r"\d{4}", r"end\b"])
    assert redactor.text(f"a user=anna key=sk-{'x1234' * 5} é 密sk-{'y' * 20} end\udc80 99") == (
        f"a {HIDDEN} é 密{HIDDEN} {HIDDEN}\udc80 99"
    )


@pytest.mark.parametrize("text", ["", "é\udc80", "bearer", "://a:@", "xsk-abcdefghijklmnop1234", "sk-short"])
def test_a_text_without_a_secret_is_itself(text: str) -> None:
    assert Redactor().text(text) is text


def test_what_is_too_deep_or_of_no_plain_class_is_shown_by_its_class_alone() -> None:
    deep: list[object] = [CANARY]
    for _ in range(100):
        deep = [deep]
    assert CANARY not in str(Redactor().value(deep))
    assert Redactor().value({"a": CANARY.encode()}) == {"a": "<bytes>"}


def test_an_entry_whose_key_names_a_secret_is_hidden_whole() -> None:
    redactor = Redactor()
    for key in ("password", "context/password", "context/api_key", "token", "context/token", "login/dbPassword/x"):
        assert redactor.entry(key, "seven horses") == HIDDEN, key
    for key in ("context/plan", "max_tokens", "keyboard", "author/name", None):
        assert redactor.entry(key, {"a": "seven horses"}) == {"a": "seven horses"}, key
    assert redactor.entry("password", None) is None

"""StateScope as Python code meets it. The encoding itself is proven in the engine's own tests."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from spellkeep import StateScope, errors

SCOPES = [
    (StateScope.GLOBAL, "global", (), "global", "StateScope.GLOBAL"),
    (StateScope.user("ada"), "user", ("ada",), "user:ada", "StateScope.user('ada')"),
    (StateScope.session("s-1"), "session", ("s-1",), "session:s-1", "StateScope.session('s-1')"),
    (StateScope.agent("it's"), "agent", ("it's",), "agent:it%27s", 'StateScope.agent("it\'s")'),
    (StateScope.tool("web.get"), "tool", ("web.get",), "tool:web.get", "StateScope.tool('web.get')"),
    (StateScope.workflow("wf"), "workflow", ("wf",), "workflow:wf", "StateScope.workflow('wf')"),
    (StateScope.step("wf", "a:b"), "step", ("wf", "a:b"), "step:wf:a%3Ab", "StateScope.step('wf', 'a:b')"),
    (StateScope.custom("Zoë"), "custom", ("Zoë",), "custom:Zo%C3%AB", "StateScope.custom('Zoë')"),
]


@pytest.mark.parametrize(("scope", "kind", "ids", "text", "representation"), SCOPES)
def test_a_scope_shows_its_kind_ids_text_and_repr(
    scope: StateScope, kind: str, ids: tuple[str, ...], text: str, representation: str
) -> None:
    assert (scope.kind, scope.ids, str(scope), repr(scope)) == (kind, ids, text, representation)
    assert StateScope.parse(text) == scope
    assert eval(representation) == scope  # the repr is the code that makes it


@pytest.mark.parametrize("scope", [row[0] for row in SCOPES])
def test_pickle_and_copy_give_an_equal_scope(scope: StateScope) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(scope, protocol))
        assert again == scope
        assert hash(again) == hash(scope)
    assert copy.copy(scope) is scope
    assert copy.deepcopy([scope])[0] is scope


def test_equal_scopes_are_one_dict_key_and_different_kinds_are_not() -> None:
    names = {StateScope.agent("a"): 1, StateScope.user("a"): 2, StateScope.parse("agent:a"): 3}
    assert names == {StateScope.agent("a"): 3, StateScope.user("a"): 2}
    assert StateScope.agent("a") != StateScope.tool("a")
    assert StateScope.agent("a") != "agent:a"


def test_scopes_sort_by_kind_then_id_by_id() -> None:
    scopes = [StateScope.step("a", "b"), StateScope.agent("b"), StateScope.step("a\0", "a"), StateScope.agent("a\0"),
              StateScope.agent("a"), StateScope.GLOBAL]  # fmt: skip
    assert [str(scope) for scope in sorted(scopes)] == [
        "global", "agent:a", "agent:a%00", "agent:b", "step:a:b", "step:a%00:a",
    ]  # fmt: skip
    with pytest.raises(TypeError):
        StateScope.GLOBAL < "global"  # type: ignore[operator]  # noqa: B015


def test_a_scope_cannot_be_changed_built_bare_or_subclassed() -> None:
    with pytest.raises(AttributeError):
        StateScope.agent("a").kind = "user"  # type: ignore[misc]
    with pytest.raises(TypeError):
        StateScope()
    with pytest.raises(TypeError):
        type("Mine", (StateScope,), {})


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: StateScope.agent(""), "scope.empty_id"),
        (lambda: StateScope.step("wf", ""), "scope.empty_id"),
        (lambda: StateScope.agent("x" * 257), "scope.id_too_long"),
        (lambda: StateScope.agent("ë" * 129), "scope.id_too_long"),
        (lambda: StateScope.agent("a\ud800"), "scope.lone_surrogate"),
        (lambda: StateScope.parse("agent:\udfff"), "scope.lone_surrogate"),
        (lambda: StateScope.parse("agent:a:b"), "scope.malformed"),
        (lambda: StateScope.parse("agnt:a"), "scope.malformed"),
        (lambda: StateScope.parse("agent:"), "scope.empty_id"),
    ],
)
def test_bad_ids_and_texts_are_invalid_keys_with_a_code(make: Callable[[], StateScope], code: str) -> None:
    with pytest.raises(errors.InvalidKey) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.detail
    assert isinstance(caught.value, ValueError)


def test_the_longest_id_is_accepted_in_bytes_not_characters() -> None:
    assert StateScope.agent("x" * 256).ids == ("x" * 256,)
    assert StateScope.agent("ë" * 128).ids == ("ë" * 128,)


@pytest.mark.parametrize("given", [None, 7, b"scout", ["scout"]])
def test_an_id_that_is_no_str_is_a_type_error_that_names_the_type(given: object) -> None:
    with pytest.raises(TypeError, match=f"must be a str, not {type(given).__name__}"):
        StateScope.agent(given)  # type: ignore[arg-type]


def test_str_subclasses_are_ids_by_their_text() -> None:
    class Name(str):
        def __str__(self) -> str:
            return "other"

    assert StateScope.agent(Name("scout")) == StateScope.agent("scout")

"""Scopes over any text: the three forms are injective, ordered and reversible."""

from __future__ import annotations

import pickle
import re
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from spellkeep import StateScope

KINDS = ["global", "user", "session", "agent", "tool", "workflow", "step", "custom"]
CONFUSING = st.text(st.sampled_from("\0\x01:%/ab\u00ff\U0010ffff"), min_size=1, max_size=6)
ANY_ID = CONFUSING | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def parts_of(kind: str, first: str, second: str) -> tuple[str, ...]:
    return {"global": (), "step": (first, second)}.get(kind, (first,))


def build(kind: str, ids: tuple[str, ...]) -> StateScope:
    return StateScope.GLOBAL if kind == "global" else getattr(StateScope, kind)(*ids)


PARTS = st.builds(lambda kind, *ids: (kind, parts_of(kind, *ids)), st.sampled_from(KINDS), ANY_ID, ANY_ID)


def order(parts: tuple[str, tuple[str, ...]]) -> tuple[int, tuple[bytes, ...]]:
    kind, ids = parts
    return KINDS.index(kind), tuple(part.encode() for part in ids)


@given(PARTS)
def test_what_goes_in_comes_out_of_every_form(parts: tuple[str, tuple[str, ...]]) -> None:
    scope = build(*parts)
    assert (scope.kind, scope.ids) == parts
    assert StateScope.parse(str(scope)) == scope
    assert pickle.loads(pickle.dumps(scope)) == scope


@given(PARTS)
def test_the_text_form_is_percent_encoding_as_python_does_it(parts: tuple[str, tuple[str, ...]]) -> None:
    kind, ids = parts
    assert str(build(kind, ids)) == ":".join([kind, *(quote(part, safe="") for part in ids)])


@given(PARTS, PARTS)
def test_scopes_compare_as_their_parts_do(a: tuple[str, tuple[str, ...]], b: tuple[str, tuple[str, ...]]) -> None:
    left, right = build(*a), build(*b)
    assert (left == right, left < right, left >= right) == (a == b, order(a) < order(b), order(a) >= order(b))
    assert (str(left) == str(right)) == (a == b)
    if left == right:
        assert hash(left) == hash(right)


@given(st.from_regex(re.compile(r"(agent|step|global|x)?(:[a%:é0-9A-F ]{0,8})?"), fullmatch=True))
def test_parse_of_any_text_gives_one_canonical_spelling_or_invalid_key(text: str) -> None:
    try:
        scope = StateScope.parse(text)
    except ValueError:
        return
    assert str(StateScope.parse(str(scope))) == str(scope)

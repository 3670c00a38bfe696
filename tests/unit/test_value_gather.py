"""`gather`: all of one mapping, and texts and numbers of others."""

from __future__ import annotations

import enum
from collections import ChainMap, UserDict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spellkeep.value import gather


class Mood(enum.StrEnum):
    CALM = "cal\0m"


values = st.one_of(
    st.integers(), st.booleans(), st.floats(), st.text("a\0", max_size=3), st.none(), st.just(Mood.CALM), st.just([1])
)
names = st.sampled_from(["a", "b", "c", "_a", "__a", "left", "\ud800"])
dicts = st.dictionaries(names, values, max_size=5)
chains = st.lists(dicts, min_size=1, max_size=3).map(lambda maps: ChainMap(*maps))
LEFT_OUT = frozenset({"left"})


class Other(dict[str, Any]):
    """Its items are others than those that it has."""

    def items(self) -> Any:
        return {"a": "other", "maps": 3}.items()


class Chain(ChainMap[str, Any]):
    """Its values are others than those of its dicts."""

    def __getitem__(self, name: str) -> Any:
        return "other"


def expected(first: Any, *others: Any) -> dict[str, Any]:
    found = {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in first.items()}
    for other in others:
        for name, value in (other or {}).items():
            if name not in found and name not in LEFT_OUT and not name.startswith("__"):
                if isinstance(value, str):
                    found[name] = value.replace("\0", "")
                elif isinstance(value, int | float):
                    found[name] = value
    return found


@given(
    dicts,
    st.one_of(
        dicts,
        chains,
        st.sampled_from([dict, UserDict, Other, Chain]).flatmap(dicts.map),
        st.sampled_from([None, "", []]),
    ),
    dicts,
)
def test_it_is_what_a_loop_says(first: dict[str, Any], second: Any, third: dict[str, Any]) -> None:
    before = dict(first)
    found = gather(first, (second, third), LEFT_OUT)
    # Compared as text, since no NaN is equal to itself.
    assert repr(sorted(found.items())) == repr(sorted(expected(first, second, third).items()))
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected(first, second, third).items()
    }
    assert found is not first
    assert repr(first) == repr(before)

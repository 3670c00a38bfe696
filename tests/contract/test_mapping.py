"""One contract for every mutable mapping: `dict` says what it means, and a scope handle keeps it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateScope


class MutableMappingContract(ABC):
    """Subclasses make an empty mapping; its keys come back sorted, which the tests arrange for a dict as well."""

    @abstractmethod
    @pytest.fixture
    def empty(self) -> Any:
        """An empty mapping."""

    @pytest.fixture
    def full(self, empty: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        empty["a"] = 1
        empty["b"] = [2]
        empty["c"] = None
        return empty

    def test_it_is_a_mutable_mapping(self, empty: Any) -> None:
        assert isinstance(empty, MutableMapping)
        assert isinstance(empty, Mapping)

    def test_an_empty_one_is_false_and_has_nothing(self, empty: MutableMapping[str, Any]) -> None:
        assert not empty
        assert len(empty) == 0
        assert list(empty) == list(empty.keys()) == list(empty.values()) == list(empty.items()) == []
        assert empty == {}

    def test_what_is_set_is_read_back_by_every_way_of_reading(self, full: MutableMapping[str, Any]) -> None:
        assert full
        assert len(full) == 3
        assert full["b"] == [2]
        assert full.get("b") == full.get("b", 7) == [2]
        assert full.get("missing") is None
        assert full.get("missing", 7) == 7
        assert full.get("c", 7) is None

    def test_keys_values_and_items_are_views_in_key_order(self, full: MutableMapping[str, Any]) -> None:
        assert list(full) == ["a", "b", "c"]
        assert list(full.keys()) == ["a", "b", "c"]
        assert list(full.values()) == [1, [2], None]
        assert list(full.items()) == [("a", 1), ("b", [2]), ("c", None)]
        keys, values, items = full.keys(), full.values(), full.items()
        full["d"] = 4
        assert (len(keys), len(values), len(items)) == (4, 4, 4)
        assert ("d" in keys, 4 in values, ("d", 4) in items) == (True, True, True)
        assert ("e" in keys, 5 in values, ("d", 5) in items, ("e", 5) in items) == (False, False, False, False)
        assert keys & {"a", "z"} == {"a"}
        assert keys == {"a", "b", "c", "d"}

    def test_a_missing_key_is_a_key_error_everywhere(self, full: MutableMapping[str, Any]) -> None:
        with pytest.raises(KeyError):
            full["missing"]
        with pytest.raises(KeyError):
            del full["missing"]
        with pytest.raises(KeyError):
            full.pop("missing")
        full.clear()
        with pytest.raises(KeyError):
            full.popitem()

    @pytest.mark.parametrize("key", [None, 7, 1.5, b"a", ("a",), "", "missing", "a\ud800", "a" * 1000])
    def test_what_is_no_key_of_it_is_not_in_it(self, full: MutableMapping[str, Any], key: object) -> None:
        assert key not in full
        assert key not in full.keys()  # noqa: SIM118
        assert (key, 1) not in full.items()

    def test_set_replaces_and_delete_removes(self, full: MutableMapping[str, Any]) -> None:
        full["a"] = 10
        assert (full["a"], len(full)) == (10, 3)
        del full["a"]
        assert "a" not in full
        assert list(full) == ["b", "c"]

    def test_pop_removes_and_returns(self, full: MutableMapping[str, Any]) -> None:
        assert full.pop("b") == [2]
        assert full.pop("c", 7) is None
        assert full.pop("b", 7) == 7
        assert full.pop("b", None) is None
        assert list(full) == ["a"]

    def test_popitem_gives_each_item_once(self, full: MutableMapping[str, Any]) -> None:
        popped = [full.popitem() for _ in range(3)]
        assert sorted(popped, key=lambda item: item[0]) == [("a", 1), ("b", [2]), ("c", None)]
        assert not full

    def test_setdefault_stores_only_what_is_missing(self, full: MutableMapping[str, Any]) -> None:
        assert full.setdefault("a", 7) == 1
        assert full.setdefault("c", 7) is None
        assert full.setdefault("d", 7) == 7
        assert full.setdefault("e") is None
        assert (full["d"], full["e"]) == (7, None)

    def test_update_takes_mappings_pairs_keywords_and_itself(self, full: MutableMapping[str, Any]) -> None:
        full.update({"a": 10, "d": 4})
        full.update([("a", 11), ("a", 12)])
        full.update(iter([("e", 5)]), a=13, f=6)
        full.update(self="me", other="you")
        full.update()
        full.update(full)
        assert dict(full) == {
            **{"a": 13, "b": [2], "c": None, "d": 4, "e": 5, "f": 6},
            **{"self": "me", "other": "you"},
        }
        with pytest.raises(TypeError):
            full.update(5)  # type: ignore[call-overload]
        with pytest.raises(ValueError, match="length"):
            full.update(["abc"])  # type: ignore[list-item]

    def test_clear_removes_everything(self, full: MutableMapping[str, Any]) -> None:
        full.clear()
        full.clear()
        assert (len(full), list(full), full.get("a")) == (0, [], None)

    def test_it_equals_mappings_with_the_same_items_and_nothing_else(self, full: MutableMapping[str, Any]) -> None:
        same = {"c": None, "b": [2], "a": 1}
        assert full == same
        assert same == full
        assert full != {**same, "d": 4}
        assert full != {**same, "a": 2}
        pairs: object = [("a", 1), ("b", [2]), ("c", None)]
        assert full != pairs
        with pytest.raises(TypeError):
            hash(full)

    def test_it_becomes_a_dict_and_keywords(self, full: MutableMapping[str, Any]) -> None:
        assert dict(full) == {**full} == {"a": 1, "b": [2], "c": None}

    def test_match_statements_see_a_mapping(self, full: MutableMapping[str, Any]) -> None:
        match full:
            case {"a": int(number), **rest}:
                assert (number, rest) == (1, {"b": [2], "c": None})
            case _:
                pytest.fail("no mapping pattern matched")

    def test_keys_differ_by_case_and_whitespace(self, empty: MutableMapping[str, Any]) -> None:
        names = ["A", "a", " a", "a ", "a b"]
        for index, name in enumerate(sorted(names)):
            empty[name] = index
        assert list(empty) == sorted(names)


class TestDict(MutableMappingContract):
    @pytest.fixture
    def empty(self) -> dict[str, Any]:
        return {}


class TestScopeHandle(MutableMappingContract):
    @pytest.fixture
    def empty(self) -> Iterator[MutableMapping[str, Any]]:
        with sk.open("memory:") as state:
            # A neighbour whose keys must never be seen.
            state.set(StateScope.agent("a:a"), "a", "the neighbour's")
            yield state.scope(StateScope.agent("a"))

    def test_keys_are_ordered_by_code_point_whatever_the_order_of_writing(self, empty: Any) -> None:
        names = ["é", "z", "a", "Z", "10", "9", "\U0001f600", "\uffee", "a/b", "a.b"]
        for name in names:
            empty[name] = name
        assert list(empty) == list(empty.values()) == sorted(names)

    def test_popitem_takes_the_first_key_in_order(self, full: Any) -> None:
        assert full.popitem() == ("a", 1)

    def test_items_and_values_are_of_the_moment_when_iteration_began(self, full: Any) -> None:
        items, values = iter(full.items()), iter(full.values())
        assert (next(items), next(values)) == (("a", 1), 1)
        del full["b"]
        full["bb"] = 3
        assert list(items) == [("b", [2]), ("c", None)]
        assert list(values) == [[2], None]

    def test_update_that_fails_stores_nothing(self, full: Any) -> None:
        before = full.store.last_version
        with pytest.raises(TypeError):
            full.update({"a": 99, "z": object()})
        with pytest.raises(ValueError, match="empty"):
            full.update({"a": 99, "": 1})
        with pytest.raises(TypeError):
            full.update({"a": 99, 7: 1})
        assert full.store.last_version == before
        assert full["a"] == 1

    def test_handles_of_two_scopes_compare_by_their_items(self, full: Any) -> None:
        other = full.store.scope(StateScope.user("u"))
        other.update(full)
        assert other == full
        other["a"] = 2
        assert other != full

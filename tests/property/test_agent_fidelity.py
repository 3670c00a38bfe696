"""A random state of an agent, saved, reopened and loaded, is the same; saved again, it writes what changed."""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spellkeep
from property.test_value_roundtrip import SCALARS, TEXT, VALUES, assert_same
from spellkeep.errors import StateError
from spellkeep.value import decode, encode

State = dict[str, Any]
BY_NAME = ("context", "custom", "tools")
ROLES = st.sampled_from(["system", "user", "assistant", "tool", "developer", ""])
# Names that can be keys, and names that cannot: empty, too long, `..`, control characters, not NFC.
NAMES = st.one_of(
    st.sampled_from(["city", "a/b", "a:b", "message/0000000000", "é", "名前", "x" * 200, "a b", "%2F", "GONE"]),
    st.sampled_from(["", "..", "a//b", "x" * 201, "e\u0301", "\n", "a\\b", "\ud800"]),
    TEXT,
)
_ids = itertools.count()
# An example opens the store a dozen times.
EXAMPLES = settings.default.max_examples // 3


@st.composite
def messages(draw: st.DrawFn) -> Any:
    """One message; no two are the same, so that what moved can be told from what was replaced."""
    if draw(st.integers(0, 9)) == 0:
        # A state that is saved whole may have anything for a message.
        return [next(_ids), draw(VALUES)]
    message: State = {"role": draw(ROLES), "content": draw(TEXT | st.none() | VALUES), "id": next(_ids)}
    if draw(st.booleans()):
        arguments = st.dictionaries(TEXT, SCALARS, max_size=3)
        calls = st.fixed_dictionaries({"id": TEXT, "name": TEXT, "arguments": arguments | TEXT})
        message["tool_calls"] = draw(st.lists(calls, max_size=3))
    if draw(st.booleans()):
        message["at"] = draw(st.datetimes(timezones=st.sampled_from([None, dt.UTC])))
    return message


PARTS = st.dictionaries(NAMES, VALUES, max_size=5)
STATES = st.fixed_dictionaries(
    {},
    optional={
        "tools": PARTS,
        "messages": st.lists(messages(), max_size=12) | SCALARS,
        "context": PARTS | VALUES,
        "custom": PARTS,
        "status": st.sampled_from(["idle", "failed", "of its own"]) | SCALARS,
        "metadata": PARTS | SCALARS,
        "memory": VALUES,
        "Plan B": VALUES,
    },
)


def assert_loaded(state: State, loaded: State | None) -> None:
    """The same, to the types. What goes by names comes back in their order, everything else in its own."""
    assert loaded is not None
    for name, part in state.items():
        if name in BY_NAME and type(part) is dict and type(loaded.get(name)) is dict and set(part) == set(loaded[name]):
            loaded[name] = {each: loaded[name][each] for each in part}
    assert_same(state, loaded)


def saved(store: str, state: State) -> int:
    """Save in an opening of its own; give how many records it took."""
    with spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=64 << 10) as opened:
        before = opened.last_version
        version = opened.save_agent_state("scout", state)
        records = opened.last_version - before
        assert version == (opened.last_version if records else 0)
    with spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=64 << 10) as opened:
        assert_loaded(state, opened.load_agent_state("scout"))
        # What is there already is not written again.
        assert opened.save_agent_state("scout", state) == 0
    return records


def append(state: State, draw: Callable[..., Any]) -> int:
    more = draw(st.lists(messages(), max_size=4))
    state["messages"].extend(more)
    return len(more)


def edit(state: State, draw: Callable[..., Any]) -> int:
    if not state["messages"]:
        return 0
    state["messages"][draw(st.integers(0, len(state["messages"]) - 1))] = draw(messages())
    return 2


def drop_from_the_front(state: State, draw: Callable[..., Any]) -> int:
    del state["messages"][: draw(st.integers(0, len(state["messages"])))]
    return 0


def drop_behind_the_first(state: State, draw: Callable[..., Any]) -> int:
    del state["messages"][1 : draw(st.integers(1, len(state["messages"]) + 1))]
    return 0


def drop_from_the_end(state: State, draw: Callable[..., Any]) -> int:
    del state["messages"][draw(st.integers(0, len(state["messages"]))) :]
    return 0


def insert(state: State, draw: Callable[..., Any]) -> int:
    at = draw(st.integers(0, len(state["messages"])))
    state["messages"].insert(at, draw(messages()))
    # Everything behind it moves up: each place holds another message.
    return 2 * (len(state["messages"]) - at)


def set_name(state: State, draw: Callable[..., Any]) -> int:
    part = draw(st.sampled_from(BY_NAME))
    if type(state.get(part)) is not dict:
        return 0
    # Of a name that cannot be a key the whole part is one entry, and it becomes one or ceases to be.
    count = len(state[part])
    state[part][draw(NAMES)] = draw(VALUES)
    return 2 * (count + 2)


def remove_name(state: State, draw: Callable[..., Any]) -> int:
    part = draw(st.sampled_from(BY_NAME))
    if type(state.get(part)) is not dict or not state[part]:
        return 0
    count = len(state[part])
    del state[part][draw(st.sampled_from(sorted(state[part], key=repr)))]
    return 2 * (count + 2)


def set_field(state: State, draw: Callable[..., Any]) -> int:
    state[draw(st.sampled_from(["status", "metadata", "memory", "Plan B", "more"]))] = draw(VALUES)
    return 4


def remove_field(state: State, draw: Callable[..., Any]) -> int:
    name = draw(st.sampled_from(sorted(set(state) - {"messages"}) or ["none"]))
    part = state.pop(name, None)
    return 2 * (len(part) + 1 if type(part) is dict else 1)


MOVES = [
    append,
    edit,
    drop_from_the_front,
    drop_behind_the_first,
    drop_from_the_end,
    insert,
    set_name,
    remove_name,
    set_field,
    remove_field,
]
# Of any save: the names with what they were, which messages there are with what they were, and the step.
AROUND = 5


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(STATES, st.data())
def test_a_saved_state_comes_back_the_same_and_a_change_writes_what_changed(state: State, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as store:
        saved(store, state)
        for _ in range(data.draw(st.integers(1, 5))):
            if type(state.get("messages")) is not list:
                state["messages"] = []
                saved(store, state)
            move = data.draw(st.sampled_from(MOVES))
            changed = move(state, data.draw)
            records = saved(store, state)
            assert records <= changed + AROUND, (move.__name__, records, changed)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STATES, min_size=2, max_size=5))
def test_any_state_can_be_saved_over_any_other_and_its_past_stays(states: list[State]) -> None:
    with spellkeep.open("memory:") as store:
        versions = list[tuple[int, State]]()
        for state in states:
            if version := store.save_agent_state("scout", state):
                versions.append((version, state))
            assert_loaded(state, store.load_agent_state("scout"))
        for version, state in versions:
            assert_loaded(state, store.agent("scout").at(version).to_dict())
        fork = store.agent("scout").fork("other", at=versions[0][0])
        assert_loaded(versions[0][1], fork.to_dict())
        for state in states:
            store.save_agent_state("other", state)
            assert_loaded(state, store.load_agent_state("other"))
        assert_loaded(states[-1], store.load_agent_state("scout"))


@pytest.mark.parametrize("count", [0, 1, 10, 300])
def test_one_more_message_is_one_record_whatever_the_length(count: int) -> None:
    state: State = {"messages": [{"role": "user", "content": str(number)} for number in range(count)], "memory": [1]}
    with spellkeep.open("memory:") as store:
        store.save_agent_state("scout", state)
        state["messages"].append({"role": "assistant", "content": "more"})
        before = store.last_version
        assert store.save_agent_state("scout", state) == before + 1


@pytest.mark.parametrize("name", ["", "..", "x" * 201, "a\\b", 5])
def test_a_state_with_a_name_that_cannot_be_one_is_refused_whole(name: Any) -> None:
    with spellkeep.open("memory:") as store:
        store.save_agent_state("scout", {"memory": 1})
        with pytest.raises((StateError, TypeError)):
            store.save_agent_state("scout", {"memory": 2, name: 1})
        assert store.load_agent_state("scout") == {"memory": 1}


def test_a_set_in_an_edited_conversation_or_a_fork_is_not_written_again_and_again() -> None:
    # What was read was encoded to compare with, and a set that was read may iterate in another order.
    odd = set(range(2000))
    odd -= odd - {33, 1000}
    assert (list(odd), list(decode(encode(odd)))) == ([33, 1000], [1000, 33])
    state: State = {"messages": [{"role": "user", "content": odd}, {"role": "user", "content": "x"}], "memory": odd}
    with spellkeep.open("memory:") as store:
        scout = store.agent("scout")
        scout.save(state)
        state["messages"].insert(0, {"role": "system", "content": odd})
        scout.save(state)
        assert scout.save(state) == 0
        fork = scout.fork("other")
        assert fork.save(state) == 0


def test_a_save_finds_what_differs_among_messages_that_were_edited() -> None:
    with spellkeep.open("memory:") as store:
        scout = store.agent("scout")
        scout.messages.extend({"role": "user", "content": f"{number} " + "x" * 900} for number in range(2000))
        scout.messages.edit(1000, content="another")
        state = scout.to_dict()
        scout.save(state)
        for change in (1001, 1000, 0, 1999):
            state["messages"][change] = {"role": "user", "content": f"edited {change}"}
            before = store.last_version
            scout.save(state)
            assert store.last_version - before == (2 if change == 1000 else 1)
            assert scout.to_dict() == state
        # What was edited and stays is found behind what goes.
        del state["messages"][1:1000]
        before = store.last_version
        scout.save(state)
        assert store.last_version - before == 2
        assert scout.to_dict() == state

"""Agents: what a user of ``state.agent`` meets, one behaviour at a time. Sequences of changes: tests/property."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope, errors
from spellkeep.agent import Agent, Retention


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateManager]:
    """An open store."""
    with sk.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def scout(state: StateManager) -> Agent:
    """An agent that was never saved."""
    return state.agent("scout")


def test_nothing_is_written_before_the_first_change(state: StateManager, scout: Agent) -> None:
    assert not scout.exists and scout.created_at is None and scout.version == 0
    assert (len(scout.messages), dict(scout.context), scout.status, scout.metadata) == (0, {}, "idle", {})
    assert state.last_version == 0 and state.list_saved_agents() == []
    assert state.load_agent_state("scout") is None and not state.delete_agent_state("scout")


def test_an_append_is_one_record_whatever_is_there(state: StateManager, scout: Agent) -> None:
    scout.messages.extend({"role": "user", "content": str(number)} for number in range(1_000))
    before = state.last_version
    assert scout.messages.add("assistant", "hi", name="scout") == before + 1 == state.last_version
    [entry] = state.changes(since=before)
    assert (entry.scope, entry.key) == (scout.scope, "message/0000001000")
    assert entry.value == {"role": "assistant", "content": "hi", "name": "scout"}


def test_a_message_shows_its_fields_and_when_it_was_said(scout: Agent) -> None:
    said = datetime(2026, 1, 2, tzinfo=UTC)
    calls = [{"id": "1", "name": "search"}]
    scout.messages.append({"role": "assistant", "content": None, "tool_calls": calls, "at": said, "metadata": {"n": 1}})
    begun = datetime.now(UTC) - timedelta(seconds=1)
    version = scout.messages.add("user", [{"type": "text", "text": "look"}])
    first, second = scout.messages
    assert (first.role, first.tool_calls, first.at, first.metadata) == ("assistant", calls, said, {"n": 1})
    assert second.version == version and begun < second.at
    assert dict(second) == {"role": "user", "content": [{"type": "text", "text": "look"}]}
    assert scout.messages.search(text="look") == [second] and scout.messages.search(role="user", limit=0) == []
    assert "look" in repr(second)


def test_a_conversation_is_a_sequence(scout: Agent) -> None:
    plain = [{"role": "user", "content": number} for number in range(20)]
    scout.messages.extend(plain)
    for kept in (plain, plain[3:]):
        assert list(scout.messages) == kept == scout.messages and list(reversed(scout.messages)) == kept[::-1]
        for chosen in (slice(2, 5), slice(None, None, -3), slice(-4, None), slice(5, 2), slice(100, 200)):
            assert scout.messages[chosen] == kept[chosen]
        assert scout.messages[-1] == kept[-1] and kept[2] in scout.messages
        with pytest.raises(IndexError):
            scout.messages[len(kept)]
        if kept is plain:
            del scout.messages[:3]
    scout.messages.clear()
    assert not scout.messages and scout.messages.clear() == 0
    assert scout.messages.add("user", "again") and len(scout.messages) == 1


@pytest.mark.parametrize(("bad", "error"), [({"content": 1}, ValueError), ("hi", TypeError), (None, TypeError)])
def test_what_is_no_message_is_refused(state: StateManager, scout: Agent, bad: Any, error: type[Exception]) -> None:
    for call in (scout.messages.append, lambda message: scout.messages.extend([message])):
        with pytest.raises(error, match=r"role|mapping"):
            call(bad)
    with pytest.raises(errors.NotSerializable):
        scout.messages.add("user", object())
    assert state.last_version == 0
    scout.messages.add("user", "fine")
    assert len(scout.messages) == 1


def test_names_and_statuses_are_checked(scout: Agent) -> None:
    for name in ("", "x" * 201, "a\nb"):
        with pytest.raises(errors.InvalidKey):
            scout.context[name] = 1
        assert name not in scout.context
    scout.context["é" * 100] = 1
    with pytest.raises(TypeError):
        scout.context[1] = 1  # type: ignore[index]
    with pytest.raises(ValueError, match="waiting_for_input"):
        scout.status = "asleep"  # type: ignore[assignment]
    with pytest.raises(errors.KeyMissing):
        scout.context["nothing"]
    with pytest.raises(errors.KeyMissing):
        del scout.context["nothing"]
    with pytest.raises(errors.KeyMissing):
        scout.tools["never"]


def test_two_names_for_one_agent_write_one_conversation(state: StateManager) -> None:
    first, second = state.agent("scout"), state.agent("scout")
    for number in range(10):
        (first if number % 2 else second).messages.add("user", number)
    assert [message.content for message in first.messages] == list(range(10))


def test_a_write_past_the_agent_is_not_overwritten(state: StateManager, scout: Agent) -> None:
    scout.messages.add("user", 0)
    state.set(scout.scope, "message/0000000001", {"role": "user", "content": "from elsewhere"})
    scout.messages.add("user", 2)
    assert [message.content for message in scout.messages] == [0, "from elsewhere", 2]


def test_a_step_is_one_save_and_hidden_until_its_end(state: StateManager, scout: Agent) -> None:
    scout.messages.add("user", "first")
    seen = list[Any]()

    def look() -> None:
        seen.append((len(scout.messages), dict(scout.context)))

    with scout.step("plan") as step:
        value = [1]
        scout.context["plan"] = value
        value.append(2)
        assert scout.messages.add("assistant", "second") == 0 and scout.messages[-1].version == 0
        with pytest.raises(RuntimeError), scout.step():
            pass
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen == [(1, {})] and scout.context["plan"] == [1] and len(scout.messages) == 2
    [latest] = scout.versions(limit=1)
    assert (latest.version, latest.label) == (step.version, "plan")
    assert set(latest.keys) == {"message/0000000001", "context/plan"}
    before = state.last_version
    with scout.step() as nothing:
        pass
    assert nothing.version == 0 and state.last_version == before
    with pytest.raises(errors.NotSerializable), scout.step():
        scout.context["bad"] = object()
    assert "bad" not in scout.context


def test_every_version_reads_as_it_was(scout: Agent) -> None:
    saves = dict[int, Any]()
    changes = [
        lambda: scout.messages.add("user", "first"),
        lambda: scout.context.set("n", 1),
        lambda: scout.context.set("n", 2),
        lambda: scout.messages.extend([{"role": "tool", "content": number} for number in range(5)]),
        lambda: scout.messages.edit(0, content="edited"),
        lambda: scout.messages.edit(0, content="again"),
        lambda: scout.messages.delete(slice(1, 3)),
        lambda: scout.context.clear(),
        lambda: scout.describe(name="Scout"),
        lambda: scout.messages.delete(0),
        lambda: scout.context.set("n", 3),
    ]
    for change in changes:
        change()
        saves[scout.version] = scout.to_dict()
    assert [each.version for each in scout.versions()] == sorted(saves, reverse=True) and len(saves) == len(changes)
    for version, state in saves.items():
        assert scout.at(version).to_dict() == state
    with pytest.raises(ZeroDivisionError), scout.step():
        scout.context["n"] = 4
        raise ZeroDivisionError
    assert scout.to_dict() == state


def test_half_a_step_is_never_shown(scout: Agent) -> None:
    first = scout.messages.add("user", "first")
    with scout.step() as step:
        scout.messages.add("assistant", "second")
        scout.context["n"] = 1
        scout.context["m"] = 2
    assert step.version is not None
    for version in range(first, step.version):
        assert (len(scout.at(version).messages), scout.at(version).context.to_dict()) == (1, {}), version


@pytest.mark.parametrize("count", [*range(1, 18), 63, 64, 65, 1_000])
def test_the_end_is_found_at_every_length(state: StateManager, count: int) -> None:
    state.agent("scout").messages.extend({"role": "user", "content": number} for number in range(count))
    # The one above is not held, so what it knew is read again.
    scout = state.agent("scout")
    assert len(scout.messages) == count
    handle = state.scope(scout.scope)
    for start in {0, 1, count // 3, count // 2, count - 1, count}:
        assert handle._numbered_end("message/", start) == count
    scout.messages.add("user", count)
    assert scout.messages[-1].content == count


def test_times_and_tags_find_versions(scout: Agent) -> None:
    first = scout.messages.add("user", "first")
    moment = scout.messages[0].at
    scout.messages.add("user", "second")
    assert len(scout.at(moment).messages) == 1 == len(scout.at(first).messages)
    assert len(scout.at(datetime.now(UTC)).messages) == 2
    scout.tag("begin", first)
    assert scout.at("begin").version == first and scout.tags == {"begin": first}
    scout.untag("begin")
    for missing in ("begin", 0, first - 1, 10**9, datetime(1999, 1, 1, tzinfo=UTC)):
        with pytest.raises(errors.KeyMissing):
            scout.at(missing)
    with pytest.raises(ValueError, match="zone"):
        scout.at(datetime(2026, 1, 1))
    with pytest.raises(TypeError):
        scout.at(True)
    assert not scout.diff(first, first) and str(scout.diff(first, first)) == "no difference"
    assert str(scout.diff(first)) == "+ messages[1]: {'role': 'user', 'content': 'second'}"


def test_a_deep_chain_of_forks_reads_and_writes(state: StateManager, scout: Agent) -> None:
    scout.messages.add("user", 0)
    scout.context["kept"] = True
    last = scout
    for number in range(1, 300):
        last = last.fork(f"fork-{number}")
        last.messages.add("user", number)
    assert [message.content for message in last.messages] == list(range(300)) and last.context["kept"]
    assert last.messages[0].content == 0 and len(scout.messages) == 1
    assert last.detach() and last.messages[150].content == 150 and last.context["kept"]


def test_pruning_keeps_what_forks_and_tags_need(state: StateManager, scout: Agent) -> None:
    scout.messages.extend({"role": "user", "content": number} for number in range(100))
    fork = scout.fork("fork")
    # What the tag keeps is not all that the fork reads.
    scout.messages.delete(0)
    scout.tag("later")
    scout.messages.delete(slice(0, 89))
    for number in range(50):
        scout.context["n"] = number
    scout.retention = Retention(keep_last=1)
    assert scout.prune() > 40 and scout.retention == Retention(keep_last=1)
    assert (len(fork.messages), len(scout.at("later").messages), len(scout.messages)) == (100, 99, 10)
    assert [message.content for message in fork.messages] == list(range(100))
    scout.untag("later")
    assert fork.delete()
    # The messages, and the word that the first of them is removed.
    assert scout.prune() == 91
    assert len(scout.messages) == 10 and scout.context["n"] == 49
    keys = state.list_keys(scout.scope)
    assert len([key for key in keys if key.startswith("message/")]) == 10
    scout.messages.add("user", "on")
    with pytest.raises(errors.LimitExceeded):
        Retention(keep_last=-1)


def test_a_view_that_is_no_longer_kept_says_so(scout: Agent) -> None:
    scout.context["n"] = 1
    scout.messages.add("user", "hi")
    view = scout.at(scout.version)
    before = scout.version
    scout.context["n"] = 2
    scout.messages.clear()
    assert view.context["n"] == 1 and len(view.messages) == 1
    scout.retention = Retention(keep_last=1)
    scout.prune()
    looks = (
        *(lambda: view.context["n"], lambda: view.context.get("n"), lambda: "n" in view.context),
        *(lambda: view.tools.get("search"), lambda: "search" in view.tools),
        *(lambda: list(view.context), lambda: view.status, view.to_dict),
    )
    for look in looks:
        with pytest.raises(errors.KeyMissing) as refusal:
            look()
        assert refusal.value.code == "agent.version_missing", before
    scout.delete()
    scout.messages.add("user", "anew")
    with pytest.raises(errors.KeyMissing):
        view.to_dict()


def test_pruning_happens_by_itself(state: StateManager, scout: Agent) -> None:
    scout.retention = Retention(keep_last=10)
    for number in range(2_000):
        scout.context["n"] = number
    assert state.stats().key_count < 600


def test_two_handles_of_one_agent_count_messages_together(state: StateManager, scout: Agent) -> None:
    other = state.agent("scout")
    for number in range(6):
        (scout, other)[number % 2].messages.add("user", number)
    for agent in (scout, other, state.agent("scout")):
        assert [message.content for message in agent.messages] == list(range(6))


def test_a_deleted_agent_can_begin_again(state: StateManager, scout: Agent) -> None:
    for _ in range(3):
        scout.messages.add("user", "hi")
    assert scout.delete() and len(scout.messages) == 0
    scout.messages.add("user", "anew")
    assert [message.content for message in state.agent("scout").messages] == ["anew"]
    assert state.list_keys(StateScope.agent("scout")) == ["agent", "message/0000000000", "step/0000000000"]


def test_a_description_in_a_step_is_taken_as_it_is_when_told(scout: Agent) -> None:
    tags = ["travel"]
    with scout.step():
        scout.describe(tags=tags)
        tags.append("later")
        with pytest.raises(errors.NotSerializable):
            scout.describe(provider=object())
    assert scout.metadata == {"tags": ["travel"]}


def test_a_use_of_a_tool_keeps_what_else_is_known_of_it(state: StateManager, scout: Agent) -> None:
    scout.save({"tools": {"search": {"ok": 1, "note": "slow"}, "odd": 5}})
    scout.tools.record("search", ms=3)
    scout.tools.record("odd")
    tools = scout.to_dict()["tools"]
    assert (tools["search"]["note"], tools["search"]["ok"], tools["search"]["total_ms"]) == ("slow", 2, 3)
    assert scout.tools["odd"].calls == 1


@pytest.mark.parametrize("days", [float("inf"), float("nan"), 36_526, -0.5])
def test_a_retention_that_no_calendar_has_is_refused(scout: Agent, days: float) -> None:
    # Infinite days were taken, and made every 256th save raise OverflowError.
    with pytest.raises(errors.LimitExceeded) as refusal:
        Retention(keep_days=days)
    assert refusal.value.code == "agent.retention"
    for count in (1.5, True, -1):
        with pytest.raises(errors.LimitExceeded):
            Retention(keep_last=count)  # type: ignore[arg-type]
    scout.context["n"] = 1
    scout.context["n"] = 2
    scout.retention = Retention(keep_days=36_525)
    assert scout.prune() == 0 and len(scout.versions()) == 2

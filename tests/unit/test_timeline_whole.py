"""Nothing happens that a timeline does not tell, and nothing that it told can be taken away unnoticed.

With SPELLKEEP_CONVERSATIONS naming a folder, as in `crash.conversations`, on all of its conversations.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import spellkeep as sk
from crash.conversations import DATA, made_up, read
from spellkeep import Change, StateScope
from spellkeep.hooks import HookResult
from spellkeep.timeline import Timeline

GIVEN = os.environ.get(DATA)


def replayed(path: Path) -> Timeline:
    """Agents, events, hooks before and after, that write themselves; all that the log says of it."""
    with sk.open(path, keep_log_bytes=None, segment_bytes=1 << 30) as state:

        @state.hooks.before("set", scope="agent:*", key="context/*", name="shorten")
        def shorten(context: Any) -> HookResult | None:
            return HookResult.modify(context.value[:80]) if len(context.value) > 80 else None

        @state.hooks.after("set", scope="agent:*", key="message/*", name="count")
        def count(change: Change) -> None:
            tally = state.scope(StateScope.custom("tally"))
            tally["messages"] = tally.get("messages", 0) + 1
            if tally["messages"] % 10 == 0:
                state.events.emit("ten.more", tally["messages"])

        told = 0
        for conversation in read(Path(GIVEN)) if GIVEN else made_up(1, 8):
            agent = state.agent(str(conversation["conversation_id"]))
            with sk.correlate(f"conversation-{conversation['conversation_id']}", actor="importer"):
                for number, message in enumerate(conversation["messages"]):
                    with state.events.span("turn", {"number": number}), agent.step():
                        agent.messages.append(message)
                        agent.context["last"] = str(message.get("content"))
                    told += 1
        assert state.hooks.drain(60)
        assert state.get(StateScope.custom("tally"), "messages") == told
        state.flush()
        found = state.timeline()
        assert [change.version for change in found] == list(range(1, state.last_version + 1))
        return found


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Timeline]:
    path = tmp_path_factory.mktemp("whole") / "s"
    return path, replayed(path)


def test_every_version_has_a_cause_a_correlation_or_is_the_hooks_own(lived: tuple[Path, Timeline]) -> None:
    found = lived[1]
    assert found.missing_causes == []
    # What the hooks keep of themselves: positions, and the history.
    rest = Timeline(change for change in found if str(change.scope) != "custom:spellkeep.hooks")
    assert all(change.correlation for change in rest)
    # A turn is an event that nothing caused; all else has one above it, and what the hook wrote has a message's record.
    assert {(change.operation, change.key) for change in rest.roots} == {("event", "turn")}
    for change in rest:
        if change.scope == StateScope.custom("tally") or change.key == "ten.more":
            above = rest.cause_of(change)
            assert above is not None and str(above.key).startswith("message/")


def test_a_record_that_is_taken_out_is_missed(lived: tuple[Path, Timeline], tmp_path: Path) -> None:
    path, found = lived
    events = [change for change in found if change.operation == "event"]
    for change in (events[0], events[len(events) // 2], events[-1]):
        copy = tmp_path / str(change.version)
        shutil.copytree(path, copy)
        assert sk.verify(copy).ok
        [segment] = (copy / "segments").iterdir()
        content = segment.read_bytes()
        # The first segment holds position 64 at its 64th byte (docs/format.md).
        at = change._pos
        end = at + int.from_bytes(content[at : at + 4], "little")
        segment.write_bytes(content[:at] + content[end:])
        report = sk.verify(copy)
        assert not report.ok and report.damages

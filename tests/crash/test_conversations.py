"""Conversations as agents in a process that is killed: the short form, and that the checks can fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import spellkeep
from crash.conversations import DATA, check, made_up, read, run, write


def test_conversations_of_a_killed_process_are_whole_when_it_has_resumed() -> None:
    report = run(made_up(7, 12), ["--made-up", "7", "12"], kills=3, seed=7, alive_s=0.15)
    assert not report.wrong, report
    assert report.kills == 3
    assert report.acknowledged >= report.messages


def test_real_conversations_are_whole_when_it_has_resumed() -> None:
    folder = os.environ.get(DATA)
    if not folder:
        pytest.skip(f"no conversations: {DATA} names a folder of them")
    report = run(read(Path(folder)), ["--data", folder], kills=5, seed=7, alive_s=0.5)
    assert not report.wrong, report
    # Every message is stored once, with about 100 bytes around it.
    assert report.log_bytes <= 1.5 * report.raw_bytes


def test_the_checks_find_what_is_missing_too_much_or_different(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conversations = made_up(3, 4)
    write(str(tmp_path / "s"), conversations, 1)
    said = {each["conversation_id"]: len(each["messages"]) for each in conversations}
    with spellkeep.open(tmp_path / "s") as state:
        assert check(state, conversations, said, True) == []
        first, second, third, _ = (state.agent(each["conversation_id"]) for each in conversations)
        first.messages.edit(1, content="another")
        second.messages.delete(-1)
        third.messages.add("user", "more")
        found = check(state, conversations, said, True)
        assert [each.split(": ")[1][:16] for each in found] == [
            "the messages dif",
            *[f"{len(second.messages)} messages, and"[:16], "is not whole at "],
            *["the messages dif", "is not whole at "],
        ]

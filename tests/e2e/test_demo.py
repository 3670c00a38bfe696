"""The demo with a few kills; and what it says when something is lost after all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep
from spellkeep import StateScope
from spellkeep.cli.demo.made import made_conversations
from spellkeep.cli.demo.supervisor import Supervisor

FIGURES = {
    "seed", "durability", "conversation_count", "message_count", "kill_count", "acknowledged_count", "recovered_count",
    "unacknowledged_count", "lost_count", "wrong_count", "write_median_us", "write_p99_us", "duration_ms", "failures",
}  # fmt: skip


@pytest.mark.parametrize("durability", ["process", "interval", "sync"])
def test_the_demo_loses_nothing(durability: str, spellkeep: Spellkeep, store: Path) -> None:
    done = spellkeep("demo", "--kills", 3, "--seed", 7, "--durability", durability, "--json")
    assert (done.code, done.err) == (0, "")
    told = done.json
    assert set(told) == FIGURES
    assert (told["seed"], told["durability"], told["kill_count"]) == (7, durability, 3)
    assert (told["lost_count"], told["wrong_count"], told["failures"]) == (0, 0, [])
    assert told["acknowledged_count"] == told["recovered_count"]
    assert told["acknowledged_count"] + told["unacknowledged_count"] == told["message_count"]
    # At most one message per kill was stored without a word.
    assert told["unacknowledged_count"] <= 3
    assert not store.exists()


def test_the_demo_prints_a_table_and_its_seed(spellkeep: Spellkeep) -> None:
    lines = spellkeep("demo", "--kills", 1, "--seed", 11).out.splitlines()
    table = {" ".join(words[:-1]): words[-1] for words in map(str.split, lines)}
    assert (table["kills"], table["lost"], table["wrong"], table["seed"]) == ("1", "0", "0", "11")
    assert table["acknowledged"] == table["recovered"]


def test_the_demo_replays_a_file_into_a_store_that_it_leaves(spellkeep: Spellkeep, tmp_path: Path) -> None:
    conversations = made_conversations(3, count=4)
    file, kept = tmp_path / "in.jsonl", tmp_path / "kept"
    lines = (json.dumps({"conversation_id": name, "messages": messages}) for name, messages in conversations)
    file.write_text("".join(line + "\n" for line in lines))
    arguments = ("demo", "--input", file, "--kills", 2, "--seed", 1, "--store", kept, "--json")
    assert spellkeep(*arguments).json["conversation_count"] == 4
    with sk.open(kept) as state:
        for name, messages in conversations:
            assert [value for _, value in state.items(StateScope.agent(name))] == messages
    again = spellkeep(*arguments)
    assert (again.error, again.code) == ("demo.store_exists", 2)


def test_the_demo_refuses_a_bad_input(spellkeep: Spellkeep, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    refused = spellkeep("demo", "--input", tmp_path / "in.jsonl")
    assert (refused.error, refused.code) == ("ingest.missing_id", 1)


def test_made_conversations_are_the_same_for_the_same_seed() -> None:
    assert made_conversations(5) == made_conversations(5)
    assert made_conversations(5) != made_conversations(6)


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    """One that has seen two killed workers."""
    conversations = made_conversations(1, count=3)
    lines = (json.dumps({"conversation_id": name, "messages": messages}) for name, messages in conversations)
    (tmp_path / "in.jsonl").write_text("".join(line + "\n" for line in lines))
    supervisor = Supervisor(str(tmp_path / "s"), str(tmp_path / "in.jsonl"), conversations, "process", seed=1)
    assert supervisor.run(1, lambda done: None).failures == []
    return supervisor


FIRST = StateScope.agent("made-000")


def test_the_demo_would_see_a_loss(supervisor: Supervisor) -> None:
    with sk.open(supervisor.store) as state:
        (*_, last) = state.list_keys(FIRST)
        state.delete(FIRST, last)
    outcome = supervisor.run(0, lambda done: None)
    # The next worker writes the message again; it must not be counted as if it had been there.
    assert (outcome.lost_count, outcome.recovered_count) == (1, outcome.acknowledged_count - 1)
    assert "a later worker did not find it" in outcome.failures[0]


def test_the_demo_would_see_a_hole(supervisor: Supervisor) -> None:
    with sk.open(supervisor.store) as state:
        state.delete(FIRST, "message/000001")
    supervisor._compare(complete=False)
    kinds = {failure.split(":")[0] for failure in supervisor.outcome.failures}
    assert kinds == {"lost", "wrong"}


def test_the_demo_would_see_a_wrong_value(supervisor: Supervisor) -> None:
    with sk.open(supervisor.store) as state:
        state.set(FIRST, "message/000000", {"role": "user", "content": "something else"})
    supervisor._compare(complete=True)
    assert any("its content is another" in failure for failure in supervisor.outcome.failures)

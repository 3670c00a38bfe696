"""``spellkeep agent ...`` as its users meet it."""

from __future__ import annotations

from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep


@pytest.fixture
def versions(store: Path) -> list[int]:
    """The versions of an agent with three saves."""
    with sk.open(store) as state:
        scout = state.agent("scout")
        first = scout.messages.add("user", "hi \x1b[2J")
        second = scout.messages.add("assistant", "hello")
        with scout.step("plan"):
            scout.context["city"] = "Lyon"
            scout.status = "processing"
        return [first, second, scout.version]


def test_agents_are_listed_and_shown(spellkeep: Spellkeep, versions: list[int]) -> None:
    [listed] = spellkeep("agent", "ls", "--json").json["agents"]
    assert (listed["id"], listed["message_count"], listed["status"]) == ("scout", 2, "processing")
    state = spellkeep("agent", "show", "scout", "--json").json["state"]
    assert state["context"] == {"city": "Lyon"}
    assert [message["role"] for message in state["messages"]] == ["user", "assistant"]
    shown = spellkeep("agent", "show", "scout").out
    assert "Lyon" in shown
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert len(spellkeep("agent", "show", "scout", "--last", "1", "--json").json["state"]["messages"]) == 1
    assert spellkeep("agent", "show", "scout", "--at", str(versions[0]), "--json").json["state"]["context"] == {}


def test_versions_are_listed_compared_and_restored(spellkeep: Spellkeep, versions: list[int]) -> None:
    listed = spellkeep("agent", "versions", "scout", "--json").json["versions"]
    assert [each["version"] for each in listed] == versions[::-1]
    assert [each["label"] for each in listed] == ["plan", None, None]
    assert spellkeep("agent", "tag", "scout", "start", str(versions[0])).code == 0
    assert spellkeep("agent", "versions", "scout", "--json").json["versions"][-1]["tags"] == ["start"]
    changes = spellkeep("agent", "diff", "scout", "start", str(versions[1]), "--json").json["changes"]
    assert [(each["path"], each["kind"]) for each in changes] == [("messages[1]", "added")]
    assert "+ context.city" in spellkeep("agent", "diff", "scout", "start").out
    assert spellkeep("agent", "restore", "scout", "start").code == 0
    assert spellkeep("agent", "diff", "scout", "start").out == "no difference\n"


def test_forks_and_removal(spellkeep: Spellkeep, versions: list[int]) -> None:
    assert spellkeep("agent", "fork", "scout", "other", "--at", str(versions[0])).code == 0
    assert len(spellkeep("agent", "show", "other", "--json").json["state"]["messages"]) == 1
    assert spellkeep("agent", "fork", "scout", "other").error == "agent.exists"
    assert spellkeep("agent", "rm", "scout").error == "agent.has_forks"
    assert spellkeep("agent", "rm", "other").code == 0
    assert "cleared away" in spellkeep("agent", "prune", "scout", "--keep-last", "1").out
    assert spellkeep("agent", "show", "scout", "--at", str(versions[0])).error == "agent.version_missing"
    assert spellkeep("agent", "rm", "scout").code == 0
    assert spellkeep("agent", "ls", "--json").json["agents"] == []


def test_what_is_not_there_is_said(spellkeep: Spellkeep, versions: list[int]) -> None:
    assert spellkeep("agent", "show", "nobody").error == "key.missing"
    assert spellkeep("agent", "show", "scout", "--at", "no-tag").error == "key.missing"
    assert spellkeep("agent", "show", "scout", "--at", "999999").error == "agent.version_missing"
    assert spellkeep("agent", "diff", "scout", "1999-01-01").error == "agent.version_missing"

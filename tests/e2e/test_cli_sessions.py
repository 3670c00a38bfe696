"""sessions: of another process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import spellkeep as sk
from e2e.conftest import Spellkeep


def test_sessions_are_listed_and_chosen(spellkeep: Spellkeep, store: Path) -> None:
    with sk.open(store) as state:
        with state.session("s-1", actor="anna", metadata={"password": "hunter2", "from": "web"}):
            pass
        with suppress(ValueError), state.session("s-2"):
            raise ValueError
        with state.session("s-3"):
            state.flush()
            lines = [line.split("\t") for line in spellkeep("sessions").out.splitlines()]
    assert [(line[0], line[1], *line[4:]) for line in lines] == [
        ("s-3", "open", "", ""),
        ("s-2", "failed", "ValueError", ""),
        ("s-1", "ok", "", "anna"),
    ]
    assert [line.split("\t")[0] for line in spellkeep("sessions", "--status", "failed").out.splitlines()] == ["s-2"]
    (shown,) = spellkeep("sessions", "s-1", "--json").json["sessions"]
    assert (shown["id"], shown["status"], shown["metadata"]["from"]) == ("s-1", "ok", "web")
    assert "hunter2" not in str(shown)

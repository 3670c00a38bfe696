"""Killed while hooks are given changes: each is given every committed change, positions never go back, no hole in what
is written down. `KILLS=500 pytest tests/crash/test_hooks_kill.py` is the long form."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

import spellkeep as sk
from crash.child import environment
from spellkeep import Change, StateScope
from spellkeep.hooks import Execution

KILLS = int(os.environ.get("KILLS", "8"))
HOOKS = StateScope.custom("spellkeep.hooks")


def positions(state: sk.StateManager) -> dict[str, int]:
    """How far the store says that each hook came."""
    return {name: state.get(HOOKS, f"position/{name}", {"version": 0})["version"] for name in ("one", "many")}


@pytest.mark.timeout(600 + 5 * KILLS)
def test_every_committed_change_reaches_each_hook_whenever_the_process_is_killed(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", secrets.randbelow(1 << 32)))
    rng = random.Random(seed)
    store, said = tmp_path / "s", tmp_path / "said"
    before = {"one": 0, "many": 0}
    for life in range(KILLS):
        begun = said.stat().st_size if said.exists() else 0
        child = subprocess.Popen([sys.executable, "-m", "crash.hooked", str(store), str(said)], env=environment())
        until = time.monotonic() + 60
        while (not said.exists() or b"wrote" not in said.read_bytes()[begun:]) and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.15))
        child.kill()
        assert child.wait() == -9, f"it ended on its own: SEED={seed}, life {life}"
        # Whoever looks next changes nothing.
        with sk.open(store, read_only=True) as state:
            after = positions(state)
        assert all(after[name] >= before[name] for name in after), f"SEED={seed}, life {life}: {before} -> {after}"
        before = after

    told: dict[str, set[int]] = {"one": set(), "many": set(), "wrote": set()}
    for line in said.read_text().splitlines():
        # The last line of a life may be cut, and has no end then: nothing is lost that was ended.
        what, *versions = line.split()
        if what in told:
            told[what].update(int(version) for version in versions if version.isdigit())
    # Each life at least, however slow.
    assert len(told["wrote"]) >= KILLS

    late: dict[str, list[int]] = {"one": [], "many": []}
    with sk.open(store, keep_log_bytes=None) as state:
        state.hooks.retention(keep_count=None, keep_days=None)
        # What was committed and not delivered is delivered now.
        state.hooks.after("set", "delete", name="one")(lambda change: late["one"].append(change.version))

        @state.hooks.after("set", name="many", batch=True, scope="agent:*")
        def many(changes: list[Change]) -> None:
            late["many"].extend(change.version for change in changes)

        assert state.hooks.drain(60)
        changes = [change for change in state.changes() if change.scope != HOOKS]
        sets = {change.version for change in changes if change.operation == "set"}
        both = sets | {change.version for change in changes if change.operation == "delete"}
        assert told["wrote"] <= both, f"SEED={seed}: acknowledged, and not there"
        assert both <= told["one"] | {*late["one"]}, f"SEED={seed}"
        assert sets <= told["many"] | {*late["many"]}, f"SEED={seed}"
        assert not {*late["one"]} - both and not {*late["many"]} - sets
        for name in ("one", "many"):
            rows = state.hooks.history(name, limit=10**9)[::-1]
            check_history(rows, name, f"SEED={seed}")
    with sk.open(store) as state:
        executions = {row.version for row in state.hooks.history("one", limit=10**9) if row.result == "proceeded"}
        assert both <= executions, f"SEED={seed}: delivered, and not in the history"


def check_history(rows: list[Execution], name: str, seed: str) -> None:
    """Chunks are numbered without a hole, and what they say never goes back."""
    chunks = sorted({row.chunk for row in rows})
    assert chunks == list(range(len(chunks))), f"{name}: {seed}"
    rows.sort(key=lambda row: row.chunk)
    versions = [row.version for row in rows if row.result == "proceeded"]
    assert versions == sorted(versions), f"{name}: {seed}"
    # Positions and history are one batch: nothing is in the history twice but what was not taken the first time.
    assert len(versions) == len(set(versions)), f"{name}: {seed}"

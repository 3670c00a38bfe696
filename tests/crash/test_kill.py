"""Killed writers, briefly. The long form is `make crash`."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from crash.harness import WORDS, Run, Word

KILLS = 35


# Machines are shared, and each kill starts two processes.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("word", WORDS)
def test_killed_writers_lose_nothing_that_was_acknowledged(word: Word, tmp_path: Path) -> None:
    run = Run(word, seed=secrets.randbelow(1 << 32), folder=tmp_path)
    run.kill(KILLS)
    repeat = f"PYTHONPATH=tests python -m crash --seed {run.seed} --kills {KILLS * len(WORDS)}"
    assert not run.findings, f"{repeat}\n" + "\n".join(map(str, run.findings[:20]))
    assert run.counts["kills"] == KILLS
    # A run in which nothing was written would show nothing. Few are killed before their first answer.
    assert run.counts["acknowledged"] >= KILLS // 2
    assert run.counts["uncertain"] <= KILLS * run.threads

"""That what is measured does its work: one that only looks as if must not get into the tables."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from rivals.contenders import _LISTED, load
from rivals.contenders.by_hand import ByHand, PackedDict
from rivals.contenders.protocol import Contender, Pairs, Setting
from rivals.proof import Unproven, prove
from rivals.turn import Turn
from rivals.workloads import Workload


@pytest.mark.parametrize("listed", _LISTED, ids=lambda listed: ".".join(listed))
@pytest.mark.parametrize("setting", [Setting(), Setting(threads=8, size_bytes=120)], ids=["one thread", "threads"])
def test_each_contender_stores_and_gives_back(listed: tuple[str, str], setting: Setting, tmp_path: Path) -> None:
    found, skipped = load((listed,))
    if not found:
        pytest.skip(skipped[0])
    prove(found[0], tmp_path / "c", setting)


class DoesNothing(PackedDict):
    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        self.set = lambda key, value: None  # type: ignore[method-assign]


class KeepsTheFirst(PackedDict):
    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        put = self.set
        self.set = lambda key, value: None if key in self._values else put(key, value)  # type: ignore[method-assign]


class LosesHalfABatch(PackedDict):
    def batch(self, pairs: Pairs) -> None:
        super().batch(pairs[::2])


class ListsEverything(PackedDict):
    def keys(self, prefix: str) -> list[str]:
        return super().keys("")


class ComparesNothing(PackedDict):
    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        self.set(key, value)
        return True


class NeverSets(PackedDict):
    def compare_and_set(self, key: str, value: Any, seen: bytes) -> bool:
        return False


class ForgetsAtClose(ByHand):
    def close(self) -> None:
        super().close()
        (self._folder / "log").unlink()

    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        self._folder = folder


@pytest.mark.parametrize(
    "made", [DoesNothing, KeepsTheFirst, LosesHalfABatch, ListsEverything, ComparesNothing, NeverSets, ForgetsAtClose]
)
def test_a_contender_that_does_not_do_its_work_is_found_out(made: type[Contender], tmp_path: Path) -> None:
    with pytest.raises(Unproven):
        prove(made, tmp_path / "c", Setting())


@pytest.mark.parametrize("kind", ["set", "new", "get", "batch", "cas", "mixed", "list", "open"])
def test_a_turn_does_as_many_operations_as_it_says(kind: Any, tmp_path: Path) -> None:
    threads = 4 if kind in ("set", "get") else 1
    workload = Workload("w", kind, 120, keys=400, threads=threads, checkpoint=kind == "mixed")
    turn = Turn(ByHand, tmp_path / "c", workload)
    count = 1 if kind == "open" else 40
    assert turn.prepare(count) == count
    assert turn.whole_ns() > 0
    turn.check()
    assert turn.prepare(count) == count
    assert len(turn.singles_ns()) == (0 if threads > 1 else count)
    turn.close()


@pytest.mark.parametrize("listed", _LISTED, ids=lambda listed: ".".join(listed))
def test_each_contender_works_while_it_makes_checkpoints(listed: tuple[str, str], tmp_path: Path) -> None:
    found, skipped = load((listed,))
    if not found:
        pytest.skip(skipped[0])
    turn = Turn(found[0], tmp_path / "c", Workload("w", "mixed", 1_000, checkpoint=True))
    for _ in range(2):
        turn.prepare(20)
        turn.whole_ns()
    turn.close()


class CannotCheckpoint(PackedDict):
    def checkpoint(self) -> None:
        raise OSError("no")


def test_a_checkpoint_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    turn = Turn(CannotCheckpoint, tmp_path, Workload("w", "mixed", 120, checkpoint=True))
    turn.prepare(10)
    with pytest.raises(OSError, match="no"):
        turn.whole_ns()
    turn.close()


class LosesTheEighth(PackedDict):
    def __init__(self, folder: Path, setting: Setting) -> None:
        super().__init__(folder, setting)
        put, count = self.set, itertools.count(1)
        self.set = lambda key, value: None if next(count) % 8 == 0 else put(key, value)  # type: ignore[method-assign]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_write_that_was_lost_on_the_way_is_found_after_the_race(threads: int, tmp_path: Path) -> None:
    turn = Turn(LosesTheEighth, tmp_path, Workload("w", "set", 120, keys=4, threads=threads))
    turn.prepare(4)
    turn.whole_ns()
    turn.check()
    # What was made ready and never done is nobody's loss.
    turn.prepare(4)
    turn.check()
    turn.whole_ns()
    with pytest.raises(Unproven):
        turn.check()
    turn.close()

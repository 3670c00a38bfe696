"""That a contender does the work: before it is measured it has to store, give back, list, refuse, and keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rivals.contenders.protocol import Contender, Setting
from rivals.values import value


class Unproven(Exception):
    """A contender does not do what it is measured for."""


def _same(contender: Contender, expected: dict[str, Any], when: str) -> None:
    for key, wanted in expected.items():
        try:
            found = contender.get(key)
        except Exception as failure:
            raise Unproven(f"{contender.name}: {key} cannot be read {when}: {failure!r}") from failure
        if found != wanted:
            raise Unproven(f"{contender.name}: {key} is {found!r:.80} {when}, not {wanted!r:.80}")


def prove(made: type[Contender], folder: Path, setting: Setting) -> None:
    """Go once through everything that the workloads ask of it. Raises: Unproven."""
    contender = made(folder, setting)
    expected: dict[str, Any] = {}
    try:
        for number in range(6):
            expected[f"a/{number:02}"] = value(number, 120)
            contender.set(f"a/{number:02}", value(number, 120))
        _same(contender, expected, "after it was set")
        expected["a/03"] = value(103, 1_000)
        contender.set("a/03", value(103, 1_000))
        pairs = [(f"b/{number:02}", value(200 + number, 1_000)) for number in range(20)]
        contender.batch(pairs)
        expected |= dict(pairs)
        _same(contender, expected, "after an overwrite and a batch")
        if contender.keys("b/") != [key for key, _ in pairs]:
            raise Unproven(f"{contender.name}: lists {contender.keys('b/')!r:.80}")
        contender.checkpoint()
        if "cas" not in contender.lacks:
            _prove_cas(contender)
            expected["a/00"] = value(301, 120)
        _same(contender, expected, "after a checkpoint")
    finally:
        contender.close()
    if "open" in made.lacks:
        return
    contender = made(folder, setting)
    try:
        _same(contender, expected, "after it was opened again")
    finally:
        contender.close()


def _prove_cas(contender: Contender) -> None:
    found, seen = contender.read("a/00")
    if found != value(0, 120):
        raise Unproven(f"{contender.name}: reads {found!r:.80} for compare-and-set")
    contender.set("a/00", value(300, 120))
    if contender.compare_and_set("a/00", value(301, 120), seen):
        raise Unproven(f"{contender.name}: compare-and-set overwrites what it has not seen")
    _, seen = contender.read("a/00")
    if not contender.compare_and_set("a/00", value(301, 120), seen):
        raise Unproven(f"{contender.name}: compare-and-set refuses what nobody has changed")

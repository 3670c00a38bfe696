"""Replaying in other processes, and finding out what answers depend on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from spellkeep.errors import LimitExceeded, StateError
from spellkeep.hooks import Execution
from spellkeep.replay.frames import parts_of, receive, send
from spellkeep.replay.inputs import Input
from spellkeep.replay.job import ReplayJob
from spellkeep.replay.judging import differences, judge
from spellkeep.replay.reading import Reader
from spellkeep.replay.report import ReplayItem
from spellkeep.replay.running import Answer
from spellkeep.replay.worker import LIMITS
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# Clock, randomness, environment, hash seed.
_Pins = tuple[int | None, int | None, int, int]
_FIRST: _Pins = (None, None, 0, 1)
_SECOND: _Pins = (1, None, 1, 2)
_STILL: _Pins = (0, 1, 0, 1)
# One thing at a time is another than in `_STILL`; few things in a set may come in one order for several seeds.
_OTHERS: tuple[tuple[str, _Pins], ...] = (
    ("other", _STILL),
    ("time", (1, 1, 0, 1)),
    ("random", (0, 2, 0, 1)),
    ("environment", (0, 1, 1, 1)),
    ("set order", (0, 1, 0, 2)),
    ("set order", (0, 1, 0, 3)),
    ("set order", (0, 1, 0, 4)),
)
# For so many executions of a replay it is found out what they depend on.
_ASKED_MAX = 100


class Child:
    """One other process, with one hook."""

    def __init__(self, state: StateManager, job: ReplayJob, hook: str, pins: _Pins) -> None:
        clock, chance, environment, seed = pins
        self._state = state
        self._process = subprocess.Popen(
            [sys.executable, "-m", "spellkeep.replay"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        job.started(self._process)
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        told = {"clock": clock, "chance": chance, "environment": environment}
        try:
            answer = self._say({"hook": hook, "pins": told, "path": list(sys.path)})
            if "failed" in answer:
                raise StateError(f"{hook} cannot be run: {answer['failed']}", code="replay.hook")
        except BaseException:
            self.close()
            raise

    def _say(self, document: dict[str, Any]) -> dict[str, Any]:
        with suppress(BrokenPipeError):
            send(self._to, document, LIMITS)
        answer = receive(self._from)
        if answer is None:
            raise StateError(f"the other process ended: {self._process.wait()}", code="replay.process")
        return answer

    def ask(self, input: Input) -> Answer:
        """What the hook says. Raises: StateError (replay.process)."""
        reader = Reader(self._state, input.as_of, input.moment)
        said = self._say({"input": input.parts()})
        while "answer" not in said:
            try:
                said = self._say({"found": _read(reader, said["read"], said["args"])})
            except LimitExceeded as error:
                said = self._say({"trimmed": str(error)})
        fields = said["answer"]
        return Answer(**{**fields, "writes": tuple(fields["writes"])})

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._from.close()
        with suppress(BrokenPipeError):
            self._to.close()


def _read(reader: Reader, what: str, args: Sequence[Any]) -> Any:
    """What the other process asks for. It has no other questions."""
    if what == "scopes":
        return list(map(str, reader.scopes()))
    scope = StateScope.parse(args[0])
    if what == "keys":
        return reader.keys(scope)
    if what == "found":
        return parts_of(reader.found(scope, args[1]))
    return list(map(parts_of, reader.history(scope, args[1], args[2])))


def works(
    state: StateManager, job: ReplayJob, ready: Sequence[tuple[int, Execution, Input, Any]], ignore: tuple[str, ...]
) -> list[Callable[[], None]]:
    """One piece of work for each hook. Raises: ValueError."""
    groups: dict[str, list[tuple[int, Execution, Input]]] = {}
    for index, execution, input, what in ready:
        if not isinstance(what, str) or ":" not in what:
            raise ValueError('in another process a hook is named by its place: hook="module:attribute"')
        groups.setdefault(what, []).append((index, execution, input))
    return [_Group(state, job, hook, group, ignore).work for hook, group in groups.items()]


class _Group:
    def __init__(
        self,
        state: StateManager,
        job: ReplayJob,
        hook: str,
        group: list[tuple[int, Execution, Input]],
        ignore: tuple[str, ...],
    ) -> None:
        self._state, self._job, self._hook, self._group, self._ignore = state, job, hook, group, ignore
        self._asked_count = 0

    def work(self) -> None:
        """Every execution in both processes, and what differs in more of them."""
        left = self._group
        while left and not self._job.cancelled:
            with ExitStack() as closing:
                children: dict[_Pins | tuple[str, int], Child] = {}

                def child(name: Any, pins: _Pins, closing: ExitStack = closing, known: Any = children) -> Child:
                    if name not in known:
                        known[name] = Child(self._state, self._job, self._hook, pins)
                        closing.callback(known[name].close)
                    made: Child = known[name]
                    return made

                while left and not self._job.cancelled:
                    (index, execution, input), left = left[0], left[1:]
                    try:
                        self._job.put(index, self._item(execution, input, child))
                    except StateError as error:
                        if error.code != "replay.process":
                            raise
                        item = ReplayItem(execution=execution, status="error", detail=str(error))
                        self._job.put(index, item)
                        # With new processes on to the next.
                        break

    def _item(self, execution: Execution, input: Input, child: Callable[[Any, _Pins], Child]) -> ReplayItem:
        first = child("first", _FIRST).ask(input)
        second = child("second", _SECOND).ask(input)
        item = judge(self._state, execution, first, self._ignore)
        between = differences(first, second, self._ignore)
        if not between and item.status in ("same", "input gone"):
            return item
        depends_on = self._depends_on(input, child)
        if not between:
            return replace(item, depends_on=depends_on)
        detail = "two runs differ from each other"
        score = item.score
        return replace(
            item,
            status="nondeterministic",
            differences=item.differences or between,
            score=score,
            detail=detail,
            depends_on=depends_on,
        )

    def _depends_on(self, input: Input, child: Callable[[Any, _Pins], Child]) -> tuple[str, ...]:
        if self._asked_count >= _ASKED_MAX:
            return ()
        self._asked_count += 1
        still = child("still", _STILL).ask(input)
        found: dict[str, None] = {}
        for number, (name, pins) in enumerate(_OTHERS):
            if name not in found and differences(still, child(number, pins).ask(input), self._ignore):
                found[name] = None
                if name == "other":
                    # With everything held still it differs from itself: then nothing can be told apart.
                    break
        return tuple(found)

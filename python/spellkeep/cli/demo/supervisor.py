"""The parent: it starts the worker, kills it at a random moment, and compares the store with its own record."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from typing import Any, Literal

import spellkeep
from spellkeep import StateScope
from spellkeep.cli.conversations import message_key
from spellkeep.cli.demo.ack import ACK_BYTES, Ack, digest
from spellkeep.errors import KeyMissing

__all__ = ["Outcome", "Supervisor", "WorkerFailed"]

_FAILURES_MAX = 20
# How often the kill comes while the worker is still opening the store.
_EARLY_KILLS = 0.1


class WorkerFailed(Exception):
    """The worker ended on its own, which it never should before its work is done."""


@dataclass
class Outcome:
    """What the run found.

    Attributes:
        acknowledged_count: messages whose ``handle.set`` returned, as far as the pipe told before the kill.
        recovered_count: of these, how many every later opening found, whole and in place.
        unacknowledged_count: messages that were stored while the kill came before their acknowledgement.
    """

    message_count: int = 0
    kill_count: int = 0
    acknowledged_count: int = 0
    recovered_count: int = 0
    unacknowledged_count: int = 0
    lost_count: int = 0
    wrong_count: int = 0
    failures: list[str] = field(default_factory=list)
    took_ns: list[int] = field(default_factory=list)


class Supervisor:
    """One run over one store.

    Args: conversations: (id, messages) in the order of the lines of ``input_path``, which the worker reads.
    """

    def __init__(
        self,
        store: str,
        input_path: str,
        conversations: list[tuple[str, list[dict[str, Any]]]],
        durability: Literal["process", "interval", "sync"],
        seed: int,
    ) -> None:
        self.store = store
        self.input_path = input_path
        self.conversations = conversations
        self.durability = durability
        self.rng = random.Random(seed)
        self.outcome = Outcome(message_count=sum(len(messages) for _, messages in conversations))
        self._digests = [[digest(message) for message in messages] for _, messages in conversations]
        self._acknowledged: dict[tuple[int, int], Ack] = {}
        self._bad: dict[tuple[int, int], str] = {}
        self._stored_count = 0
        self._startup_s = 0.2
        self._message_s = 20e-6

    def run(self, kill_count: int, after_kill: Callable[[int], object]) -> Outcome:
        """Kill ``kill_count`` workers and let one finish. Afterwards the store holds every conversation."""
        for number in range(kill_count):
            # A share of what is left, so that the messages last for all the kills.
            share = (self.outcome.message_count - self._stored_count) // (kill_count - number + 1)
            self._life(messages_max=share)
            self.outcome.kill_count += 1
            self._compare(complete=False)
            after_kill(number + 1)
        self._life(messages_max=None)
        self._compare(complete=True)
        outcome = self.outcome
        outcome.acknowledged_count = len(self._acknowledged)
        outcome.lost_count = sum(1 for kind in self._bad.values() if kind == "lost")
        outcome.wrong_count = sum(1 for kind in self._bad.values() if kind == "wrong")
        outcome.recovered_count = sum(1 for place in self._acknowledged if place not in self._bad)
        return outcome

    def _life(self, messages_max: int | None) -> None:
        """Start a worker; kill it at a random moment, or with no ``messages_max`` let it finish. Keeps every ack."""
        begun = time.monotonic()
        # Ctrl-C waits until the worker is known, so that it is always killed; the worker itself never hears of it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            worker, pipe = self._start(messages_max)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        with pipe:
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                acks = self._listen(pipe.fileno(), begun, messages_max)
                if messages_max is None:
                    worker.wait()
            finally:
                worker.kill()
                worker.wait()
                if worker.stdin is not None:
                    worker.stdin.close()
            # What it said before the kill is still in the pipe.
            while raw := pipe.read(ACK_BYTES << 10):
                acks += raw
        if messages_max is None:
            if worker.returncode != 0:
                raise WorkerFailed(f"the worker ended with {worker.returncode}")
        elif worker.returncode != -9:
            raise WorkerFailed(f"the worker ended with {worker.returncode} before it was killed")
        for at in range(0, len(acks) - len(acks) % ACK_BYTES, ACK_BYTES):
            ack = Ack.unpack(bytes(acks[at : at + ACK_BYTES]))
            if ack.is_ready:
                continue
            if (ack.agent, ack.index) in self._acknowledged:
                self._fail("lost", (ack.agent, ack.index), "acknowledged, and a later worker did not find it")
            self._acknowledged[ack.agent, ack.index] = ack
            self.outcome.took_ns.append(ack.took_ns)

    def _start(self, messages_max: int | None) -> tuple[subprocess.Popen[bytes], FileIO]:
        """Start a worker. Returns: it, and the pipe on which it acknowledges."""
        reading, writing = os.pipe()
        limit = -1 if messages_max is None else messages_max
        arguments = [self.store, self.input_path, self.durability, str(limit), str(writing)]
        pipe = FileIO(reading, "rb")
        try:
            worker = subprocess.Popen(
                [sys.executable, "-m", "spellkeep.cli.demo.worker", *arguments],
                pass_fds=[writing],
                # Kept open and never written to: the worker waits there, and ends when the parent does.
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        except BaseException:
            pipe.close()
            raise
        finally:
            os.close(writing)
        return worker, pipe

    def _listen(self, pipe: int, begun: float, messages_max: int | None) -> bytearray:
        """Read acknowledgements until the moment of the kill, or the end of the pipe."""
        acks = bytearray()
        deadline = None
        if messages_max is not None and self.rng.random() < _EARLY_KILLS:
            deadline = begun + self.rng.uniform(0, self._startup_s)
        early = deadline is not None
        ready_at = last_at = 0.0
        while True:
            timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([pipe], [], [], timeout)[0]:
                break
            raw = os.read(pipe, 1 << 16)
            if not raw:
                break
            acks += raw
            last_at = time.monotonic()
            if not ready_at:
                ready_at = time.monotonic()
                if messages_max is not None and not early:
                    self._startup_s = ready_at - begun
                    deadline = ready_at + self.rng.uniform(0, messages_max * self._message_s)
        count = len(acks) // ACK_BYTES - 1
        if count > 10:
            # Learnt from each life: a sync takes a thousand times as long as a copy.
            self._message_s = (last_at - ready_at) / count
        return acks

    def _compare(self, complete: bool) -> None:
        """Open the store and hold all of it against the record, and what was not acknowledged against the input."""
        with spellkeep.open(self.store, durability=self.durability) as state:
            stored_count = 0
            for number, (conversation_id, messages) in enumerate(self.conversations):
                scope = StateScope.agent(conversation_id)
                keys = state.list_keys(scope)
                stored_count += len(keys)
                if keys != [message_key(index) for index in range(len(keys))]:
                    self._fail("wrong", (number, -1), "its messages have a hole")
                if len(keys) > len(messages):
                    self._fail("wrong", (number, -1), "it has more messages than were sent")
                before = 0
                for index in range(len(messages)):
                    before = self._compare_one(state, scope, number, index, before)
                if complete and len(keys) != len(messages):
                    self._fail("lost", (number, -1), f"complete, it has {len(keys)} of {len(messages)} messages")
            self._stored_count = stored_count
            self.outcome.unacknowledged_count = stored_count - len(self._acknowledged)

    def _compare_one(
        self, state: spellkeep.StateManager, scope: StateScope, agent: int, index: int, before: int
    ) -> int:
        """Compare one message. Returns: its version, ``before`` when it is not there."""
        ack = self._acknowledged.get((agent, index))
        try:
            entry = state.entry(scope, message_key(index))
        except KeyMissing:
            if ack is not None:
                self._fail("lost", (agent, index), f"acknowledged as version {ack.version}, and gone")
            return before
        found = digest(entry.value)
        if found != self._digests[agent][index] or (ack is not None and found != ack.digest):
            self._fail("wrong", (agent, index), "its content is another")
        if ack is not None and entry.version != ack.version:
            self._fail("wrong", (agent, index), f"acknowledged as version {ack.version}, found {entry.version}")
        if entry.version <= before:
            self._fail("wrong", (agent, index), f"version {entry.version} is not after {before}, the message before")
        return entry.version

    def _fail(self, kind: str, place: tuple[int, int], what: str) -> None:
        if self._bad.setdefault(place, kind) == kind and len(self.outcome.failures) < _FAILURES_MAX:
            conversation_id = self.conversations[place[0]][0]
            where = f"{conversation_id}, message {place[1]}" if place[1] >= 0 else conversation_id
            self.outcome.failures.append(f"{kind}: {where}: {what} (after kill {self.outcome.kill_count})")

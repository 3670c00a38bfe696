"""One hook, one input, one answer; in a context of its own, in which nothing can be written."""

from __future__ import annotations

import contextvars
import inspect
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spellkeep import _core
from spellkeep.correlation import replaying
from spellkeep.errors import LimitExceeded, ReadOnly, StateError
from spellkeep.hooks import HookResult, Observer, Validator
from spellkeep.redaction import Redactor
from spellkeep.replay.given import Parameters, ReplayChange, ReplayContext
from spellkeep.replay.inputs import Input
from spellkeep.replay.reading import Reads
from spellkeep.replay.sandbox import Sandbox, Write
from spellkeep.value import decode, encode

_redactor = Redactor()
# The value of a write.
_WRITTEN = re.compile(r"writes(?:\.\d+(?:\.3(?:\.|$)|$)|$)")

REGISTERED = object()
"""In place of a hook: the one that is registered under the name of the execution."""


def check_hook(hook: Any) -> None:
    """Raises: TypeError."""
    if not callable(hook) and not isinstance(hook, Validator | Observer):
        more = "; text names one for isolate=True" if isinstance(hook, str) else ""
        raise TypeError(f"a hook is a function, a Validator or an Observer, not {hook!r}{more}")


@dataclass(frozen=True, kw_only=True)
class Callee:
    """A hook to be replayed: what is called, and whether it may modify and refuse."""

    call: Callable[..., Any]
    may: bool = True

    @classmethod
    def of(cls, hook: Any) -> Callee:
        """Of a function, a `Validator`, an `Observer`, or a class of them. Raises: TypeError."""
        if inspect.isclass(hook) and issubclass(hook, Validator | Observer):
            hook = hook()
        if isinstance(hook, Validator | Observer):
            return cls(call=hook.decide, may=hook.fail_closed)
        check_hook(hook)
        return cls(call=hook)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of an execution.

    Attributes:
        outcome: ``proceeded``, ``modified``, ``cancelled``, ``retry``, ``skipped``, ``failed``.
        error: the class of what it raised, or its reason, without secrets.
        digest: of a modified value, as the history has it.
        encoded: the modified value.
        writes: what it wrote into its sandbox.
        refused: whether it tried to write where it may not.
        lost: what it asked for, and the log no longer says.
        key: of the entry that the hook was given.
        us: microseconds it took.
    """

    outcome: str
    error: str | None = None
    digest: int | None = None
    encoded: bytes | None = None
    writes: tuple[Write, ...] = ()
    refused: bool = False
    lost: str = ""
    us: int = 0
    key: str | None = None

    def document(self) -> dict[str, Any]:
        """What is compared."""
        document: dict[str, Any] = {"outcome": self.outcome, "error": self.error}
        if self.encoded is not None:
            document["value"] = decode(self.encoded)
        if self.writes:
            document["writes"] = [list(write) for write in self.writes]
        return document

    def shown(self) -> dict[str, Any]:
        """What is compared, without secrets."""
        document = self.document()
        if "value" in document:
            document["value"] = _redactor.entry(self.key, document["value"])
        if self.writes:
            document["writes"] = [[*write, _redactor.entry(write[-1], value)] for *write, value in self.writes]
        shown: dict[str, Any] = _redactor.value(document)
        return shown

    def is_secret(self, place: str) -> bool:
        """Whether at this place of what is compared there is what stands under a key that names a secret."""
        if place == "value" or place.startswith("value."):
            return _redactor.is_secret_key(self.key)
        return _WRITTEN.match(place) is not None and any(_redactor.is_secret_key(write[2]) for write in self.writes)


def run(callee: Callee, input: Input, reader: Reads, *, writable: bool, parameters: Parameters) -> Answer:
    """Run a hook on an input. Nothing that it does in its thread, or in tasks that it starts, can be written.

    Raises: InvalidKey (replay.path).
    """
    sandbox = Sandbox(reader, writable=writable)
    given: Any
    if not input.after:
        given = ReplayContext(input, sandbox, parameters)
    else:
        given = ReplayChange(input.change, parameters) if parameters else input.change
    with_state = {"state": sandbox} if _takes_state(callee.call) else {}

    def call() -> tuple[Any, int]:
        with replaying(f"replay-{uuid.uuid4().hex}"):
            begun = time.perf_counter_ns()
            answer: Any
            try:
                answer = callee.call(given, **with_state)
                if inspect.isawaitable(answer):
                    answer = _awaited(answer)
            # SystemExit, too, is an answer of the hook's.
            except BaseException as error:
                answer = error
            return answer, (time.perf_counter_ns() - begun) // 1000

    # An empty context: no correlation of the caller's, nor anything else.
    answer, us = contextvars.Context().run(call)
    refused = sandbox.refused or (isinstance(answer, ReadOnly) and answer.code == "replay.read_only")
    lost = str(answer) if isinstance(answer, LimitExceeded) and answer.code == "replay.trimmed" else ""
    made = _judged(answer, input, callee.may)
    return Answer(**made, writes=tuple(sandbox.writes), refused=refused, lost=lost, us=us, key=input.key)


def _takes_state(call: Callable[..., Any]) -> bool:
    try:
        return "state" in inspect.signature(call).parameters
    except (TypeError, ValueError):
        return False


def _awaited(answer: Any) -> Any:
    import asyncio

    async def wait() -> Any:
        return await answer

    return asyncio.run(wait())


def _judged(answer: Any, input: Input, may: bool) -> dict[str, Any]:
    """The outcome as the history would have it."""
    if answer is None:
        return {"outcome": "proceeded"}
    if isinstance(answer, BaseException):
        return {"outcome": "failed", "error": type(answer).__name__}
    action = answer.action if isinstance(answer, HookResult) else ""
    if action in ("proceed", "skip"):
        return {"outcome": "proceeded" if action == "proceed" else "skipped"}
    if action == "retry" and input.after:
        return {"outcome": "retry"}
    if input.after or not may or action not in ("modify", "cancel", "retry"):
        return {"outcome": "failed", "error": "TypeError"}
    if action == "modify":
        return _modified(answer.value, input)
    reason = answer.reason
    error = _redactor.text(reason) if isinstance(reason, str) else "HookVeto"
    return {"outcome": "cancelled" if action == "cancel" else "retry", "error": error}


def _modified(value: Any, input: Input) -> dict[str, Any]:
    if input.encoded is None or input.scope is None:
        return {"outcome": "failed", "error": "TypeError"}
    try:
        encoded = encode(value)
    except StateError as error:
        return {"outcome": "failed", "error": type(error).__name__}
    digest = _core.hook_digest(input.operation, input.scope, input.key or "", input.class_number, encoded)
    return {"outcome": "modified", "digest": digest, "encoded": encoded}

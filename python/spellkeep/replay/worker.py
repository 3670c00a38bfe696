"""The other process: it has no store, imports the hook that it is told to, and answers inputs until nobody asks."""

from __future__ import annotations

import importlib
import os
import sys
from typing import IO, Any

from spellkeep.errors import LimitExceeded
from spellkeep.replay.frames import change_of, receive, send
from spellkeep.replay.inputs import Input
from spellkeep.replay.pins import pin
from spellkeep.replay.running import Callee, run
from spellkeep.scope import StateScope
from spellkeep.value import Limits

LIMITS = Limits(depth_max=500, items_max=1 << 32, string_bytes_max=1 << 30, value_bytes_max=1 << 30)


class _Asking:
    """What a sandbox reads from: the process that has the store."""

    def __init__(self, version: int, asks: IO[bytes], answers: IO[bytes]) -> None:
        self.version = version
        self._asks, self._answers = asks, answers

    def _ask(self, what: str, *args: Any) -> Any:
        send(self._asks, {"read": what, "args": args}, LIMITS)
        answer = receive(self._answers)
        if answer is None:
            raise SystemExit
        if "trimmed" in answer:
            raise LimitExceeded(answer["trimmed"], code="replay.trimmed")
        return answer["found"]

    def found(self, scope: StateScope, key: str) -> Any:
        """See `Reads`."""
        return change_of(self._ask("found", str(scope), key))

    def keys(self, scope: StateScope) -> list[str]:
        """See `Reads`."""
        keys: list[str] = self._ask("keys", str(scope))
        return keys

    def scopes(self) -> list[StateScope]:
        """See `Reads`."""
        return [StateScope.parse(text) for text in self._ask("scopes")]

    def history(self, scope: StateScope, key: str, limit: int) -> list[Any]:
        """See `Reads`."""
        return [change_of(parts) for parts in self._ask("history", str(scope), key, limit)]


def find(text: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, path = text.partition(":")
    if not module or not path:
        raise ValueError(f"a hook of another process is module:attribute, not {text!r}")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found


def main() -> None:
    """Answer until the other side is gone."""
    # What the hook prints, or reads, is not for these two.
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    told = receive(asked)
    if told is None:
        return
    try:
        # First, so that what the hook's module imports is pinned as well.
        pin(**told["pins"])
        sys.path[:] = told["path"]
        callee = Callee.of(find(told["hook"]))
    except Exception as error:
        send(answers, {"failed": f"{type(error).__name__}: {error}"}, LIMITS)
        return
    send(answers, {"ready": True}, LIMITS)
    while (question := receive(asked)) is not None:
        input = Input.of_parts(question["input"])
        answer = run(callee, input, _Asking(input.as_of, answers, asked), writable=False, parameters={})
        send(answers, {"answer": {name: getattr(answer, name) for name in answer.__dataclass_fields__}}, LIMITS)

"""A thread that calls what may never come back."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Hand:
    """Does one thing after the other for whoever waits, and is left to the one that takes too long. Used by one thread.

    Raises: RuntimeError when there can be no thread: the interpreter ends, or there are too many.
    """

    def __init__(self) -> None:
        self._calls = queue.SimpleQueue[Callable[[], None] | None]()
        self._ended = queue.SimpleQueue[BaseException | None]()
        threading.Thread(target=self._work, name="spellkeep-hooks-call", daemon=True).start()

    def do(self, call: Callable[[], None], patience_s: float) -> bool:
        """Whether it has ended after so long. Otherwise this hand goes when it has, and another is needed.

        Raises: what it raised in that time.
        """
        self._calls.put(call)
        try:
            error = self._ended.get(timeout=patience_s)
        except queue.Empty:
            self.end()
            return False
        if error is not None:
            raise error
        return True

    def end(self) -> None:
        """Let it go when it has nothing to do."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            error: BaseException | None = None
            try:
                call()
            except BaseException as raised:
                error = raised
            # What it did is not kept until the next call.
            del call
            self._ended.put(error)
            del error

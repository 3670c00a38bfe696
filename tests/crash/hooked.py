"""The process that is killed: ``python -m crash.hooked STORE FILE``: writes, while two hooks tell what they were given.

The file has a line for each delivery, written before the hook returns, and one for each version that was acknowledged.
"""

from __future__ import annotations

import os
import sys
import threading

import spellkeep
from spellkeep import Change, StateScope
from spellkeep.hooks import HookResult


def main() -> None:
    """Write until killed."""
    store, path = sys.argv[1:]
    said = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    state = spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=256 << 10, keep_log_bytes=None)

    # The checker looks for holes.
    state.hooks.retention(keep_count=None, keep_days=None)

    def say(*what: object) -> None:
        os.write(said, (" ".join(map(str, what)) + "\n").encode())

    @state.hooks.after("set", "delete", name="one", since=0)
    def one(change: Change) -> HookResult | None:
        say("one", change.version)
        # Some come a second time.
        return HookResult.retry(0.001) if change.version % 97 == 0 and os.urandom(1)[0] < 128 else None

    @state.hooks.after("set", name="many", batch=True, scope="agent:*", since=0)
    def many(changes: list[Change]) -> None:
        for change in changes:
            say("many", change.version)

    def write(number: int) -> None:
        scope = StateScope.agent(str(number))
        count = 0
        while True:
            count += 1
            if count % 10 == 0:
                say("wrote", state.delete(scope, str((count - 1) % 50)) or "nothing")
            elif count % 25 == 3:
                with state.batch() as batch:
                    for key in "abc":
                        batch.set(scope, key, count)
                say("wrote", *(batch.versions or ()))
            else:
                say("wrote", state.set(scope, str(count % 50), "x" * (count % 300)))

    say("begun")
    for number in range(2):
        threading.Thread(target=write, args=(number,), daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()

"""When an agent is saved by itself, and how hard that is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from spellkeep.breaker import BreakerOptions, BreakerState
from spellkeep.errors import LimitExceeded

DAY_S: Final = 86_400.0
_BREAKER: Final = BreakerOptions()


@dataclass(frozen=True, kw_only=True)
class AutoSaveOptions:
    """What an `AutoSave` does. Saves on ``pause``, ``resume``, ``load`` and ``stop`` are always made.

    Attributes:
        interval_s: save every so many seconds, when something changed. None: not by time.
        message_count: save once so many new messages were told with ``notify``. None: not by messages.
        compare: look for changes at every interval, told of or not; without it only once some were told of.
        on_exit: save when the process ends: at its end, by ``sys.exit``, by an exception that nobody handles.
        on_sigterm: save on SIGTERM, then do what would have been done without. Only when started in the main thread.
        attempts_max: so many attempts per save, as long as the store may get better. 1: no retries.
        backoff_s: the longest wait before the second attempt; doubled for each that follows. Waits are random below.
        backoff_max_s: the longest wait there is.
        breaker: when to leave a store in peace that refuses. None: never.
        timeout_s: how long ``save``, ``pause``, ``resume``, ``load``, ``stop`` and the end of the process wait.
        grace_s: on SIGTERM, how long an agent that was changed may take to its next call of the AutoSave, before
            ``get_state`` is called wherever it is.
    """

    interval_s: float | None = 30.0
    message_count: int | None = 10
    compare: bool = False
    on_exit: bool = True
    on_sigterm: bool = True
    attempts_max: int = 5
    backoff_s: float = 0.1
    backoff_max_s: float = 5.0
    breaker: BreakerOptions | None = _BREAKER
    timeout_s: float = 30.0
    grace_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        for name, low, high in (
            ("interval_s", 0.001, DAY_S),
            ("message_count", 1, 1_000_000),
            ("attempts_max", 1, 100),
            ("backoff_s", 0, 3600),
            ("backoff_max_s", 0, 3600),
            ("timeout_s", 0.001, DAY_S),
            ("grace_s", 0, 3600),
        ):
            value = getattr(self, name)
            if value is None and name in ("interval_s", "message_count"):
                continue
            if not low <= value <= high:
                raise LimitExceeded(f"{name} is {value!r}, and must be from {low} to {high:g}", code="autosave.option")


PRODUCTION = AutoSaveOptions()
"""Half a minute or ten messages at most are not saved; a store that refuses is tried again, then left in peace."""
DEVELOPMENT = AutoSaveOptions(interval_s=5.0, message_count=1, attempts_max=1, breaker=None, grace_s=0.2)
"""Every message, and the first failure surfaces."""
TESTING = AutoSaveOptions(
    interval_s=None, message_count=1, on_exit=False, on_sigterm=False, attempts_max=1, breaker=None, timeout_s=10.0
)
"""No time, no exit, no signal: only what a test does itself."""
MINIMAL = AutoSaveOptions(interval_s=None, message_count=None, on_sigterm=False)
"""On pause, resume, load, stop and exit."""


@dataclass(frozen=True, kw_only=True)
class AutoSaveMetrics:
    """Figures of an `AutoSave` up to now. Each save that was attempted succeeded, failed, was skipped, or is running.

    Attributes:
        attempted: saves that were begun.
        succeeded: saves that were written and, with ``durability="sync"``, durable.
        failed: saves that were given up.
        skipped: saves that found nothing to write.
        retried: attempts after the first one of a save.
        last_error: of the last attempt that failed, kept when later ones succeed.
        last_saved_version: version of the last save that wrote something; 0: none.
        breaker: what the circuit breaker is.
    """

    attempted: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    retried: int = 0
    last_error: BaseException | None = None
    last_saved_version: int = 0
    breaker: BreakerState = "closed"

"""Clock, randomness and environment, each held still or made another, in a process that is there for nothing else."""

from __future__ import annotations

import datetime
import itertools
import os
import random
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

_FIRST_US = 1_700_000_000_000_000
# Some months, days and odd seconds, so that whatever is looked at of a time is another.
_FURTHER_US = 34_567_891_234_567


def pin(*, clock: int | None, chance: int | None, environment: int) -> None:
    """From now on, in this process: a clock of its own, which a look moves by a microsecond, randomness from a seed,
    and, with `environment` above 0, other values in it. Two processes with the same numbers see the same. None: as it
    is.

    ``time.monotonic`` stays as it is: what waits needs it.
    """
    if clock is not None:
        _pin_clock(_FIRST_US + clock * _FURTHER_US)
    if chance is not None:
        _pin_chance(chance)
    if environment:
        replaced: Any = os
        replaced.environ = _Other(os.environ, environment)
        replaced.getenv = os.environ.get


def _pin_clock(start_us: int) -> None:
    ticks = itertools.count(start_us)
    real_local, real_gm, real_text = time.localtime, time.gmtime, time.strftime

    def now() -> float:
        return next(ticks) / 1e6

    replaced: Any = time
    replaced.time = replaced.perf_counter = replaced.process_time = now
    replaced.time_ns = replaced.perf_counter_ns = replaced.process_time_ns = lambda: next(ticks) * 1000
    replaced.localtime = lambda seconds=None: real_local(now() if seconds is None else seconds)
    replaced.gmtime = lambda seconds=None: real_gm(now() if seconds is None else seconds)
    replaced.strftime = lambda form, moment=None: real_text(form, real_local(now()) if moment is None else moment)
    _pin_dates(now)


def _pin_dates(now: Any) -> None:
    real, real_date = datetime.datetime, datetime.date

    # What is made of them are real ones, which can be kept and compared; what asks for their class gets it.
    class _Alike(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, cls.__mro__[1])

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, cls.__mro__[1])

    def made(*args: Any, **kwargs: Any) -> Any:
        return real(*args, **kwargs)

    class Pinned(real, metaclass=_Alike):  # type: ignore[valid-type, misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return made(*args, **kwargs)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real.fromtimestamp(now(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return real.fromtimestamp(now(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return real.fromtimestamp(now())

        @classmethod
        def fromtimestamp(cls, seconds: float, tz: Any = None) -> Any:
            return real.fromtimestamp(seconds, tz)

        @classmethod
        def fromisoformat(cls, text: str) -> Any:
            return real.fromisoformat(text)

        @classmethod
        def strptime(cls, text: str, form: str) -> Any:
            return real.strptime(text, form)

        @classmethod
        def combine(cls, *args: Any, **kwargs: Any) -> Any:
            return real.combine(*args, **kwargs)

    class PinnedDate(real_date, metaclass=_Alike):  # type: ignore[valid-type, misc]
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            return real_date(*args, **kwargs)

        @classmethod
        def today(cls) -> Any:
            return real.fromtimestamp(now()).date()

        @classmethod
        def fromisoformat(cls, text: str) -> Any:
            return real_date.fromisoformat(text)

    replaced: Any = datetime
    replaced.datetime, replaced.date = Pinned, PinnedDate


def _pin_chance(seed: int) -> None:
    source, seeds = random.Random(seed), itertools.count(seed * 1_000_003)
    real_seed = random.Random.seed

    def drawn(count: int) -> bytes:
        return source.randbytes(count)

    def seeded(self: random.Random, a: Any = None, version: int = 2) -> None:
        real_seed(self, next(seeds) if a is None else a, version)

    replaced: Any = os
    replaced.urandom = drawn
    # `random.SystemRandom`, and with it `secrets`, has a name of its own for it.
    replaced = random
    replaced._urandom = drawn
    replaced.Random.seed = seeded
    random.seed(seed)


class _Other(MutableMapping[str, str]):
    """An environment with other values: of numbers the next, of anything else one with more behind it. What is not set
    looks set to whoever asks for it."""

    def __init__(self, real: MutableMapping[str, str], more: int) -> None:
        self._real, self._more = real, more

    def __getitem__(self, name: str) -> str:
        value = self._real.get(name, "replay")
        return str(int(value) + self._more) if value.isdecimal() else value + "~" * self._more

    def __setitem__(self, name: str, value: str) -> None:
        self._real[name] = value

    def __delitem__(self, name: str) -> None:
        del self._real[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._real)

    def __len__(self) -> int:
        return len(self._real)

"""Hooks that the tests of replay name by their place: ``replayed:steady``."""

from __future__ import annotations

import os
import random
import secrets
import time
import uuid
from datetime import date, datetime
from typing import Any

from spellkeep import Change, StateScope
from spellkeep.hooks import HookResult, Observer, Validator

WORDS = {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"}


def steady(context: Any) -> HookResult | None:
    """The same for the same input: a clear input to a clear answer."""
    number = context.value["n"]
    if number % 5 == 0:
        return HookResult.cancel(f"{number} is a multiple of five")
    if number % 3 == 0:
        return HookResult.modify({"n": number, "third": number // 3, "tags": sorted(WORDS)})
    if number % 7 == 0:
        return HookResult.skip()
    if number % 11 == 0:
        raise KeyError(number)
    return None


def by_time(context: Any) -> HookResult:
    """Depends on the clock."""
    return HookResult.modify({"at": time.time_ns(), "day": str(date.today()), "now": datetime.now().isoformat()})


def by_day(context: Any) -> HookResult:
    """Depends on the day only: two runs of one day are the same."""
    return HookResult.modify({"day": datetime.now().date().isoformat()})


def by_chance(context: Any) -> HookResult:
    """Depends on random numbers."""
    return HookResult.modify([random.random(), uuid.uuid4().hex, secrets.token_hex(4), random.Random().random()])


def by_environment(context: Any) -> HookResult:
    """Depends on the environment."""
    return HookResult.cancel(os.environ.get("REPLAYED_REGION", "nowhere"))


def by_order(context: Any) -> HookResult:
    """Depends on the order in a set."""
    return HookResult.modify(list(WORDS))


def by_two(context: Any) -> HookResult:
    """Depends on two of them."""
    return HookResult.modify([list(WORDS), time.time()])


def by_address(context: Any) -> HookResult:
    """Depends on what nobody holds still."""
    return HookResult.modify(os.getpid())


def reading(context: Any) -> HookResult | None:
    """Looks into the store."""
    limit = context.state.get(StateScope.GLOBAL, "limit", 0)
    known = context.state.list_keys(context.scope)
    if context.old_value is not None and context.value < context.old_value:
        return HookResult.cancel(f"below {context.old_value}")
    if context.value > limit:
        return HookResult.cancel(f"above {limit} with {len(known)} keys at {context.version}")
    return None


def writing(context: Any) -> None:
    """Writes, and leaves what becomes of that to its caller."""
    context.state.set(StateScope.GLOBAL, "seen", context.value)


def after(change: Change) -> None:
    """An after-hook that fails at times."""
    if change.operation == "set" and change.value == 3:
        raise ValueError("three")


def dying(context: Any) -> None:
    """Takes its process with it."""
    if context.value == 1:
        os._exit(9)


def hanging(context: Any) -> None:
    """Does not come back for a long time."""
    print("on stdout, which is not for this")
    time.sleep(60)


class Small(Validator):
    """A hook that is a class."""

    points = ("before_set",)

    def decide(self, context: Any) -> HookResult | None:
        """Refuse what is large."""
        return HookResult.cancel("too large") if context.value_bytes > 50 else None


class Looking(Observer):
    """May not modify."""

    points = ("before_set",)

    def decide(self, context: Any) -> HookResult:
        """Do what an observer may not."""
        return HookResult.modify(1)

"""What calls of models cost: tokens and money by provider and model, budgets, alerts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from spellkeep.hooks.base import Keeper, Observer
from spellkeep.hooks.log import HOOKS, KEPT
from spellkeep.hooks.result import HookResult
from spellkeep.scope import StateScope

if TYPE_CHECKING:
    from spellkeep.store import StateManager


@dataclass(frozen=True)
class Price:
    """Of a million tokens each."""

    input: Decimal
    output: Decimal


@dataclass
class Spent:
    """What one model, or all of a provider, has cost."""

    calls_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: Decimal = field(default_factory=Decimal)

    def add(self, other: Spent) -> None:
        """Take it in."""
        self.calls_count += other.calls_count
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.money += other.money


class CostTracking(Observer, Keeper):
    """Adds up what dicts with ``provider``, ``model``, ``input_tokens`` and ``output_tokens`` say, as delivered.

    The sums are kept under the name of the hook, in one batch with how far they go, and go on in the next process: each
    change is in them once, whenever the process is killed, at the prices of when it was delivered. ``forget`` of the
    registry ends them.

    Args:
        prices: by (provider, model). What has no price costs nothing, and is in ``unpriced``.
        budgets: money by provider.
        alert: called with provider, money spent and budget when a part of `alert_at` of the budget is reached: once, or
            once more when the process was killed meanwhile.
    """

    points = ("after_set", "after_event")

    def __init__(
        self,
        prices: Mapping[tuple[str, str], Price],
        *,
        budgets: Mapping[str, Decimal] | None = None,
        alert: Callable[[str, Decimal, Decimal], object] | None = None,
        alert_at: tuple[float, ...] = (0.8, 1.0),
    ) -> None:
        self._prices, self._budgets, self._alert = dict(prices), dict(budgets or {}), alert
        self._alert_at = [Decimal(str(part)) for part in sorted(alert_at)]
        self._lock = threading.Lock()
        self._alerted: dict[str, int] = {}
        self._version = 0
        self._key = ""
        self.by_model: dict[tuple[str, str], Spent] = {}
        self.by_provider: dict[str, Spent] = {}
        self.unpriced: set[tuple[str, str]] = set()

    def decide(self, context: Any) -> HookResult | None:
        """Add it, once: what comes a second time counts as before."""
        usage = context.value
        if not isinstance(usage, dict) or not {"provider", "model", "input_tokens", "output_tokens"} <= usage.keys():
            return HookResult.skip()
        provider, model = str(usage["provider"]), str(usage["model"])
        tokens = int(usage["input_tokens"]), int(usage["output_tokens"])
        with self._lock:
            if context.version <= self._version:
                return HookResult.skip()
            self._version = context.version
            price = self._prices.get((provider, model))
            if price is None:
                self.unpriced.add((provider, model))
                price = Price(Decimal(), Decimal())
            money = (price.input * tokens[0] + price.output * tokens[1]) / 1_000_000
            whole = self.by_provider.setdefault(provider, Spent())
            for spent in (whole, self.by_model.setdefault((provider, model), Spent())):
                spent.add(Spent(1, *tokens, money))
            alerts = self._reached(provider, whole.money)
        for _ in range(alerts):
            if self._alert is not None:
                self._alert(provider, whole.money, self._budgets[provider])
        return None

    def _parts(self, provider: str, money: Decimal) -> int:
        """How many parts of the budget are reached."""
        budget = self._budgets.get(provider)
        return 0 if budget is None else sum(money >= budget * part for part in self._alert_at)

    def _reached(self, provider: str, money: Decimal) -> int:
        reached, before = self._parts(provider, money), self._alerted.get(provider, 0)
        self._alerted[provider] = max(reached, before)
        return max(reached - before, 0)

    def restore(self, state: StateManager, name: str) -> None:
        """See `Keeper`."""
        self._key = KEPT + name
        stored = state.get(HOOKS, self._key) or {"version": 0, "spent": []}
        with self._lock:
            self._version = stored["version"]
            self.by_model = {(provider, model): Spent(*spent) for provider, model, *spent in stored["spent"]}
            self.by_provider = {}
            for (provider, _), spent in self.by_model.items():
                self.by_provider.setdefault(provider, Spent()).add(spent)
            # What was reached before was told then.
            self._alerted = {
                provider: self._parts(provider, spent.money) for provider, spent in self.by_provider.items()
            }
            self.unpriced = {model for model in self.by_model if model not in self._prices}

    def keep(self) -> Iterable[tuple[StateScope, str, Any]]:
        """See `Keeper`."""
        with self._lock:
            spent = [[*model, *astuple(spent)] for model, spent in self.by_model.items()]
            return [(HOOKS, self._key, {"version": self._version, "spent": spent})]

    def left(self, provider: str) -> Decimal | None:
        """What is left of a budget; below 0 when it is overdrawn; None: there is none."""
        budget, spent = self._budgets.get(provider), self.by_provider.get(provider)
        return None if budget is None else budget - (spent.money if spent else 0)

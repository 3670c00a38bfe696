"""What calls of models cost: tokens and money by provider and model, budgets, alerts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from spellkeep.hooks.base import Observer
from spellkeep.hooks.result import HookResult


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


class CostTracking(Observer):
    """Adds up what dicts with ``provider``, ``model``, ``input_tokens`` and ``output_tokens`` say, as delivered.

    The sums are those of this object: they begin with nothing in each process.

    Args:
        prices: by (provider, model). What has no price costs nothing, and is in ``unpriced``.
        budgets: money by provider.
        alert: called once with provider, money spent and budget, when a part of `alert_at` of the budget is reached.
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
                spent.calls_count += 1
                spent.input_tokens += tokens[0]
                spent.output_tokens += tokens[1]
                spent.money += money
            alerts = self._reached(provider, whole.money)
        for _ in range(alerts):
            if self._alert is not None:
                self._alert(provider, whole.money, self._budgets[provider])
        return None

    def _reached(self, provider: str, money: Decimal) -> int:
        budget = self._budgets.get(provider)
        if budget is None:
            return 0
        reached = sum(money >= budget * part for part in self._alert_at)
        before = self._alerted.get(provider, 0)
        self._alerted[provider] = max(reached, before)
        return max(reached - before, 0)

    def left(self, provider: str) -> Decimal | None:
        """What is left of a budget; below 0 when it is overdrawn; None: there is none."""
        budget, spent = self._budgets.get(provider), self.by_provider.get(provider)
        return None if budget is None else budget - (spent.money if spent else 0)

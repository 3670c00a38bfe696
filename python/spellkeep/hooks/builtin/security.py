"""Secrets do not get into the store: they are hidden in values, or the values are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spellkeep.hooks.base import Validator
from spellkeep.hooks.result import HookResult
from spellkeep.redaction import HIDDEN, Redactor

_DEPTH_MAX = 512


@dataclass(frozen=True, kw_only=True)
class SecurityRule:
    """What is not to be stored.

    Attributes:
        name: what a refusal says.
        fields: names of fields, exactly; with none and no patterns, the ones that `Redactor` knows.
        patterns: regular expressions for texts.
        action: hide it, or refuse the whole value.
    """

    name: str
    fields: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    action: Literal["redact", "block"] = "redact"


class Security(Validator):
    """Applies rules, in their order, to dicts, lists, tuples and texts in values; everything else is as it was.

    Args:
        rules: the default hides what `Redactor` takes for a secret.
    """

    points = ("before_set",)
    priority = -100

    def __init__(self, rules: tuple[SecurityRule, ...] = (SecurityRule(name="secrets"),)) -> None:
        self._rules = [(rule, Redactor(rule.fields, rule.patterns)) for rule in rules]

    def decide(self, context: Any) -> HookResult | None:
        """Refuse the value, or change it if there is something to hide."""
        before = value = context.value
        for rule, redactor in self._rules:
            changed = _hidden(redactor, value, 0)
            if changed is not value and rule.action == "block":
                return HookResult.cancel(f"rule {rule.name!r}")
            value = changed
        return None if value is before else HookResult.modify(value)


def _hidden(redactor: Redactor, value: Any, depth: int) -> Any:
    """The value itself when there is nothing to hide."""
    if type(value) is str:
        text = redactor.text(value)
        return value if text == value else text
    if depth > _DEPTH_MAX:
        return HIDDEN
    if isinstance(value, Mapping) and type(value) is dict:
        shown = {
            (redactor.text(name) if type(name) is str else name): HIDDEN
            if type(name) is str and redactor.is_secret(name) and each != HIDDEN
            else _hidden(redactor, each, depth + 1)
            for name, each in value.items()
        }
        same = list(shown) == list(value) and all(shown[name] is each for name, each in value.items())
        return value if same else shown
    if type(value) in (list, tuple):
        items = [_hidden(redactor, each, depth + 1) for each in value]
        return value if all(map(lambda a, b: a is b, items, value)) else type(value)(items)
    return value

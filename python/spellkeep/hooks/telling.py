"""What is written down at once: what changed or refused an operation, or failed before it, with its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spellkeep.batch import Batch
from spellkeep.hooks.log import HookLog, Row
from spellkeep.redaction import HIDDEN, Redactor

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# More of an input is not written down.
_INPUT_BYTES_MAX = 64 << 10
_INPUT_OPERATIONS_MAX = 100


_redactor = Redactor()


def write_now(
    state: StateManager, log: HookLog, row: Row, context: Any, error: BaseException | None, answered: int | None
) -> None:
    """Write one execution, in a chunk of its own; `answered` is the digest of what it made of a value."""
    with log.lock:
        batch = Batch(state)
        log.add(
            batch,
            [row],
            {} if error is None else {0: said(error, shows=not context._saw_sealed)},
            shown_input(context) | {"as_of": state.last_version},
            answered,
        )
        batch.commit(acknowledge=False)
        log.written()


def said(error: BaseException, *, shows: bool = True) -> str:
    """An error or a refusal, without secrets; no more than its class where it `shows` nothing."""
    cause = error.__cause__
    if cause is not None:
        # No more than the class: the text of what a hook raised may hold what it was given.
        return type(cause).__name__
    reason = getattr(error, "reason", None)
    return _redactor.text(reason) if shows and isinstance(reason, str) else type(error).__name__


def shown_input(context: Any) -> dict[str, Any]:
    """What a hook was given, without secrets."""
    given: dict[str, Any] = {"operation": context.operation, "digest": context.digest}
    if context.scope is not None:
        given |= {"scope": str(context.scope), "key": context.key, "version": context.version}
    given |= {name: said for name in ("correlation", "actor") if (said := getattr(context, name)) is not None}
    if context.value_bytes and context.value_bytes <= _INPUT_BYTES_MAX:
        given["value"] = HIDDEN if context._saw_sealed else _redactor.given(context)
    if context.operations is not None:
        given["operations"] = [
            {"operation": each.operation, "scope": str(each.scope), "key": each.key}
            for each in context.operations[:_INPUT_OPERATIONS_MAX]
        ]
    return given

"""An answer against what was recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spellkeep.errors import LimitExceeded
from spellkeep.hooks import Execution
from spellkeep.replay.comparing import MISSING, Difference, compare
from spellkeep.replay.report import ReplayItem
from spellkeep.replay.running import Answer

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# How far behind an execution what it made of a value is looked for.
_LOOK_COUNT = 256


def judge(state: StateManager, execution: Execution, answer: Answer, ignore: tuple[str, ...]) -> ReplayItem:
    """Compare what came out with what the history says."""
    if answer.lost:
        return ReplayItem(execution=execution, status="input gone", answer=answer, detail=answer.lost)
    left: dict[str, Any] = {"outcome": execution.result, "error": execution.error}
    right = answer.document()
    if answer.digest is not None and answer.digest == execution.answered:
        # The same bytes: nothing to look for.
        del right["value"]
    elif execution.answered is not None:
        if (stored := _stored(state, execution)) is not MISSING:
            left["value"] = stored
        else:
            left["digest"] = f"{execution.answered:016x}"
            if answer.digest is not None:
                right["digest"] = f"{answer.digest:016x}"
                right.pop("value", None)
    found = compare(left, right, ignore=ignore)
    status, detail = "same" if found.same else "different", ""
    if answer.refused:
        status, detail = "writes", "it writes: what_if lets it, in its sandbox"
    return ReplayItem(
        execution=execution,
        status=status,
        answer=answer,
        differences=_marked(found.differences, answer),
        score=found.score,
        detail=detail,
    )


def differences(left: Answer, right: Answer, ignore: tuple[str, ...]) -> tuple[Difference, ...]:
    """Between two runs."""
    documents = [left.document(), right.document()]
    if left.encoded == right.encoded:
        for document in documents:
            document.pop("value", None)
    return _marked(compare(*documents, ignore=ignore).differences, left, right)


def _marked(differences: tuple[Difference, ...], *answers: Answer) -> tuple[Difference, ...]:
    return tuple(replace(each, secret=any(answer.is_secret(each.path) for answer in answers)) for each in differences)


def _stored(state: StateManager, execution: Execution) -> Any:
    """What the hook made of the value when it was recorded, if that is what was stored then."""
    try:
        assert execution.input is not None
        for change, _ in zip(state.changes(since=execution.input["as_of"]), range(_LOOK_COUNT), strict=False):
            if change.digest == execution.answered:
                return change.value
    except LimitExceeded:
        pass
    return MISSING

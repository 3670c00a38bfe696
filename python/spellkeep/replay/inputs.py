"""What a recorded execution was given, found again: in the log, or where it was written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from spellkeep import _core
from spellkeep.changes import Change, StateClass
from spellkeep.errors import LimitExceeded
from spellkeep.hooks import Execution
from spellkeep.redaction import HIDDEN, is_sealed
from spellkeep.scope import StateScope
from spellkeep.value import encode

if TYPE_CHECKING:
    from spellkeep.store import StateManager

# Not SENSITIVE: what is sealed is not written down.
_CLASSES = (StateClass.STANDARD, StateClass.TRUSTED, StateClass.EXTERNAL)


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a hook was given.

    Attributes:
        after: whether it was the change itself, and not the context of an operation that was about to happen.
        as_of: the version of the store that it saw.
        encoded: the value of a set.
        change: of an after-hook.
        operations: of a batch.
        recorded: what the hook had recorded, in that order.
    """

    after: bool
    operation: str
    scope: StateScope | None
    key: str | None
    encoded: bytes | None
    class_number: int
    as_of: int
    moment: datetime
    correlation: str | None
    actor: str | None
    change: Change | None = None
    operations: tuple[Input, ...] | None = None
    recorded: tuple[Any, ...] = ()

    @property
    def digest(self) -> int:
        """As the history has it."""
        if self.operations is not None:
            return fold(each.digest for each in self.operations)
        assert self.scope is not None
        return _core.hook_digest(self.operation, self.scope, self.key or "", self.class_number, self.encoded or b"")

    def parts(self) -> tuple[Any, ...]:
        """Values that can be kept, for another process."""
        change = None if self.change is None else self.change.__reduce__()[1][0]
        operations = None if self.operations is None else tuple(each.parts() for each in self.operations)
        scope = None if self.scope is None else str(self.scope)
        head = (self.after, self.operation, scope, self.key, self.encoded, self.class_number, self.as_of, self.moment)
        return (*head, self.correlation, self.actor, change, operations, self.recorded)

    @classmethod
    def of_parts(cls, parts: tuple[Any, ...]) -> Self:
        """What `parts` gave."""
        *head, change, inside, recorded = parts
        after, operation, scope, key, encoded, class_number, as_of, moment, correlation, actor = head
        return cls(
            after=after,
            operation=operation,
            scope=None if scope is None else StateScope.parse(scope),
            key=key,
            encoded=encoded,
            class_number=class_number,
            as_of=as_of,
            moment=moment,
            correlation=correlation,
            actor=actor,
            change=None if change is None else Change._restore(change),
            operations=None if inside is None else tuple(map(cls.of_parts, inside)),
            recorded=tuple(recorded),
        )


def fold(digests: Iterable[int]) -> int:
    """The digest of a batch, as the compiled core makes it."""
    total = 0
    for digest in digests:
        total = ((total << 1 | total >> 63) & (1 << 64) - 1) ^ digest
    return total


class NoInput(Exception):
    """Why there is nothing to replay: ``input gone``, ``input differs``, ``redacted``, ``unclear``."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Inputs:
    """The inputs of some executions; their changes are read from the log in one pass."""

    def __init__(self, state: StateManager, executions: Iterable[Execution]) -> None:
        wanted = {each.version for each in executions if each.version and each.input is None}
        self._batches = batches(state, wanted)

    def change(self, execution: Execution) -> Change | None:
        """The change of an execution, if the log has it."""
        found = self._batches.get(execution.version)
        return None if found is None else found[0][found[1]]

    def of(self, execution: Execution) -> Input:
        """The input of an execution. Raises: NoInput."""
        if execution.recorded is None:
            raise NoInput("redacted", "there were secrets in what it recorded")
        found = self._of(execution)
        return replace(found, recorded=execution.recorded) if execution.recorded else found

    def _of(self, execution: Execution) -> Input:
        if execution.when in ("lists", "both"):
            what = "a list" if execution.when == "lists" else "before or after an operation"
            raise NoInput("unclear", f"the hook was given {what}, and the history does not say which")
        if execution.input is not None:
            return self._stored(execution, execution.input)
        if not execution.version:
            raise NoInput("input gone", "nothing came of the operation, so the log does not have it")
        found = self._batches.get(execution.version)
        if found is None:
            raise NoInput("input gone", f"the log no longer has version {execution.version}")
        batch, index = found
        if any(is_sealed(change.state_class) for change in batch):
            raise NoInput("redacted", "a value that is sealed is not given to a replay")
        made = _of_change(batch[index], batch[0].version - 1, execution.when == "after")
        if batch[index].digest != execution.digest:
            made = _of_batch(batch[: index + 1])
            if execution.when == "after" or made.digest != execution.digest:
                raise NoInput("input differs", f"version {execution.version} is not what the hook was given")
        return made

    @staticmethod
    def _stored(execution: Execution, given: dict[str, Any]) -> Input:
        if "scope" not in given:
            raise NoInput("input gone", "the values of a batch that was not committed are not kept")
        if given["operation"] not in ("delete", "clear", "agent_load") and "value" not in given:
            raise NoInput("input gone", "the value was too large to be kept")
        encoded = encode(given["value"]) if "value" in given else None
        for class_number in [each.value for each in _CLASSES] if given["operation"] == "set" else [0]:
            made = Input(
                after=False,
                operation=given["operation"],
                scope=StateScope.parse(given["scope"]),
                key=given["key"],
                encoded=encoded,
                class_number=class_number,
                as_of=given["as_of"],
                moment=execution.at,
                correlation=given.get("correlation"),
                actor=given.get("actor"),
            )
            if made.digest == execution.digest:
                return made
        hidden = "a secret was redacted" if HIDDEN in repr(given["value"]) else "it is kept as people read it"
        raise NoInput("redacted", f"what was written down is not all of the input: {hidden}")


def _of_change(change: Change, as_of: int, after: bool) -> Input:
    has_value = change.operation in ("set", "event")
    return Input(
        after=after,
        operation=change.operation,
        scope=change.scope,
        key=change.key,
        encoded=encode(change.value) if has_value else None,
        class_number=change.state_class.value if has_value else 0,
        as_of=change.version if after else as_of,
        moment=change.at,
        correlation=change.correlation,
        actor=change.actor,
        change=change if after else None,
    )


def _of_batch(batch: list[Change]) -> Input:
    first = batch[0]
    return Input(
        after=False,
        operation="batch",
        scope=None,
        key=None,
        encoded=None,
        class_number=0,
        as_of=first.version - 1,
        moment=first.at,
        correlation=first.correlation,
        actor=first.actor,
        operations=tuple(_of_change(change, first.version - 1, False) for change in batch),
    )


def batches(state: StateManager, versions: set[int]) -> dict[int, tuple[list[Change], int]]:
    """For each of these versions that the log has: what its batch wrote, and its place in that."""
    found: dict[int, tuple[list[Change], int]] = {}
    batch: list[Change] = []
    if not versions:
        return found
    # A batch that the first version is the end of begins before it.
    since, last = max(min(versions) - 1024, 0), max(versions)
    try:
        changes = state.changes(since=since)
        first = next(changes, None)
    except LimitExceeded:
        changes = state.changes()
        first = next(changes, None)
    while first is not None and first.version <= last:
        batch.append(first)
        if first.version in versions:
            found[first.version] = (batch, len(batch) - 1)
        if not first.in_batch:
            batch = []
        first = next(changes, None)
    return found

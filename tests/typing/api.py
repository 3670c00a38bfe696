"""The public types, as a type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from typing import Literal, assert_type

from spellkeep import StateScope, errors
from spellkeep.scope import ScopeKind

# scope
assert_type(StateScope.GLOBAL, StateScope)
assert_type(StateScope.user("ada"), StateScope)
assert_type(StateScope.session("s-1"), StateScope)
assert_type(StateScope.agent("scout"), StateScope)
assert_type(StateScope.tool("search"), StateScope)
assert_type(StateScope.workflow("wf"), StateScope)
assert_type(StateScope.step("wf", "s1"), StateScope)
assert_type(StateScope.custom("team"), StateScope)
assert_type(StateScope.parse("agent:scout"), StateScope)
assert_type(
    StateScope.GLOBAL.kind,
    Literal["global", "user", "session", "agent", "tool", "workflow", "step", "custom"],
)
assert_type(StateScope.GLOBAL.ids, tuple[str, ...])
assert_type(sorted([StateScope.GLOBAL, StateScope.agent("a")]), list[StateScope])
assert_type({StateScope.GLOBAL: 1}, dict[StateScope, int])
kind: ScopeKind = StateScope.agent("a").kind

# Each of these is a mistake that the checker must find; an unused ignore is an error too.
StateScope.agent(7)  # type: ignore[arg-type]
StateScope.step("wf")  # type: ignore[call-arg]
_ = StateScope.GLOBAL < "global"  # type: ignore[operator]
StateScope.GLOBAL.ids = ()  # type: ignore[misc]


def reads_errors(error: errors.StateError) -> str:
    """Every error has a code and a detail, and the class narrows to more."""
    assert_type(error.code, str)
    assert_type(error.detail, str)
    if isinstance(error, errors.Conflict):
        assert_type(error.expected_version, int)
        assert_type(error.current_version, int)
    if isinstance(error, errors.Corrupted):
        assert_type(error.file, str | None)
        assert_type(error.offset, int | None)
        assert_type(error.last_good_version, int | None)
    if isinstance(error, errors.LimitExceeded | errors.NotSerializable):
        assert_type(error.path, str | None)
    return error.code


def catches_builtins(error: errors.InvalidKey | errors.LimitExceeded) -> ValueError:
    """The builtin base is visible to the checker."""
    return error


def catches_os_errors(error: errors.StorageFailed) -> OSError:
    """The builtin base is visible to the checker."""
    return error

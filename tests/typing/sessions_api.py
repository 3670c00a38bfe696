"""The public types of sessions, as a type checker sees them. Checked by mypy, never run."""

from __future__ import annotations

from typing import assert_type

from spellkeep import ScopeHandle, Session, SessionInfo, StateManager


def uses_sessions(state: StateManager) -> None:
    """Beginning and listing them."""
    with state.session("s-1", correlation="req-42", actor="anna", tags=["a"], metadata={"a": 1}) as session:
        assert_type(session, Session)
        assert_type(session.state, ScopeHandle)
        assert_type(session.version, int)
    assert_type(state.sessions("s-1", status="lost", limit=1), list[SessionInfo])
    state.sessions(status="gone")  # type: ignore[arg-type]


async def uses_sessions_on_a_loop(state: StateManager) -> None:
    """The same for a task."""
    async with state.asession() as session:
        assert_type(session, Session)
    assert_type(await state.asessions(), list[SessionInfo])

"""Whose state an entry is.

A scope is a kind and its ids. It has one object form, one text form and one stored form, and different scopes differ
in all three: agent ``a`` with key ``b:c`` is never agent ``a:b`` with key ``c``.

    StateScope.GLOBAL                "global"
    StateScope.user("ada")           "user:ada"
    StateScope.session("s-1")        "session:s-1"
    StateScope.agent("scout")        "agent:scout"
    StateScope.tool("search")        "tool:search"
    StateScope.workflow("wf")        "workflow:wf"
    StateScope.step("wf", "s1")      "step:wf:s1"
    StateScope.custom("team a")      "custom:team%20a"

An id is any Unicode text of 1 to 256 UTF-8 bytes. ``str(scope)`` percent-encodes it (RFC 3986) and ``StateScope.parse``
reads it back. Scopes are immutable, hashable, picklable, and sort by kind, then id by id.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from spellkeep._core import StateScope

__all__ = ["ScopeKind", "StateScope"]

ScopeKind: TypeAlias = Literal["global", "user", "session", "agent", "tool", "workflow", "step", "custom"]
"""What ``StateScope.kind`` is."""

"""Types of the compiled core. Import from the public modules, never from here."""

from typing import Any, ClassVar, Self, final

from spellkeep.scope import ScopeKind

__all__ = ["StateScope"]

# scope ------------------------------------------------------------

@final
class StateScope:
    """Whose state an entry is: a kind and its ids. Immutable, hashable, ordered by kind, then id by id."""

    GLOBAL: ClassVar[StateScope]
    """The scope that everything in the store shares."""

    @staticmethod
    def user(user_id: str) -> StateScope:
        """The scope of one person."""
    @staticmethod
    def session(session_id: str) -> StateScope:
        """The scope of one conversation."""
    @staticmethod
    def agent(agent_id: str) -> StateScope:
        """The scope of one agent."""
    @staticmethod
    def tool(tool_id: str) -> StateScope:
        """The scope of one tool."""
    @staticmethod
    def workflow(workflow_id: str) -> StateScope:
        """The scope of one workflow."""
    @staticmethod
    def step(workflow_id: str, step_name: str) -> StateScope:
        """The scope of one step of a workflow."""
    @staticmethod
    def custom(namespace: str) -> StateScope:
        """The scope of a namespace of your own."""
    @classmethod
    def parse(cls, text: str) -> StateScope:
        """The scope that a text form such as ``agent:scout`` names.

        Raises: InvalidKey (scope.malformed, scope.empty_id, scope.id_too_long, scope.lone_surrogate).
        """
    @property
    def kind(self) -> ScopeKind:
        """``global``, ``user``, ``session``, ``agent``, ``tool``, ``workflow``, ``step`` or ``custom``."""
    @property
    def ids(self) -> tuple[str, ...]:
        """The ids, outermost first: two of a step, none of ``GLOBAL``, else one."""
    def __eq__(self, other: object, /) -> bool: ...
    def __ne__(self, other: object, /) -> bool: ...
    def __lt__(self, other: StateScope, /) -> bool: ...
    def __le__(self, other: StateScope, /) -> bool: ...
    def __gt__(self, other: StateScope, /) -> bool: ...
    def __ge__(self, other: StateScope, /) -> bool: ...
    def __hash__(self) -> int: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any, /) -> Self: ...
    def __reduce__(self) -> tuple[Any, tuple[str]]: ...

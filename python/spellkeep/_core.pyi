"""Types of the compiled core. Import from the public modules, never from here."""

from collections.abc import Callable
from typing import Any, ClassVar, Self, final

from spellkeep.scope import ScopeKind

__all__ = ["Limits", "StateScope", "Tagged", "value_decode", "value_encode", "value_use_registry"]

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

# value ------------------------------------------------------------

@final
class Limits:
    def __init__(
        self,
        *,
        depth_max: int | None = None,
        items_max: int | None = None,
        string_bytes_max: int | None = None,
        value_bytes_max: int | None = None,
    ) -> None: ...
    @property
    def depth_max(self) -> int: ...
    @property
    def items_max(self) -> int: ...
    @property
    def string_bytes_max(self) -> int: ...
    @property
    def value_bytes_max(self) -> int: ...

@final
class Tagged:
    def __init__(self, tag: str, version: int, payload: Any) -> None: ...
    @property
    def tag(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def payload(self) -> Any: ...
    def __hash__(self) -> int: ...

def value_encode(value: Any, *, limits: Limits | None = None) -> bytes: ...
def value_decode(data: bytes) -> Any: ...
def value_use_registry(
    by_class: dict[type, tuple[str, int, Callable[[Any], Any]]], by_tag: dict[str, Callable[[Any, int], Any]]
) -> None: ...

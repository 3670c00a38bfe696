"""What saving, forking and loading an agent costs."""

from __future__ import annotations

import itertools

import spellkeep


def _messages(count: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{number:08}".ljust(270, "x")} for number in range(count)]


class Agents:
    """By the length of the conversation."""

    params = (10, 10_000)
    param_names = ("messages",)

    def setup(self, count: int) -> None:
        """An agent with so many messages, and its whole state."""
        self.state = spellkeep.open("memory:")
        self.agent = self.state.agent("scout")
        self.agent.messages.extend(_messages(count))
        self.whole = self.agent.to_dict()
        self.state.save_agent_state("whole", self.whole)
        self.numbers = itertools.count()
        [self.message] = _messages(1)

    def teardown(self, count: int) -> None:
        """Close it."""
        self.state.close()

    def time_append(self, count: int) -> None:
        """One message more."""
        self.agent.messages.append(self.message)

    def time_set_context(self, count: int) -> None:
        """A variable that has a value, which is kept."""
        self.agent.context["n"] = 1

    def time_save_whole_unchanged(self, count: int) -> None:
        """A whole state that differs in nothing."""
        self.state.save_agent_state("whole", self.whole)

    def time_fork(self, count: int) -> None:
        """Another agent with the same state."""
        self.agent.fork(f"fork-{next(self.numbers)}")

    def time_load(self, count: int) -> None:
        """The whole state."""
        self.state.load_agent_state("whole")

"""Conversations saved message by message as agents, by a process that is killed at random moments and resumes.

    PYTHONPATH=tests python -m crash.conversations --data FOLDER --kills 50

Every second one is saved with ``agent.messages.append``, the others as objects with AutoSave. FOLDER, or the
environment variable SPELLKEEP_CONVERSATIONS, holds *.jsonl files: a line is an object with ``conversation_id`` and
``messages``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import spellkeep
from crash.child import environment
from spellkeep import StateManager
from spellkeep.agent import AutoSave, PersistentAgentMixin

DATA = "SPELLKEEP_CONVERSATIONS"
Conversation = dict[str, Any]
_OPEN_AT_ONCE = 8


class Caller(PersistentAgentMixin):
    """A conversation as an object."""

    def __init__(self, agent_id: str) -> None:
        self.agent_id = agent_id
        self.messages: list[Any] = []
        self.reward: Any = None


@dataclass
class Report:
    """What a run showed."""

    kills: int = 0
    rounds: int = 0
    messages: int = 0
    acknowledged: int = 0
    raw_bytes: int = 0
    store_bytes: int = 0
    log_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """For people."""
        raw = self.raw_bytes
        return (
            f"{self.kills} kills, {self.rounds} times all {self.messages} messages, {self.acknowledged} acknowledged: "
            f"{'all there and equal' if not self.wrong else '; '.join(self.wrong[:5])}\n"
            f"raw JSON {raw:,} bytes; log {self.log_bytes:,} ({self.log_bytes / raw:.2f}x); "
            f"store on disk with ring and preallocated room {self.store_bytes:,} ({self.store_bytes / raw:.2f}x)"
        )


def read(folder: Path) -> list[Conversation]:
    """The conversations of all files of a folder."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def made_up(seed: int, count: int) -> list[Conversation]:
    """Conversations of the same shape, without any data."""
    chance = random.Random(seed)
    conversations = []
    for number in range(count):
        messages: list[Any] = [{"role": "system", "content": "Be kind. " * chance.randrange(100)}]
        for turn in range(chance.randrange(3, 30)):
            text = "".join(chance.choices('añé漢 🙂\n"\\', k=chance.randrange(60)))
            messages.append({"role": "user", "content": text})
            if chance.random() < 0.4:
                call = {"id": f"c{turn}", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
                messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
                messages.append({"role": "tool", "tool_call_id": f"c{turn}", "name": "f", "content": text[::-1]})
            messages.append({"role": "assistant", "content": text * 3})
        reward = float(chance.randrange(2))
        conversations.append({"conversation_id": f"made-up-{number}", "reward": reward, "messages": messages})
    return conversations


def is_object(index: int) -> bool:
    """Whether a conversation is saved as an object."""
    return index % 2 == 1


def write(store: str, conversations: list[Conversation], seed: int) -> None:
    """Go on wherever the store is, until every conversation is whole; say on stdout what is saved."""
    chance = random.Random(seed)
    with spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=256 << 10) as state:
        going = [_going(state, conversation, is_object(index)) for index, conversation in enumerate(conversations)]
        print(json.dumps(["ready", 0]), flush=True)
        while going:
            at = chance.randrange(min(len(going), _OPEN_AT_ONCE))
            said = next(going[at], None)
            if said is None:
                del going[at]
            else:
                print(json.dumps(said), flush=True)


def _going(state: StateManager, conversation: Conversation, as_object: bool) -> Any:
    agent_id, messages = conversation["conversation_id"], conversation["messages"]
    if not as_object:
        agent = state.agent(agent_id)
        if "reward" not in agent.custom:
            agent.custom["reward"] = conversation["reward"]
        for count in range(len(agent.messages), len(messages)):
            agent.messages.append(messages[count])
            yield agent_id, count + 1
        return
    caller = Caller(agent_id)
    with AutoSave(state, caller, AutoSave.testing, message_count=2) as saves:
        saves.load()
        caller.reward = conversation["reward"]
        while len(caller.messages) < len(messages):
            caller.messages.append(messages[len(caller.messages)])
            if len(caller.messages) % 5:
                saves.notify()
                yield agent_id, 0
            else:
                saves.save()
                yield agent_id, len(caller.messages)
    yield agent_id, len(messages)


def check(state: StateManager, conversations: list[Conversation], said: dict[str, int], whole: bool) -> list[str]:
    """What is not as it should be: every agent has at least what was said to be saved, and nothing else."""
    wrong = []
    for index, conversation in enumerate(conversations):
        agent_id, truth = conversation["conversation_id"], conversation["messages"]
        stored = state.load_agent_state(agent_id) or {"messages": []}
        messages = stored["messages"]
        if messages != truth[: len(messages)]:
            wrong.append(f"{agent_id}: the messages differ")
        if len(messages) < said.get(agent_id, 0):
            wrong.append(f"{agent_id}: {len(messages)} messages, and {said[agent_id]} were saved")
        if whole:
            reward = stored.get("reward") if is_object(index) else stored["custom"]["reward"]
            if len(messages) != len(truth) or reward != conversation["reward"]:
                wrong.append(f"{agent_id}: is not whole at the end")
    return wrong


def run(conversations: list[Conversation], source: list[str], kills: int, seed: int, alive_s: float) -> Report:
    """Kill writers so often, begin anew whenever all is written, and finish the last round undisturbed."""
    chance = random.Random(seed)
    report = Report(messages=sum(len(each["messages"]) for each in conversations))
    report.raw_bytes = sum(len(json.dumps(each, ensure_ascii=False).encode()) for each in conversations)
    with tempfile.TemporaryDirectory() as folder:
        while not report.wrong:
            report.rounds += 1
            store, said = Path(folder) / f"s{report.rounds}", dict[str, int]()
            finished = False
            while not finished and not report.wrong:
                last = report.kills >= kills
                finished = _life(report, source, store, said, chance, None if last else chance.uniform(0, alive_s))
                with spellkeep.open(store, ring_bytes=64 << 10, segment_bytes=256 << 10) as state:
                    report.wrong += check(state, conversations, said, finished)
            report.acknowledged += sum(said.values())
            if report.kills >= kills:
                files = [path for path in store.rglob("*") if path.is_file()]
                report.store_bytes = sum(path.stat().st_blocks * 512 for path in files)
                with spellkeep.open(store, read_only=True) as state:
                    report.log_bytes = state.stats().log_bytes
                return report
    return report


def _life(
    report: Report, source: list[str], store: Path, said: dict[str, int], chance: random.Random, kill_s: float | None
) -> bool:
    command = [sys.executable, "-m", "crash.conversations", *source, "--write", str(store)]
    command += ["--seed", str(chance.randrange(1 << 30))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        if kill_s is not None:
            time.sleep(kill_s)
            writer.kill()
        lines += writer.stdout.read().splitlines(keepends=True)
    for line in lines:
        # What was cut short was not said.
        if line.endswith(b"\n"):
            agent_id, count = json.loads(line)
            said[agent_id] = max(said.get(agent_id, 0), count)
    said.pop("ready", None)
    if writer.returncode == -9:
        report.kills += 1
        return False
    if writer.returncode != 0:
        report.wrong.append(f"the writer ended with {writer.returncode}")
    return True


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA))
    parser.add_argument("--made-up", type=int, nargs=2, metavar=("SEED", "COUNT"), help="without data")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--alive-s", type=float, default=0.3, help="a writer is killed after at most so many seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.made_up:
        source, conversations = ["--made-up", *map(str, options.made_up)], made_up(*options.made_up)
    elif options.data is not None:
        source, conversations = ["--data", str(options.data)], read(Path(options.data))
    else:
        print(f"SKIPPED: no conversations: name a folder of them with --data or {DATA}.")
        return 0
    if options.write:
        write(options.write, conversations, options.seed)
        return 0
    print(f"seed {options.seed}", flush=True)
    report = run(conversations, source, options.kills, options.seed, options.alive_s)
    print(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What is there after SIGKILL: the last checkpoint that was acknowledged, whole, and nothing of a thread is torn."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from contract.langgraph_adapter.graphs import chat, config, say, texts
from spellkeep.adapters.langgraph import SpellkeepSaver

ROOT = Path(__file__).resolve().parents[3]
KILLS = 4
WRITER = """
import sys
from contract.langgraph_adapter.graphs import chat, config, say, texts
from spellkeep.adapters.langgraph import SpellkeepSaver
with SpellkeepSaver.from_conn_string(sys.argv[1]) as saver:
    graph = chat(saver)
    while True:
        for thread in ("a", "b"):
            state = graph.get_state(config(thread))
            # Not `next`: it leaves out a task whose answer is kept and not yet in a checkpoint; new input discards it.
            if state.tasks:
                graph.invoke(None, config(thread))
            done = len(texts(graph.get_state(config(thread)).values or {"messages": []})) // 2
            say(graph, f"question {done} " + "long " * 100, thread)
            print(thread, done + 1, flush=True)
"""


def test_a_killed_process_resumes_from_the_last_acknowledged_checkpoint(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    rng = random.Random(7)
    acknowledged = {"a": 0, "b": 0}
    for _ in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "state")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert child.stdout is not None
        line = child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.2))
        child.send_signal(signal.SIGKILL)
        for each in [line, *child.stdout]:
            thread, _, turn = each.strip().partition(" ")
            if turn.isdigit():
                acknowledged[thread] = int(turn)
        child.stdout.close()
        child.wait()
        with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
            assert saver.state.verify().damages == ()
            for thread, turns in acknowledged.items():
                listed = list(saver.list(config(thread)))
                said = texts(chat(saver).get_state(config(thread)).values or {"messages": []})
                assert len(said) // 2 >= turns and len(listed) >= 3 * turns
                for at in range(len(said) // 2):
                    assert said[2 * at].startswith(f"question {at} ")
                    assert said[2 * at + 1] == f"answer {2 * at + 1}"
    assert sum(acknowledged.values()) >= KILLS
    with SpellkeepSaver.from_conn_string(str(tmp_path / "state")) as saver:
        assert say(chat(saver), "after all", "c") == ["after all", "answer 1"]


def test_the_example_is_killed_and_goes_on() -> None:
    example = ROOT / "examples" / "langgraph" / "resume.py"
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=True)
    # How often depends on how far the agent comes before the signal does.
    assert re.fullmatch(r"killed [1-8] times, 8 messages: Lisbon: sunny; Oslo: sunny; Cairo: sunny\n", done.stdout)

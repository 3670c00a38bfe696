"""What only a process of its own shows: exit codes, signals, pipes, the environment."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateScope

COMMAND = [sys.executable, "-m", "spellkeep"]


def run(
    *arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a shell does."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        timeout=300,
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    with sk.open(path) as state:
        state.set(StateScope.GLOBAL, "k", {"a": 1})
    return path


def test_version_and_help_need_no_store() -> None:
    assert run("--version").stdout == f"spellkeep {sk.__version__}\n"
    told = run("--help").stdout
    for word in ("get", "set", "ls", "rm", "history", "stats", "ingest", "demo", "Exit codes", "SPELLKEEP_STORE"):
        assert word in told
    for command in ("get", "set", "ls", "rm", "history", "stats", "ingest", "demo"):
        assert run(command, "--help").returncode == 0


def test_no_command_is_answered_with_the_commands_laid_out_in_lines() -> None:
    """They came as one long line, behind ``error[cli.usage]``."""
    told = run()
    assert told.returncode == 2
    assert told.stderr.startswith("Usage: ")
    assert len(told.stderr.splitlines()) > 20


def test_the_store_may_be_named_by_the_environment(store: Path) -> None:
    assert run("get", "global", "k", env={"SPELLKEEP_STORE": str(store)}).stdout == '{\n  "a": 1\n}\n'
    unnamed = run("get", "global", "k", env={"SPELLKEEP_STORE": ""})
    assert unnamed.returncode == 2
    assert unnamed.stderr.startswith("error[cli.usage]: say which store")


@pytest.mark.parametrize("call", ["get global k", "ls", "rm global k", "rm global --all", "history global k", "stats"])
@pytest.mark.parametrize("place", ["missing", "empty", "foreign"])
def test_what_only_reads_makes_no_store(call: str, place: str, tmp_path: Path) -> None:
    directory = tmp_path / "d"
    if place != "missing":
        directory.mkdir()
    if place == "foreign":
        (directory / "notes.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    refused = run("--store", directory, *call.split())
    assert (refused.returncode, refused.stdout) == (5, "")
    assert refused.stderr.startswith("error[store.missing]: ")
    assert refused.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("arguments", [["get", "global", "k"], ["set", "global", "k", "1"]], ids=" ".join)
def test_a_file_in_place_of_the_store_is_code_5(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    refused = run("--store", tmp_path / "f", *arguments)
    assert refused.returncode == 5
    assert refused.stderr.startswith("error[storage.not_a_directory]: ")


def test_what_only_reads_goes_on_while_the_store_is_open_elsewhere_and_says_so(store: Path) -> None:
    with sk.open(store) as state:
        state.set(sk.StateScope.GLOBAL, "k", 2)
        for arguments in (["get", "global", "k"], ["ls"], ["history", "global", "k"], ["stats", "--json"]):
            shown = run("--store", store, *arguments)
            assert shown.returncode == 0
            assert shown.stdout != ""
            assert shown.stderr.startswith("note: the store is open elsewhere")
        assert run("--store", store, "get", "global", "k").stdout == "2\n"


def test_a_write_to_a_store_that_is_open_elsewhere_is_code_4(store: Path) -> None:
    with sk.open(store):
        for arguments in (["rm", "global", "k"], ["set", "global", "k", "1"]):
            refused = run("--store", store, *arguments)
            assert (refused.returncode, refused.stdout) == (4, "")
            assert refused.stderr.startswith("error[store.locked]: ")
            assert str(os.getpid()) in refused.stderr


def test_a_damaged_store_is_code_3(store: Path) -> None:
    manifest = store / "MANIFEST"
    content = bytearray(manifest.read_bytes())
    content[40] ^= 1
    manifest.write_bytes(content)
    refused = run("--store", store, "get", "global", "k")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("error[log.damaged]: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("call", ["nonsense", "get", "get global", "ls --nonsense", "history global k --limit x"])
def test_a_wrong_call_is_one_line_and_code_2(call: str, store: Path) -> None:
    refused = run("--store", store, *call.split())
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error[cli.usage]: ")
    assert refused.stderr.count("\n") == 1


def test_a_reader_that_leaves_ends_the_command_quietly(store: Path) -> None:
    with sk.open(store) as state, state.batch() as batch:
        for number in range(5_000):
            batch.set(StateScope.GLOBAL, f"a-key-with-a-long-name/{number}", number)
    with subprocess.Popen(
        [*COMMAND, "--store", str(store), "ls", "global"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141
    with sk.open(store) as state:
        assert state.recovery.clean


def test_an_output_that_is_closed_from_the_start_is_quiet_too(store: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "--store", str(store), "get", "global", "k"], stdout=writing, stderr=subprocess.PIPE, timeout=300
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_control_c_ends_the_command_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    with subprocess.Popen(
        [*COMMAND, "--store", str(tmp_path / "s"), "set", "global", "k", "-"],
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        # Once the byte is gone from the pipe, the command waits for more.
        while fcntl.ioctl(reading, termios.FIONREAD, bytes(4)) != bytes(4):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=300)
    os.close(reading)
    os.close(writing)
    assert (process.returncode, out, error) == (130, b"", b"")
    assert not (tmp_path / "s").exists()


def test_rows_are_tables_on_a_terminal(store: Path) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "--store", str(store), "history", "global", "k"],
        stdout=follower,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "dumb", "COLUMNS": "80"},
        timeout=300,
    )
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert (done.returncode, done.stderr) == (0, b"")
    assert shown.split()[:4] == ["version", "at", "operation", "value"]
    assert '{"a": 1}' in shown


def test_output_in_ascii_is_escaped_json(store: Path) -> None:
    with sk.open(store) as state:
        state.set(StateScope.GLOBAL, "u", "é🙂")
    done = run("--store", store, "get", "global", "u", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout) == (0, '"\\u00e9\\ud83d\\ude42"\n')


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    source = run(env={"_SPELLKEEP_COMPLETE": f"{shell}_source"})
    if shell == "bash" and source.returncode != 0:
        pytest.skip(f"bash is missing or too old: {source.stderr}")
    assert "_SPELLKEEP_COMPLETE" in source.stdout
    words = {"COMP_WORDS": "spellkeep hi", "COMP_CWORD": "hi" if shell == "fish" else "1"}
    told = run(env={"_SPELLKEEP_COMPLETE": f"{shell}_complete", **words})
    assert "history" in told.stdout

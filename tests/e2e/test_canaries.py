"""Secrets put through every path: what is written about values, beside the values themselves, never has them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import spellkeep as sk
from e2e.conftest import Spellkeep

# One is known by what it looks like, one by the name of its field, and one by nothing but the class of the value.
TOKEN = "sk-proj-canary0123456789abcdef"
PASSWORD = "canary seven horses"
SEALED = "canary blue heron"

WRITER = """
import logging, sys
import spellkeep as sk
from spellkeep import StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.hooks.builtin import Audit, Caching, Debugging, Logging, Metrics, RateLimit, Retry, Security, Validation

path, token, password, sealed = sys.argv[1:]
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
scope = StateScope.agent("scout")
secret = {"password": password, "note": f"use {token} for it", "deep": [{"api_key": password}, token]}


def refused(call, *given, **named):
    try:
        call(*given, **named)
    except errors.StateError as error:
        print(repr(error), error, error.code, getattr(error, "__notes__", ()), sep="|")
    else:
        raise AssertionError("it was not refused")


with sk.open(path, limits=sk.Limits(string_bytes_max=10_000), sealing_keys=[b"k" * 32]) as state:
    hooks = state.hooks
    traces = Debugging(values=True)
    for number, hook in enumerate((Metrics(), Caching(), Audit(), traces, Logging(show_value=True))):
        hooks.register(hook, name=f"after-{number}")
    hooks.register(Validation({"type": "object"}), key="valid/*", name="validation")
    hooks.register(Security(), key="hidden/*", name="security")
    hooks.register(RateLimit(1, 1), key="seldom/*", name="seldom")

    @hooks.before("set", key="veto/*", name="veto")
    def veto(context):
        return HookResult.cancel(f"no {token}")

    @hooks.before("set", key="broken/*", name="broken")
    def broken(context):
        raise ValueError(f"cannot take {context.value}")

    @hooks.before("set", key="changed/*", name="changed")
    def changed(context):
        return HookResult.modify({**context.value, "more": token})

    @hooks.after("set", key="fails/*", name="fails")
    def fails(change):
        raise RuntimeError(f"no way with {change.value}")

    with sk.correlate("req-1", actor="anna", tags=("billing",)):
        for key in ("plain", "hidden/a", "changed/a", "fails/a", "broken/a"):
            try:
                state.set(scope, key, secret)
            except errors.StateError as error:
                print(repr(error), error)
        vault = state.scope(StateScope.user("anna"), state_class=sk.StateClass.SENSITIVE)
        for key in ("plain", "plain", "hidden/a", "changed/a", "fails/a", "broken/a", "veto/a", "valid/a"):
            try:
                vault.set(key, {"note": sealed} if key != "valid/a" else [sealed])
            except errors.StateError as error:
                print(repr(error), error)
        refused(vault.set, "plain", {"note": sealed, "x": object()})
        refused(vault.set, "plain", {"note": sealed, "long": sealed * 1_000})
        refused(vault.set, "plain", {"note": sealed}, if_version=1 << 40)
        with state.batch() as batch:
            batch.set(vault.scope, "batched", {"note": sealed}, state_class=sk.StateClass.SENSITIVE)
        print(vault, vault.history("plain"), list(vault))
        refused(state.set, scope, "veto/a", secret)
        refused(state.set, scope, "valid/a", [secret])
        state.set(scope, "seldom/a", secret)
        refused(state.set, scope, "seldom/b", secret)
        refused(state.set, scope, "plain", {**secret, "x": object()})
        refused(state.set, scope, "plain", {**secret, "long": token * 1_000})
        refused(state.set, scope, "plain", secret, if_version=1 << 40)
        with state.batch() as batch:
            batch.set(scope, "batched", secret)
            batch.set(scope, "hidden/b", secret)
        handle = state.scope(scope)
        handle["changed/b"] = secret
        del handle["plain"]
        state.events.emit("spent", secret)
        with state.events.span("call", secret):
            agent = state.agent("writer")
            agent.messages.append({"role": "user", "content": f"my key is {token}"})
            agent.context["login"] = secret
            agent.tools.record("search", ok=False, ms=1.5)
        state.save_agent_state("saved", {"messages": [{"role": "user", "content": token}], "context": secret})
    assert hooks.drain(60)
    print(hooks.stats(), [info for info in hooks.ls()], repr(state), state.stats(), repr(handle), repr(agent), sep="|")
    print(traces.traces if hasattr(traces, "traces") else "", [each for each in hooks.history()], sep="|")
    timeline = state.timeline()
    print(timeline, list(timeline), state.why(scope, "batched"), sep="|")
    print(state.replay.select(), sep="|")
"""


@pytest.fixture
def told(store: Path) -> str:
    """What a process that put secrets everywhere printed, logged and told of its failures."""
    command = [sys.executable, "-X", "dev", "-c", WRITER, store, TOKEN, PASSWORD, SEALED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def leak(text: str) -> str:
    """What stands around the first secret; empty when there is none."""
    found = re.search(f"{TOKEN}|{PASSWORD}|{SEALED}", text)
    return text[max(found.start() - 200, 0) : found.end() + 50] if found else ""


def test_what_a_process_says_has_no_secret(told: str) -> None:
    assert "req-1" in told and "HookVeto" in told and "spellkeep" in told
    assert not leak(told)


def test_what_is_kept_about_values_has_no_secret(told: str, store: Path) -> None:
    with sk.open(store, read_only=True, sealing_keys=[b"k" * 32]) as state:
        assert state.get(sk.StateScope.user("anna"), "plain") == {"note": SEALED}
        seen = {str(change.scope) for change in state.changes()}
        assert any(scope.startswith("custom:spellkeep") for scope in seen)
        for change in state.changes():
            if str(change.scope).startswith("custom:spellkeep"):
                assert not leak(repr(change.value))
            assert not leak(f"{change.scope} {change.key} {change.correlation} {change.actor} {change.tags}")


@pytest.mark.usefixtures("told")
def test_no_file_has_a_sealed_secret(store: Path) -> None:
    for file in store.rglob("*"):
        assert file.is_dir() or SEALED.encode() not in file.read_bytes(), file


@pytest.mark.usefixtures("told")
def test_the_command_line_does_not_open_what_is_sealed(spellkeep: Spellkeep) -> None:
    done = spellkeep("get", "user:anna", "plain")
    assert done.code and "sealed with key" in done.err
    assert "[sealed]" in spellkeep("history", "user:anna", "plain").out


COMMANDS = (
    ("ls",),
    ("ls", "agent:scout"),
    ("ls", "user:anna"),
    ("history", "user:anna", "plain"),
    ("why", "user:anna", "changed/a"),
    ("stats",),
    ("verify",),
    ("why", "agent:scout", "batched"),
    ("timeline",),
    ("timeline", "req-1"),
    ("timeline", "--stats"),
    ("timeline", "--critical"),
    *(("timeline", "--format", form) for form in ("jsonl", "chrome", "otlp", "mermaid", "html", "text")),
    ("hooks", "ls"),
    ("hooks", "stats"),
    ("hooks", "history"),
    ("replay", "ls"),
    ("agent", "ls"),
    ("agent", "versions", "writer"),
)


@pytest.mark.usefixtures("told")
def test_no_command_that_was_not_asked_for_values_shows_a_secret(spellkeep: Spellkeep) -> None:
    for command in COMMANDS:
        calls = [command] if "--format" in command else [command, (*command, "--json")]
        for call in calls:
            done = spellkeep(*call)
            assert done.code == 0 and done.out, (call, done)
            assert not leak(done.out + done.err)
    # And those that were show it, so that the canary is there to be found.
    assert leak(spellkeep("get", "agent:scout", "batched").out)


@pytest.mark.usefixtures("told")
def test_what_a_command_says_of_a_bad_value_has_no_secret(spellkeep: Spellkeep) -> None:
    for call in (
        ("set", "agent:scout", "k", '{"password": "' + PASSWORD),
        ("set", "agent:scout", "k", '{"password": "' + PASSWORD + '", "n": NaN}'),
        ("set", "agent:scout", "batched", f'"{TOKEN}"', "--if-version", "3"),
        ("events", "emit", "spent", '{"password": "' + PASSWORD),
    ):
        done = spellkeep(*call)
        assert not leak(done.out + done.err)

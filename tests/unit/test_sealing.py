"""Values of class SENSITIVE: sealed on disk, opened for who has the key, shown to nobody else."""

from __future__ import annotations

import logging
import pathlib
import pickle
import secrets
from collections.abc import Iterator

import numpy as np
import pytest

import spellkeep as sk
from spellkeep import StateClass, StateScope, errors
from spellkeep.hooks import HookResult
from spellkeep.hooks.builtin import Debugging, Logging

SCOUT = StateScope.agent("scout")
ANNA = StateScope.user("anna")
KEY = b"k" * 32
SENSITIVE = {"state_class": StateClass.SENSITIVE}
# Nothing that a rule of redaction would find.
PLAIN = "the blue heron nests at dawn"
VALUE = {"note": PLAIN, "numbers": [1, 2.5, None], "bytes": PLAIN.encode()}


@pytest.fixture
def state(tmp_path: pathlib.Path) -> Iterator[sk.StateManager]:
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        yield state


def files_of(folder: pathlib.Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file())


def test_every_way_of_reading_opens_what_every_way_of_writing_sealed(state: sk.StateManager) -> None:
    handle = state.scope(SCOUT, **SENSITIVE)
    state.set(SCOUT, "set", VALUE, **SENSITIVE)
    handle.set("handle", VALUE)
    handle["item"] = VALUE
    with state.batch() as batch:
        batch.set(SCOUT, "batch", VALUE, **SENSITIVE)
    for key in ("set", "handle", "item", "batch"):
        assert state.get(SCOUT, key) == handle[key] == handle.get(key) == VALUE
        assert state.entry(SCOUT, key).value == handle.entry(key).value == VALUE
        assert state.entry(SCOUT, key).state_class is StateClass.SENSITIVE
        assert state.view(SCOUT, key)["note"] == handle.view(key)["note"] == PLAIN
        assert state.history(SCOUT, key)[0].value == VALUE
    assert dict(state.items(SCOUT)) == dict(handle.items()) == dict.fromkeys(("set", "handle", "item", "batch"), VALUE)
    assert [change.value for change in state.changes()] == [VALUE] * 4
    with state.read_view() as view:
        assert view.get(SCOUT, "set") == view.entry(SCOUT, "set").value == VALUE
        assert dict(view.items(SCOUT))["batch"] == VALUE


def test_nothing_of_a_sealed_value_is_on_disk_or_in_what_a_key_opens_later(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "store"
    with sk.open(folder, sealing_keys=[KEY]) as state:
        state.set(SCOUT, "note", VALUE, **SENSITIVE)
        state.set(SCOUT, "open", "not a secret")
        with state.batch() as batch:
            batch.set(ANNA, "note", VALUE, **SENSITIVE)
        state.flush()
        assert PLAIN.encode() not in files_of(folder)
        state.checkpoint()
    assert b"not a secret" in files_of(folder)
    assert PLAIN.encode() not in files_of(folder)
    assert KEY not in files_of(folder)
    for budget in (None, 0):
        with sk.open(folder, sealing_keys=[KEY], memory_budget_bytes=budget) as state:
            assert state.get(SCOUT, "note") == state.get(ANNA, "note") == VALUE
            assert dict(state.items(ANNA)) == {"note": VALUE}
            assert state.verify().damages == ()


def test_two_seals_of_one_value_differ(state: sk.StateManager, tmp_path: pathlib.Path) -> None:
    digests = {change.digest for _ in range(50) if state.set(SCOUT, "k", 1, **SENSITIVE) for change in state.changes()}
    assert len(digests) == 50


def test_without_its_key_a_value_is_neither_written_nor_read(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path / "store") as state:
        for write in (
            lambda: state.set(SCOUT, "k", 1, **SENSITIVE),
            lambda: state.batch().set(SCOUT, "k", 1, **SENSITIVE),
            lambda: state.scope(SCOUT, **SENSITIVE).set("k", 1),
        ):
            with pytest.raises(errors.AccessDenied, match="sealing_keys") as refused:
                write()
            assert refused.value.code == "seal.key"
        assert not state.exists(SCOUT, "k")
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        state.set(SCOUT, "k", PLAIN, **SENSITIVE)
        change = pickle.loads(pickle.dumps(state.history(SCOUT, "k")[0]))
    for keys in ([], [b"x" * 32]):
        with sk.open(tmp_path / "store", sealing_keys=keys) as state:
            for read in (
                lambda: state.get(SCOUT, "k"),
                lambda: state.view(SCOUT, "k"),
                lambda: state.entry(SCOUT, "k"),
                lambda: dict(state.items(SCOUT)),
                lambda: state.history(SCOUT, "k")[0].value,
                lambda: change.value,
            ):
                with pytest.raises(errors.AccessDenied, match=r"is sealed with key [0-9a-f]{16}") as refused:
                    read()
                assert refused.value.code == "seal.key"
                assert PLAIN not in str(refused.value)
            # What needs no value works, and what is sealed can go.
            assert state.list_keys(SCOUT) == ["k"]
            assert state.verify().damages == ()
            assert state.exists(SCOUT, "k")
    with sk.open(tmp_path / "store") as state:
        assert state.delete(SCOUT, "k")


def test_keys_are_changed_by_putting_a_new_one_first(tmp_path: pathlib.Path) -> None:
    new = secrets.token_bytes(32)
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        state.set(SCOUT, "old", 1, **SENSITIVE)
    with sk.open(tmp_path / "store", sealing_keys=[new, KEY]) as state:
        state.set(SCOUT, "new", 2, **SENSITIVE)
        assert (state.get(SCOUT, "old"), state.get(SCOUT, "new")) == (1, 2)
    with sk.open(tmp_path / "store", sealing_keys=[new]) as state:
        assert state.get(SCOUT, "new") == 2
        with pytest.raises(errors.AccessDenied):
            state.get(SCOUT, "old")


@pytest.mark.parametrize("wrong", [b"k" * 32, "k" * 32, [b"short"], ["k" * 32], [b"k" * 33], [bytearray(32)], {KEY}])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: pathlib.Path, wrong: object) -> None:
    with pytest.raises(errors.LimitExceeded, match="key") as refused:
        sk.open(tmp_path / "store", sealing_keys=wrong)  # type: ignore[arg-type]
    assert "kkk" not in str(refused.value)
    assert not (tmp_path / "store").exists()


def test_what_is_copied_to_another_key_can_be_read_there(state: sk.StateManager) -> None:
    """Agents keep what was there before a value under another key."""
    handle = state.scope(SCOUT, **SENSITIVE)
    handle.set("mood", PLAIN)
    handle._replace("mood", "calm")
    (kept,) = handle.list_keys("past/")
    assert handle[kept] == PLAIN
    with state.batch() as batch:
        assert batch._copy(SCOUT, "mood", "copy")
    assert handle["copy"] == "calm"


def test_arrays_and_long_values_are_sealed_too(state: sk.StateManager) -> None:
    value = {"array": np.arange(10_000), "long": ["x" * 100] * 5_000}
    state.set(SCOUT, "large", value, **SENSITIVE)
    got, view = state.get(SCOUT, "large"), state.view(SCOUT, "large")
    assert np.array_equal(got["array"], value["array"])
    assert np.array_equal(view["array"], value["array"])
    assert got["long"] == value["long"]
    assert view["long"][4_999] == "x" * 100


def test_a_validator_sees_and_changes_it_and_the_change_is_sealed(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        seen = []

        @state.hooks.before("set", name="seer")
        def see(context: sk.HookContext) -> HookResult:
            seen.append((context.value, context.state_class, context.old_value))
            return HookResult.modify(PLAIN + "!")

        state.set(SCOUT, "k", PLAIN, **SENSITIVE)
        state.set(SCOUT, "k", PLAIN, **SENSITIVE)
        assert seen == [
            (PLAIN, StateClass.SENSITIVE, None),
            (PLAIN, StateClass.SENSITIVE, PLAIN + "!"),
        ]
        assert state.get(SCOUT, "k") == PLAIN + "!"
        assert all(execution.input["value"] == "[redacted]" for execution in state.hooks.history("seer"))
    assert PLAIN.encode() not in files_of(tmp_path / "store")


def test_what_hooks_show_does_not_show_it(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        debugging = Debugging(values=True)
        state.hooks.register(Logging(show_value=True), name="logging")
        state.hooks.register(debugging, name="debugging")

        @state.hooks.before("set", name="recorder")
        def record(context: sk.HookContext) -> None:
            context.recorded(lambda: context.value)

        with caplog.at_level(logging.INFO):
            state.set(SCOUT, "k", PLAIN, **SENSITIVE)
            state.set(SCOUT, "k", "no secret any more", state_class=StateClass.STANDARD)
            assert state.hooks.drain(10)
        assert PLAIN not in caplog.text
        assert "no secret any more" in caplog.text
        assert [(trace.value, trace.old_value) for trace in debugging.traces()] == [
            ("[redacted]", None),
            ("no secret any more", "[redacted]"),
        ]
    assert PLAIN.encode() not in files_of(tmp_path / "store")


def test_it_is_not_given_to_a_replay(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path / "store", sealing_keys=[KEY], allow_replay=True) as state:
        looked = []

        @state.hooks.before("set", name="looker")
        def look(context: sk.HookContext) -> None:
            looked.append(context.state.get(SCOUT, "secret"))

        state.set(SCOUT, "secret", PLAIN, **SENSITIVE)
        state.set(SCOUT, "other", 1)
        state.hooks.drain(10)
        del looked[:]
        report = state.replay.verify(state.replay.select(hook="looker"))
        assert report.counts == {"redacted": 1, "same": 1}
        # The second one asked for it, and was given nothing of it.
        assert looked == ["[redacted]"]
        assert PLAIN not in repr(report)


def test_a_write_that_chose_no_class_does_not_unseal(state: sk.StateManager) -> None:
    handle = state.scope(SCOUT)
    state.set(SCOUT, "k", PLAIN, **SENSITIVE)

    def in_a_batch() -> None:
        with state.batch() as batch:
            batch.set(SCOUT, "other", 1)
            batch.set(SCOUT, "k", "plain")

    for write in (
        lambda: state.set(SCOUT, "k", "plain"),
        lambda: handle.set("k", "plain"),
        lambda: handle.__setitem__("k", "plain"),
        lambda: handle.update(k="plain"),
        lambda: handle._replace("k", "plain"),
        lambda: state.set(SCOUT, "k", "p" * (5 << 20)),
        in_a_batch,
    ):
        with pytest.raises(errors.AccessDenied, match="sealed") as refused:
            write()
        assert refused.value.code == "seal.class"
        assert (state.get(SCOUT, "k"), state.list_keys(SCOUT)) == (PLAIN, ["k"])
    state.set(SCOUT, "k", "chosen", state_class=StateClass.STANDARD)
    state.set(SCOUT, "k", "and again")
    state.set(SCOUT, "k", PLAIN, **SENSITIVE)
    state.delete(SCOUT, "k")
    state.set(SCOUT, "k", "new")
    state.set(SCOUT, "short", PLAIN, ttl_s=0.001, **SENSITIVE)
    while state.exists(SCOUT, "short"):
        pass
    state.set(SCOUT, "short", "new")


def test_an_agent_does_not_unseal_what_somebody_sealed_in_its_scope(
    state: sk.StateManager, tmp_path: pathlib.Path
) -> None:
    state.save_agent_state("scout", {"messages": [], "context": {"diagnosis": "?"}})
    (key,) = state.list_keys(SCOUT, "context/diagnosis")
    state.set(SCOUT, key, PLAIN, **SENSITIVE)
    loaded = state.load_agent_state("scout")
    assert loaded["context"] == {"diagnosis": PLAIN}
    with pytest.raises(errors.AccessDenied):
        state.save_agent_state("scout", loaded | {"context": {"diagnosis": PLAIN + "!"}})
    state.flush()
    assert PLAIN.encode() not in files_of(tmp_path)


def test_whatever_a_hook_opened_is_not_in_what_it_leaves(tmp_path: pathlib.Path) -> None:
    def keeps(context: sk.HookContext) -> None:
        context.recorded(lambda: context.old_value)

    def keeps_all(context: sk.HookContext) -> None:
        context.recorded(lambda: [each.value for each in context.operations or ()])

    def keeps_another(context: sk.HookContext) -> None:
        context.recorded(lambda: context.state.get(ANNA, "note"))

    def refuses(context: sk.HookContext) -> HookResult:
        return HookResult.cancel(f"not {context.value}")

    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        state.set(ANNA, "note", PLAIN, **SENSITIVE)
        for number, (points, hook) in enumerate(
            (
                (("delete", "set"), keeps),
                (("batch",), keeps_all),
                (("clear", "set"), keeps_another),
            )
        ):
            for point in points:
                state.hooks.before(point, name=f"keeps-{number}-{point}")(hook)
        state.hooks.before("set", key="refused/*", name="refuses")(refuses)
        for name in ("a", "b"):
            state.set(SCOUT, name, PLAIN, **SENSITIVE)
        state.set(SCOUT, "b", "open", state_class=StateClass.STANDARD)
        state.delete(SCOUT, "a")
        with state.batch() as batch:
            batch.set(SCOUT, "c", PLAIN, **SENSITIVE)
        with pytest.raises(errors.HookVeto):
            state.set(SCOUT, "refused/a", PLAIN, **SENSITIVE)
        state.clear_scope(SCOUT)
        assert len(list(state.hooks.history("refuses"))) == 1
        assert state.hooks.drain(10)
    assert PLAIN.encode() not in files_of(tmp_path / "store")


def test_a_replay_does_not_show_what_it_seals(tmp_path: pathlib.Path) -> None:
    def hook(context: sk.HookContext, state: sk.StateManager | None = None) -> None:
        if state is not None:
            state.set(SCOUT, "made", PLAIN, **SENSITIVE)
            state.scope(SCOUT, **SENSITIVE)["made too"] = PLAIN

    with sk.open(tmp_path / "store", sealing_keys=[KEY], allow_replay=True) as state:
        state.hooks.before("set", name="hook")(hook)
        state.set(SCOUT, "k", 1)
        state.hooks.drain(10)
        report = state.replay.what_if(state.replay.select(hook="hook"), {"value": 2})
        assert [item.status for item in report] == ["different"]
        assert PLAIN not in f"{report} {report!r} {[item.document() for item in report]}"


def test_hooks_that_show_values_do_not_need_the_key(tmp_path: pathlib.Path) -> None:
    with sk.open(tmp_path / "store", sealing_keys=[KEY]) as state:
        state.set(SCOUT, "k", PLAIN, **SENSITIVE)
    with sk.open(tmp_path / "store") as state:
        debugging = Debugging(values=True)
        state.hooks.register(debugging, name="debugging")
        state.hooks.register(Logging(show_value=True), name="logging")
        state.delete(SCOUT, "k")
        assert state.hooks.drain(10)
        assert [trace.old_value for trace in debugging.traces()] == ["[redacted]"]
        assert [stats.failed_count for stats in state.hooks.stats()] == [0, 0]

"""The store against a plain dict: any sequence of calls gives what the dict, its history and its log say."""

from __future__ import annotations

import shutil
import tempfile
import time
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import spellkeep as sk
from spellkeep import Change, ReadView, ScopeHandle, StateScope, errors

SCOPES = [StateScope.GLOBAL, StateScope.agent("a"), StateScope.agent("a:b"), StateScope.step("a", "b")]
KEYS = ["a", "a/b", "a/bc", "b:c", "é", "z"]
PREFIXES = ["", "a", "a/", "a/b", "é", "q", ".."]
scopes = st.sampled_from(SCOPES)
keys = st.sampled_from(KEYS)
small = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.booleans(), max_size=3)
# The ring has 64 KiB: some values fill it after a few writes, and some never fit.
values = small | st.dictionaries(st.text(max_size=3), small, max_size=3) | st.sampled_from([20_000, 90_000]).map(bytes)
# None: no condition; True: the live version; False: a wrong one.
conditions = st.sampled_from([None, True, False])
operations = st.tuples(scopes, keys, st.just("delete") | st.tuples(values), conditions)

Row = tuple[int, str, StateScope, str | None, Any, bool]
Place = tuple[StateScope, str]


class Model:
    """What the store should hold: live values with versions, and every change."""

    def __init__(self) -> None:
        self.live: dict[Place, tuple[Any, int]] = {}
        self.rows: list[Row] = []
        # Expired, while the store has not written so.
        self.unrecorded: set[Place] = set()

    @property
    def last(self) -> int:
        return self.rows[-1][0] if self.rows else 0

    def version(self, place: Place) -> int:
        return self.live.get(place, (None, 0))[1]

    def expected(self, place: Place, condition: bool | None) -> int | None:
        """What to pass as if_version."""
        if condition is None:
            return None
        return self.version(place) if condition else self.version(place) + 1

    def expire(self, place: Place) -> None:
        del self.live[place]
        self.unrecorded.add(place)

    def recorded(self, change: Change) -> None:
        """The store wrote that a key has expired."""
        assert change.key is not None
        self.unrecorded.remove((change.scope, change.key))
        self.rows.append((self.last + 1, "expire", change.scope, change.key, None, False))
        assert row_of(change) == self.rows[-1]

    def set(self, place: Place, value: Any, *, in_batch: bool = False) -> int:
        self.unrecorded.discard(place)
        self.rows.append((self.last + 1, "set", *place, value, in_batch))
        self.live[place] = (value, self.last)
        return self.last

    def delete(self, place: Place, *, in_batch: bool = False) -> int:
        if self.live.pop(place, None) is None:
            return 0
        self.rows.append((self.last + 1, "delete", *place, None, in_batch))
        return self.last

    def clear(self, scope: StateScope) -> int:
        places = [place for place in self.live if place[0] == scope]
        for place in places:
            del self.live[place]
        if places:
            self.rows.append((self.last + 1, "clear", scope, None, None, False))
        return len(places)

    def items(self, scope: StateScope, prefix: str = "") -> list[tuple[str, Any]]:
        found = [(key, value) for (s, key), (value, _) in self.live.items() if s == scope and key.startswith(prefix)]
        return sorted(found, key=lambda item: item[0])

    def history(self, place: Place) -> list[Row]:
        """Newest first. A clear counts when it removed the key."""
        found: list[Row] = []
        for row in self.rows:
            cleared = row[1] == "clear" and row[2] == place[0] and bool(found) and found[-1][1] == "set"
            if (row[2], row[3]) == place or cleared:
                found.append(row)
        return found[::-1]


def row_of(change: Change) -> Row:
    return change.version, change.operation, change.scope, change.key, change.value, change.in_batch


class StoreMachine(RuleBasedStateMachine):
    """One store and its model. Subclasses say which kind of store."""

    options: ClassVar[dict[str, Any]] = {}
    in_memory: ClassVar[bool] = False

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="spellkeep-machine-")
        self.model = Model()
        self.reopen()

    def reopen(self) -> None:
        path = "memory:" if self.in_memory else self.folder
        self.state = sk.open(path, ring_bytes=65536, segment_bytes=65536, **self.options)
        self.handles: dict[StateScope, ScopeHandle] = {scope: self.state.scope(scope) for scope in SCOPES}
        self.views: list[tuple[ReadView, dict[Place, tuple[Any, int]]]] = []

    def teardown(self) -> None:
        self.state.close()
        shutil.rmtree(self.folder)

    @rule(scope=scopes, key=keys, value=values, condition=conditions, handle=st.booleans())
    def set_one(self, scope: StateScope, key: str, value: Any, condition: bool | None, handle: bool) -> None:
        place = (scope, key)
        if_version = self.model.expected(place, condition)
        try:
            if handle:
                version = self.handles[scope].set(key, value, if_version=if_version)
            else:
                version = self.state.set(scope, key, value, if_version=if_version)
        except errors.Conflict as conflict:
            assert condition is False
            live = self.model.live.get(place, (None, 0))
            assert (conflict.current, conflict.current_version) == live
            assert conflict.expected_version == if_version
        else:
            assert condition is not False
            assert version == self.model.set(place, value)

    @rule(scope=scopes, key=keys, value=small)
    def set_for_long(self, scope: StateScope, key: str, value: Any) -> None:
        assert self.state.set(scope, key, value, ttl_s=3600) == self.model.set((scope, key), value)
        assert self.state.entry(scope, key).expires_at is not None

    @rule(scope=scopes, key=keys, value=small, handle=st.booleans())
    def set_and_expire(self, scope: StateScope, key: str, value: Any, handle: bool) -> None:
        if handle:
            version = self.handles[scope].set(key, value, ttl_s=1e-6)
        else:
            version = self.state.set(scope, key, value, ttl_s=1e-6)
        assert version == self.model.set((scope, key), value)
        self.model.expire((scope, key))
        # The store may write so at any time from now on: the model waits for it.
        end = time.monotonic() + 60
        while self.model.unrecorded:
            for change in self.state.changes(since=self.model.last):
                self.model.recorded(change)
            assert time.monotonic() < end

    @rule(scope=scopes, key=keys, condition=conditions, handle=st.booleans())
    def delete_one(self, scope: StateScope, key: str, condition: bool | None, handle: bool) -> None:
        place = (scope, key)
        if_version = self.model.expected(place, condition)
        try:
            if handle:
                version = self.handles[scope].delete(key, if_version=if_version)
            else:
                version = self.state.delete(scope, key, if_version=if_version)
        except errors.Conflict as conflict:
            assert condition is False
            assert conflict.current_version == self.model.version(place)
        else:
            assert condition is not False
            assert version == self.model.delete(place)

    @rule(scope=scopes, handle=st.booleans())
    def clear_scope(self, scope: StateScope, handle: bool) -> None:
        expected = self.model.clear(scope)
        if handle:
            self.handles[scope].clear()
        else:
            assert self.state.clear_scope(scope) == expected

    @rule(calls=st.lists(operations, max_size=8), broken=st.booleans())
    def batch(self, calls: list[tuple[StateScope, str, Any, bool | None]], broken: bool) -> None:
        # Of several calls on one place the last holds, with the first condition, at the place of the first.
        wanted: dict[Place, Any] = {}
        checked: dict[Place, bool] = {}
        batch = self.state.batch()
        try:
            with batch:
                for scope, key, what, condition in calls:
                    place = (scope, key)
                    if_version = self.model.expected(place, condition)
                    if condition is not None:
                        checked.setdefault(place, condition)
                    wanted[place] = what
                    if what == "delete":
                        batch.delete(scope, key, if_version=if_version)
                    else:
                        batch.set(scope, key, what[0], if_version=if_version)
                if broken:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            assert broken
            return
        except errors.Conflict as conflict:
            assert not all(checked.values())
            assert conflict.current_version + 1 == conflict.expected_version
            return
        assert all(checked.values())
        written = [place for place, what in wanted.items() if what != "delete" or place in self.model.live]
        versions: dict[Place, int] = {}
        for place, what in wanted.items():
            goes_on = bool(written) and place != written[-1]
            if what == "delete":
                versions[place] = self.model.delete(place, in_batch=goes_on)
            else:
                versions[place] = self.model.set(place, what[0], in_batch=goes_on)
        assert batch.versions == [versions[scope, key] for scope, key, _, _ in calls]

    @rule(scope=scopes, key=keys)
    def pop(self, scope: StateScope, key: str) -> None:
        expected = self.model.live.get((scope, key), ("nothing", 0))[0]
        self.model.delete((scope, key))
        assert self.handles[scope].pop(key, "nothing") == expected

    @rule(scope=scopes, key=keys, value=small)
    def setdefault(self, scope: StateScope, key: str, value: Any) -> None:
        if (scope, key) not in self.model.live:
            self.model.set((scope, key), value)
        assert self.handles[scope].setdefault(key, value) == self.model.live[scope, key][0]

    @rule(scope=scopes, key=keys)
    def read(self, scope: StateScope, key: str) -> None:
        value, version = self.model.live.get((scope, key), (None, 0))
        assert self.state.get(scope, key) == self.handles[scope].get(key) == value
        assert self.state.exists(scope, key) == (key in self.handles[scope]) == (version > 0)
        if version:
            entry = self.state.entry(scope, key)
            assert (entry.value, entry.version) == (value, version)
            assert self.handles[scope].entry(key) == entry
        else:
            with pytest.raises(errors.KeyMissing):
                self.state.entry(scope, key)

    @rule(scope=scopes, prefix=st.sampled_from(PREFIXES))
    def list_prefix(self, scope: StateScope, prefix: str) -> None:
        expected = self.model.items(scope, prefix)
        assert [*self.state.items(scope, prefix)] == expected
        assert self.state.list_keys(scope, prefix) == self.handles[scope].list_keys(prefix) == [k for k, _ in expected]

    @rule(scope=scopes, key=keys, limit=st.integers(0, 12))
    def history(self, scope: StateScope, key: str, limit: int) -> None:
        expected = self.model.history((scope, key))[:limit]
        assert [row_of(change) for change in self.state.history(scope, key, limit=limit)] == expected
        assert [row_of(change) for change in self.handles[scope].history(key, limit=limit)] == expected

    @rule(back=st.integers(0, 20))
    def changes(self, back: int) -> None:
        since = max(0, self.model.last - back)
        expected = [row for row in self.model.rows if row[0] > since]
        assert [row_of(change) for change in self.state.changes(since=since)] == expected

    @rule()
    def flush(self) -> None:
        assert self.state.flush() == self.model.last
        assert self.state.durable_version == self.model.last

    @rule()
    def take_view(self) -> None:
        view = self.state.read_view()
        assert view.version == self.model.last
        self.views.append((view, dict(self.model.live)))

    @rule(number=st.integers(0, 5), close=st.booleans())
    def end_view(self, number: int, close: bool) -> None:
        if number < len(self.views):
            view, _ = self.views.pop(number)
            if close:
                view.close()

    @rule(scope=scopes, prefix=st.sampled_from(PREFIXES), key=keys)
    def read_views(self, scope: StateScope, prefix: str, key: str) -> None:
        for view, live in self.views:
            everything = {(s, k): v for s in view.list_scopes() for k, v in view.items(s)}
            assert everything == {place: value for place, (value, _) in live.items()}
            assert view.list_scopes() == sorted({s for s, _ in live})
            assert view.list_keys(scope, prefix) == sorted(k for s, k in live if s == scope and k.startswith(prefix))
            value, version = live.get((scope, key), (None, 0))
            assert (view.get(scope, key), view.exists(scope, key)) == (value, version > 0)
            if version:
                assert view.entry(scope, key).version == version

    @rule()
    def close_and_open(self) -> None:
        if self.in_memory:
            return
        self.state.close()
        for view, _ in self.views:
            with pytest.raises(errors.ViewEnded):
                view.list_scopes()
        self.reopen()
        found = self.state.recovery
        assert (found.clean, found.cut_bytes, found.lost_count) == (True, 0, 0)
        assert found.last_version == self.model.last

    @invariant()
    def agrees_with_the_model(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.state.last_version == self.model.last
        assert self.state.durable_version <= self.model.last
        live = {scope for scope, _ in self.model.live}
        assert self.state.list_scopes() == sorted(live)
        for scope, handle in self.handles.items():
            assert len(handle) == len(self.model.items(scope))
        stats = self.state.stats()
        assert (stats.key_count, stats.scope_count) == (len(self.model.live), len(live))
        assert stats.view_count == len(self.views)
        assert self.views or stats.view_bytes == 0


class InMemory(StoreMachine):
    in_memory = True


class Process(StoreMachine):
    options: ClassVar[dict[str, Any]] = {"durability": "process"}


class Interval(StoreMachine):
    options: ClassVar[dict[str, Any]] = {"durability": "interval", "interval_ms": 1}


class Sync(StoreMachine):
    options: ClassVar[dict[str, Any]] = {"durability": "sync"}


class WithoutMapping(StoreMachine):
    options: ClassVar[dict[str, Any]] = {"mapped_ring": False}


# Each step may sync a disk: fewer examples than elsewhere, unless the profile asks for more.
EXAMPLES = max(20, settings.default.max_examples // 5) if settings.default else 20


# The long profile takes minutes for each.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("machine", [InMemory, Process, Interval, Sync, WithoutMapping])
def test_any_sequence_of_calls_gives_what_a_dict_gives(machine: type[StoreMachine]) -> None:
    case = machine.TestCase
    case.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)
    case("runTest").runTest()

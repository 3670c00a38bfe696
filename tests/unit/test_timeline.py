"""What happened, what caused what, and why a value is what it is."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import spellkeep as sk
from spellkeep import StateManager, StateScope
from spellkeep.errors import Closed, KeyMissing
from spellkeep.timeline import Timeline, chrome_trace, html_page, json_lines, mermaid, otlp, type_of
from spellkeep.timeline.index import Index, Query

SCOUT = StateScope.agent("scout")
SESSION = StateScope.session("s-1")


@pytest.fixture
def state(tmp_path: Path):
    with sk.open(tmp_path / "s") as opened:
        yield opened


def story(state: StateManager) -> dict[str, int]:
    """Two pieces of work side by side, and one change of nobody."""
    at: dict[str, int] = {"alone": state.set(StateScope.GLOBAL, "alone", 1)}
    with sk.correlate("req-42", actor="anna", tags=("billing",)):
        with state.events.span("turn.start", {"text": "hello"}, scope=SESSION) as turn:
            at["turn"] = turn
            with state.events.span("tool.call", {"name": "search"}) as call:
                at["call"] = call
                at["plan"] = state.set(SCOUT, "plan", {"step": 1})
            at["note"] = state.set(SCOUT, "note", "x")
        at["end"] = state.events.emit("turn.end")
    with sk.correlate("req-43"):
        at["other"] = state.set(SCOUT, "plan", {"step": 2})
    return at


def versions(timeline: Timeline) -> list[int]:
    return [change.version for change in timeline]


def test_a_correlation_is_the_whole_story_in_order(state: StateManager) -> None:
    at = story(state)
    found = state.timeline(correlation="req-42")
    assert versions(found) == [at[name] for name in ("turn", "call", "plan", "note", "end")]
    assert {change.actor for change in found} == {"anna"} and {change.tags for change in found} == {("billing",)}
    assert versions(state.timeline(correlation="req-43")) == [at["other"]]
    assert versions(state.timeline(correlation="req-44")) == []
    assert versions(state.timeline()) == sorted(at.values())


def test_causes_make_trees(state: StateManager) -> None:
    at = story(state)
    found = state.timeline(correlation="req-42")
    turn, plan = found.of_version(at["turn"]), found.of_version(at["plan"])
    assert versions(found.roots) == [at["turn"], at["end"]]
    assert versions(found.leaves) == [at["plan"], at["note"], at["end"]]
    assert [found.depth_of(change) for change in found] == [0, 1, 2, 1, 0]
    assert versions(found.chain(plan)) == [at["turn"], at["call"], at["plan"]]
    assert versions(found.caused_by(turn)) == [at["call"], at["note"]]
    assert found.cause_of(turn) is None
    walked = [(depth, change.version) for depth, change in found.walk()]
    assert walked == [(0, at["turn"]), (1, at["call"]), (2, at["plan"]), (1, at["note"]), (0, at["end"])]
    assert [len(chain) for chain in found.chains()] == [3, 2, 1]
    assert found.missing_causes == []
    path = found.critical_path()
    assert path[-1].at - path[0].at == max(c[-1].at - c[0].at for c in found.chains())


def test_a_cause_of_another_correlation_is_named_as_missing(state: StateManager) -> None:
    first = state.set(SCOUT, "plan", 1)
    with sk.correlate("req-1", cause=first):
        second = state.set(SCOUT, "plan", 2)
    found = state.timeline(correlation="req-1")
    assert (versions(found), found.missing_causes, found.stats().missing_causes) == ([second], [first], 1)
    assert versions(found.roots) == [second]


def test_each_argument_leaves_out_what_is_not_so(state: StateManager) -> None:
    at = story(state)
    assert versions(state.timeline(scope=SESSION)) == [at["turn"]]
    assert versions(state.timeline(agent="scout")) == [at["plan"], at["note"], at["other"]]
    assert versions(state.timeline(types="tool.call")) == [at["call"]]
    assert versions(state.timeline(types=("set", "turn.end"), correlation="req-42")) == [
        at["plan"],
        at["note"],
        at["end"],
    ]
    assert versions(state.timeline(since=at["end"])) == [at["end"], at["other"]]
    assert versions(state.timeline(until=at["turn"])) == [at["alone"], at["turn"]]
    assert versions(state.timeline(where=lambda change: change.key == "plan")) == [at["plan"], at["other"]]
    assert versions(state.timeline(agent="scout", limit=1)) == [at["other"]]
    assert versions(state.timeline(limit=0)) == []
    moment = state.timeline(since=at["note"])[0].at
    assert set(versions(state.timeline(since=moment))) >= {at["note"], at["end"], at["other"]}
    assert versions(state.timeline(until=moment - timedelta(days=1))) == []
    assert len(state.timeline(since=(moment - timedelta(days=1)).replace(tzinfo=None))) == len(at)


def test_wrong_questions_are_refused(state: StateManager) -> None:
    with pytest.raises(ValueError, match="not both"):
        state.timeline(scope=SCOUT, agent="scout")
    with pytest.raises(ValueError, match="at least 0"):
        state.timeline(limit=-1)
    # A text would be no scope's equal, and nothing would be found.
    with pytest.raises(TypeError, match="StateScope"):
        state.timeline(scope="agent:scout")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="datetimes"):
        state.timeline(since="yesterday")  # type: ignore[arg-type]
    state.close()
    with pytest.raises(Closed):
        state.timeline()


def test_later_questions_see_what_came_since(state: StateManager) -> None:
    at = story(state)
    assert len(state.timeline(correlation="req-43")) == 1
    with sk.correlate("req-43"):
        more = [state.set(SCOUT, "plan", number) for number in range(3)]
        more.append(state.delete(SCOUT, "plan"))
    assert versions(state.timeline(correlation="req-43")) == [at["other"], *more]
    assert type_of(state.timeline(correlation="req-43")[-1]) == "delete"


def test_what_the_index_has_forgotten_is_found_in_the_log(state: StateManager) -> None:
    small = Index(state, events_max=10)
    want: dict[str, list[int]] = {}
    for number in range(57):
        with sk.correlate(f"req-{number % 4}"):
            want.setdefault(f"req-{number % 4}", []).append(state.set(SCOUT, f"k{number}", number))
        for correlation, there in want.items():
            assert [change.version for change in small.find(Query(correlation=correlation))] == there
    assert len(small._older.versions) + len(small._newer.versions) <= 10
    since = want["req-1"][3]
    found = [change.version for change in small.find(Query(correlation="req-1", since=since))]
    assert found == want["req-1"][3:]


def test_what_the_log_has_let_go_is_left_out(tmp_path: Path) -> None:
    with sk.open(tmp_path / "s", keep_log_bytes=0, segment_bytes=1 << 20) as state:
        with sk.correlate("early"):
            early = state.set(SCOUT, "early", 1)
        assert versions(state.timeline(correlation="early")) == [early]
        for number in range(3000):
            state.set(SCOUT, f"k{number % 7}", "x" * 2000)
        for _ in range(3):
            state.checkpoint()
            state.set(SCOUT, "more", "y" * 1000)
        assert next(state.changes()).version > early, "the log goes back further than this test needs"
        assert versions(state.timeline(correlation="early")) == []
        with sk.correlate("late", cause=early):
            late = state.set(SCOUT, "late", 1)
        assert versions(state.timeline(correlation="late")) == [late]
        why = state.why(SCOUT, "late")
        assert (versions(Timeline(why)), why.lost) == ([late], early)
        assert str(early) in str(why)


def test_why_goes_back_to_where_it_began(state: StateManager) -> None:
    at = story(state)
    state.set(SCOUT, "plan", 9)
    assert [change.version for change in state.why(SCOUT, "plan")] == [state.entry(SCOUT, "plan").version]
    state.delete(SCOUT, "plan")
    assert state.why(SCOUT, "plan")[0].operation == "delete"
    why = state.why(SCOUT, "note")
    assert [change.version for change in why] == [at["note"], at["turn"]]
    assert (why.correlation, why.lost, why[-1].value) == ("req-42", None, {"text": "hello"})
    assert "note" in str(why) and "turn.start" in str(why) and "1 causes" in repr(why)
    with pytest.raises(KeyMissing):
        state.why(SCOUT, "never")


def test_figures_and_pauses(state: StateManager) -> None:
    story(state)
    found = state.timeline(correlation="req-42")
    stats = found.stats()
    assert (stats.count, stats.depth, stats.roots, stats.leaves) == (5, 2, 2, 3)
    assert stats.types == {"set": 2, "turn.start": 1, "tool.call": 1, "turn.end": 1}
    assert stats.actors == {"anna": 5} and stats.scopes["agent:scout"] == 2
    assert stats.seconds == found.seconds >= 0
    assert found.gaps(3600) == []
    assert len(found.gaps(-1)) == 4
    assert [gap.seconds for gap in found.gaps(-1)] == sorted((g.seconds for g in found.gaps(-1)), reverse=True)
    empty = state.timeline(correlation="none")
    assert (empty.critical_path(), empty.gaps(), empty.seconds, str(empty), repr(empty)) == (
        [],
        [],
        0.0,
        "",
        "<Timeline, empty>",
    )
    assert empty.stats().count == 0


def test_exports_tell_the_same_story(state: StateManager) -> None:
    at = story(state)
    found = state.timeline(correlation="req-42")
    rows = [json.loads(line) for line in json_lines(found)]
    assert [(row["version"], row["cause"], row["depth"]) for row in rows] == [
        (change.version, change.cause, found.depth_of(change)) for change in found
    ]
    assert datetime.fromisoformat(rows[0]["at"]) == found[0].at

    trace = chrome_trace(found)["traceEvents"]
    assert sorted(event["name"] for event in trace if event["ph"] in "Xi") == sorted(
        ["event turn.start", "event tool.call", "set plan", "set note", "event turn.end"]
    )
    assert {event["id"] for event in trace if event["ph"] == "f"} == {at["call"], at["plan"], at["note"]}
    assert {event["args"]["name"] for event in trace if event["ph"] == "M"} == {"global", "session:s-1", "agent:scout"}
    turn = next(event for event in trace if event["name"] == "event turn.start")
    assert turn["ph"] == "X" and turn["dur"] >= 1

    spans = otlp(found)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {span["traceId"] for span in spans} == {spans[0]["traceId"]} and len(spans[0]["traceId"]) == 32
    parents = {int(span["spanId"], 16): int(span.get("parentSpanId", "0"), 16) or None for span in spans}
    assert parents == {change.version: change.cause for change in found}
    assert all(int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) for span in spans)

    chart = mermaid(found)
    assert chart.startswith("flowchart TD\n") and f"v{at['turn']} --> v{at['call']}" in chart
    assert html_page(found, "req <42>").count("<tr id=") == 5


def test_a_trace_id_is_kept_by_otlp(state: StateManager) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    with sk.correlate(trace_id):
        state.set(SCOUT, "plan", 1)
    spans = otlp(state.timeline())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [span["traceId"] for span in spans] == [trace_id]


def test_names_cannot_break_out_of_an_export(state: StateManager) -> None:
    evil = '<script>"];--> end'
    with sk.correlate(evil, actor=evil):
        state.set(StateScope.custom(evil), evil, 1)
    found = state.timeline()
    assert "<script>" not in html_page(found, evil)
    box = re.sub(r"#\d+;", "", mermaid(found).splitlines()[1])
    assert re.fullmatch(r"  v1\[\"[\w ./:-]*\"\]", box), box
    assert len(str(found).splitlines()) == 3
    assert json.loads(next(iter(json_lines(found))))["correlation"] == evil


def test_no_export_has_a_value(state: StateManager) -> None:
    with sk.correlate("req-1"), state.events.span("turn", {"secret": "canary-7261"}):
        state.set(SCOUT, "token", "canary-7261")
    found = state.timeline()
    shown = [
        *json_lines(found),
        json.dumps(chrome_trace(found)),
        json.dumps(otlp(found)),
        mermaid(found),
        html_page(found),
    ]
    shown += [str(found), repr(found), str(state.why(SCOUT, "token"))]
    assert found[-1].value == "canary-7261"
    assert not [text for text in shown if "canary-7261" in text]


def test_async_twins(state: StateManager) -> None:
    at = story(state)

    async def main() -> None:
        assert await state.atimeline(correlation="req-42") == state.timeline(correlation="req-42")
        assert (await state.awhy(SCOUT, "note"))[0].version == at["note"]

    asyncio.run(main())


def test_a_clock_that_went_back_hides_nothing(state: StateManager) -> None:
    story(state)
    index = Index(state)
    list(index.find(Query()))
    # As if the second change had been written an hour before the first.
    assert list(index._newer.latest_us) == sorted(index._newer.latest_us)
    early = datetime.now(UTC) - timedelta(hours=1)
    assert len(list(index.find(Query(since=early)))) == len(state.timeline())


def test_a_timeline_is_a_sequence(state: StateManager) -> None:
    at = story(state)
    found = state.timeline(correlation="req-42")
    assert len(found) == 5 and found[0].version == at["turn"] and len(found[1:3]) == 2
    assert found == Timeline(list(found)) and found != Timeline([]) and (found == 1) is False
    assert "Timeline of 5" in repr(found)
    with pytest.raises(KeyError):
        found.of_version(at["alone"])

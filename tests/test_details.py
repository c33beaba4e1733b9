"""Everything about one batch: what it was sent, what came of it, and the end of its log."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checkpoints import layout_in, write_job
from support.histories import history
from support.recorded import recordings

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.rows import Attempts
from mozart_nb.engine.fold import apply, fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import UnknownJobError
from mozart_nb.job.load import load_job
from mozart_nb.looking.details import (
    LARGEST_ANSWER,
    AttemptIndex,
    BatchDetails,
    Excerpt,
    Limits,
    LogLine,
    batch_details,
    log_tail,
    read_details,
    readable,
)
from mozart_nb.looking.details.attempts import attempts_of
from mozart_nb.looking.details.facts import Facts
from mozart_nb.looking.details.logs import WINDOW_BYTES
from mozart_nb.plans.prepared import Prepared, prepare
from mozart_nb.runtime import run_job


def job(folder: Path, **sections: Any) -> Prepared:
    config = {
        "name": "detailed",
        "backend": {"type": "rehearsal"},
        "rehearsal": {"latency_seconds": 0, **sections.pop("rehearsal", {})},
        "prompt": {"template": "work on {{ batch_num }}"},
        "retry": {"max_retries": 1, "base_delay_seconds": 0.01, "completion_delay_seconds": 0},
        **sections,
    }
    file = folder / "job.yaml"
    file.write_text(yaml.safe_dump(config))
    return prepare(load_job(file))


def run(prepared: Prepared, **options: Any) -> JobState:
    return asyncio.run(run_job(prepared, ev.RunOptions(**options)))


def details(source: Prepared | Layout, state: JobState, number: int, **more: Any) -> BatchDetails:
    return read_details(source, Facts.of(state, number), **more)


def write_log(layout: Layout, number: int, attempt: int, out: bytes, err: bytes = b"") -> None:
    stem = layout.log_stem(number, attempt)
    stem.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.out").write_bytes(out)
    Path(f"{stem}.err").write_bytes(err)


def write_events(layout: Layout, events: Sequence[ev.Event], *, segment: int = 1, mode: str = "wb") -> None:
    layout.journal.mkdir(parents=True, exist_ok=True)
    with layout.segment(segment).open(mode) as file:
        file.writelines(EVENTS.wrap(ev.encode_event(event)) for event in events)


RETRIED = {
    "batch": {"size": 1, "total_items": 5, "dependencies": {4: [3], 5: [4]}},
    "rehearsal": {"answer": "answer of {{ batch_num }}"},
    "validations": [
        {"type": "answer_matches", "pattern": "of [125]", "description": "names its batch"},
        {"type": "answer_matches", "pattern": "answer"},
    ],
}
"""Batch 3 never gives a good answer, and 4 and 5 wait for it."""


def tells(event: ev.Event, facts: dict[str, Any]) -> bool:
    return all(getattr(event, name) == value for name, value in facts.items())


# --- what is known of a batch -----------------------------------------------------------------------------------------


def test_a_completed_batch_shows_what_it_was_sent_and_what_it_answered(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    found = details(prepared, run(prepared), 1)
    assert (found.number, found.status, found.first_item, found.last_item) == (1, "completed", 1, 1)
    assert (found.prompt.text, found.prompt_source, found.prompt_note) == ("work on 1", "sent", "as attempt 1 sent it")
    assert (found.answer, found.data, found.answer_note) == (Excerpt("answer of 1", 11), None, "")
    assert [(rule.type, rule.status) for rule in found.validations] == [("answer_matches", "passed")] * 2
    assert [(one.attempt, one.mode, one.outcome, one.passed) for one in found.attempts] == [(1, "first", "ok", True)]
    assert found.attempts_omitted == 0
    assert found.reasons == found.remedies == found.warnings == ()


def test_a_failed_batch_shows_each_attempt_and_what_the_last_one_was_sent(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    found = details(prepared, run(prepared), 3)
    assert found.status == "failed"
    assert [(one.mode, one.passed, one.code) for one in found.attempts] == [
        ("first", False, "E201"),
        *[("completion", False, "E201")] * 3,
        ("retry", False, "E201"),
    ]
    assert found.attempts[-1].wait_reason == "back-off after E201"
    assert found.attempts[1].wait_reason == "before the completion attempt"
    assert found.attempts[0].results[0].description == "names its batch"
    assert (found.prompt_source, found.prompt_note) == ("sent", "as attempt 5 sent it")
    assert found.prompt.text.startswith("work on 3\n\nAn earlier attempt at this task did not succeed")


@pytest.mark.parametrize("attempts", [1, 2, 3, 4, 5])
def test_whatever_attempt_was_the_last_its_prompt_is_found(tmp_path: Path, attempts: int) -> None:
    prepared = job(tmp_path, **RETRIED)
    run(prepared)
    events = list(read_events(prepared.layout))
    last = {"batch": 3, "attempt": attempts}
    end = next(n for n, one in enumerate(events) if isinstance(one, ev.SessionOpened) and tells(one, last))
    write_events(prepared.layout, events[: end + 1])
    found = details(prepared, fold(events[: end + 1]), 3)
    assert (found.prompt_source, found.prompt_note) == ("sent", f"as attempt {attempts} sent it")


def test_a_blocked_batch_says_what_failed_first_and_what_it_would_be_sent(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    found = details(prepared, run(prepared), 5)
    assert found.status == "blocked"
    assert found.reasons[0] == "waits for batch 3, which failed"
    assert found.reasons[1].startswith("batch 3: E201 ")
    assert (found.prompt.text, found.prompt_source) == ("work on 5", "composed")
    assert found.attempts == ()


def test_a_batch_before_its_turn_says_what_it_waits_for(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    found = details(prepared, run(prepared, limit=1), 4)
    assert (found.status, found.reasons) == ("pending", ("waits for batch 3",))
    assert (found.prompt_source, found.prompt_note) == ("composed", "")


def test_the_next_prompt_of_a_failed_batch_names_what_was_missing(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    state = run(prepared)
    unknown = AttemptIndex(layout_in(tmp_path, "nobody"))
    found = details(prepared, state, 3, attempts=unknown)
    assert (found.prompt_source, found.prompt_note) == ("composed", "as its next attempt would send it (retry)")
    assert "made" not in found.prompt.text
    assert "make sure that this time each of these holds" in found.prompt.text


def test_a_prompt_that_quotes_earlier_answers_is_found_as_it_was_sent(tmp_path: Path) -> None:
    prepared = job(
        tmp_path,
        batch={"size": 1, "total_items": 4},
        cross_batch={"auto_capture_stdout": True, "lookback_batches": 2, "max_output_chars": 6},
        rehearsal={"answer": "the answer {{ batch_num }}"},
        prompt={"template": "after {{ previous_outputs }}"},
    )
    found = details(prepared, run(prepared), 4)
    assert found.prompt_source == "sent"
    assert found.prompt.text == "after {2: 'swer 2', 3: 'swer 3'}"


def test_the_prompt_of_a_process_is_read_from_its_file(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    state = run(prepared)
    stem = prepared.layout.log_stem(1, 1)
    stem.parent.mkdir(parents=True)
    Path(f"{stem}.prompt").write_bytes(b"torn \xe2\x82 prompt")
    found = details(prepared, state, 1)
    assert (found.prompt.text, found.prompt_source) == ("torn � prompt", "sent")


def test_rows_are_shown_as_data_and_cut(tmp_path: Path) -> None:
    rows = [{"n": n, "text": "x" * 1_000_000, "deep": [[[[[[["down"]]]]]]], "many": list(range(500))} for n in range(9)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    prepared = job(
        tmp_path, items={"file": "rows.json"}, batch={"size": 8}, prompt={"template": "{{ items | length }}"}
    )
    found = details(prepared, run(prepared), 1, limits=Limits(rows=3))
    assert (len(found.rows), found.row_count) == (3, 8)
    assert found.rows[2]["n"] == 2
    assert len(json.dumps(found.rows)) < 10_000
    assert found.rows[0]["many"][-1] == "… and 400 more"
    assert details(prepared, run(prepared), 2).row_count == 1


def test_answers_as_data_are_shown_as_indented_json(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    prepared = job(tmp_path, batch={"size": 1, "total_items": 1}, answer={"format": "json", "schema": schema})
    found = details(prepared, run(prepared), 1)
    assert found.data is not None
    assert set(json.loads(found.data.text)) == {"n"}
    assert found.data.text.startswith("{\n  ")


def test_a_long_answer_is_cut_in_its_middle(tmp_path: Path) -> None:
    prepared = job(tmp_path, batch={"size": 1, "total_items": 1}, rehearsal={"answer": "begin" + "x" * 300_000 + "end"})
    found = details(prepared, run(prepared), 1, limits=Limits(characters=3000))
    assert found.answer.size == 300_008
    assert found.answer.is_cut
    assert len(found.answer.text) <= 3000
    assert found.answer.text.startswith("begin")
    assert found.answer.text.endswith("end")


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    state = run(prepared)
    prepared.layout.answers.write_bytes(b"damaged\n")
    shutil.rmtree(prepared.layout.plan)
    found = details(prepared.layout, state, 1)
    assert "no answer at byte" in found.answer_note
    assert found.prompt_note.startswith("the plan of the job cannot be read: ")
    assert found.attempts[0].passed is True


def test_a_job_is_known_by_its_folder_alone(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    state = run(prepared)
    assert details(prepared.layout, state, 3) == details(prepared, state, 3)


async def test_before_the_first_run_the_plan_tells_what_will_be_sent(tmp_path: Path) -> None:
    found = await batch_details(job(tmp_path, **RETRIED), JobState(), 4)
    assert (found.status, found.prompt.text, found.prompt_source) == ("pending", "work on 4", "composed")
    assert found.reasons == ("waits for batch 3",)


def test_an_answer_that_is_too_large_is_left_where_it_is(tmp_path: Path) -> None:
    prepared = job(tmp_path, batch={"size": 1, "total_items": 1})
    state = run(prepared)
    state.batches[1].answer_size = LARGEST_ANSWER + 1
    found = details(prepared, state, 1)
    assert found.answer == Excerpt()
    assert found.answer_note.endswith("too many to be shown")


def test_a_batch_that_the_plan_does_not_have_is_an_error(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    state = run(prepared)
    with pytest.raises(IndexError):
        asyncio.run(batch_details(prepared, state, 6))


async def test_the_state_may_change_while_details_are_read(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(38, 200, total=6)
    write_events(layout, events)
    half = next(n for n in range(60, 200) if isinstance(events[n], ev.ValidationFailed | ev.ValidationPassed))
    number = events[half].batch  # type: ignore[attr-defined]  # both have one
    state = fold(events[:half])
    expected = fold(events[:half]).batches[number]
    reading = asyncio.create_task(batch_details(layout, state, number))
    await asyncio.sleep(0)  # it has begun
    for event in events[half:]:
        apply(state, event)
    found = await reading
    assert found.record == expected
    assert found.attempts[-1].attempt == expected.attempts


def test_of_a_moment_of_the_past_only_what_had_happened_is_shown(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    run(prepared)
    events = list(read_events(prepared.layout))
    until = next(n for n, one in enumerate(events, 1) if isinstance(one, ev.SessionOpened) and one.batch == 3)
    found = details(prepared, fold(events[:until]), 3)
    assert [(one.attempt, one.passed, one.outcome) for one in found.attempts] == [(1, None, "")]
    assert (found.status, found.answer, found.prompt_note) == ("running", Excerpt(), "as attempt 1 sent it")


# --- attempts ---------------------------------------------------------------------------------------------------------


def all_attempts(events: Sequence[ev.Event]) -> dict[int, list[int]]:
    records = Attempts()
    records.hear(events)
    begun = {(one.batch, one.attempt) for one in events if isinstance(one, ev.BatchStarted)}
    found: dict[int, list[int]] = {}
    for batch, attempt in records.records:
        if (batch, attempt) in begun:
            found.setdefault(batch, []).append(attempt)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_index_finds_the_events_of_a_batch_and_no_others(tmp_path: Path, seed: int) -> None:
    written = write_job(layout_in(tmp_path), seed, 500, segment_bytes=15_000)
    index = AttemptIndex(written.layout)
    for number in range(1, written.state.total + 1):
        assert index.events(number) == [one for one in written.events if getattr(one, "batch", 0) == number]
        assert [one.attempt for one in index.attempts(number)] == all_attempts(written.events).get(number, [])


def test_the_index_follows_a_growing_journal_and_one_that_begins_anew(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(21, 300, total=8)
    write_events(layout, events[:150])
    index = AttemptIndex(layout)
    assert index.events(1) == [one for one in events[:150] if getattr(one, "batch", 0) == 1]
    write_events(layout, events[150:], mode="ab")
    assert index.events(1) == [one for one in events if getattr(one, "batch", 0) == 1]
    other = history(22, 100, total=8)
    write_events(layout, other)
    assert index.events(1) == [one for one in other if getattr(one, "batch", 0) == 1]


def test_lines_that_a_later_segment_supersedes_are_not_read(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    events = history(23, 200, total=5)
    write_events(layout, events[:120])
    index = AttemptIndex(layout)
    index.attempts(1)
    write_events(layout, events[100:], segment=2)
    for number in range(1, 6):
        assert index.events(number) == [one for one in events if getattr(one, "batch", 0) == number]


def test_a_wait_for_a_rate_limit_is_told_with_the_attempt_after_it() -> None:
    def at(seconds: float, event: ev.Event) -> ev.Event:
        return msgspec.structs.replace(event, at=1000.0 + seconds)

    attempts = attempts_of(
        [
            at(0, ev.BatchStarted(batch=1, attempt=1)),
            at(2, ev.SessionFinished(batch=1, attempt=1, outcome="error", code="E101", message="slow down")),
            at(3, ev.BatchWaiting(batch=1, code="E101")),
            at(63, ev.BatchStarted(batch=1, attempt=2)),
            at(70, ev.SessionAbandoned(batch=1, attempt=2, reason="gone")),
            at(99, ev.BatchStarted(batch=1, attempt=3)),
            at(100, ev.SessionFinished(batch=1, attempt=3, outcome="ok", reused=True)),
        ]
    )
    assert [(one.wait_seconds, one.wait_reason) for one in attempts] == [
        (0.0, ""),
        (60.0, "rate limit E101"),
        (29.0, "its host was gone"),
    ]
    assert [one.reused for one in attempts] == [False, False, True]
    assert attempts[0].message == "slow down"


def test_an_index_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownJobError):
        AttemptIndex(layout_in(tmp_path)).attempts(1)


# --- logs -------------------------------------------------------------------------------------------------------------


def record(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def message(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"role": "x", "content": list(blocks)}}


FAILED = {"is_error": True}
STREAMED = [one for one in recordings().values() if one.format == "stream-json"]


def test_records_of_a_session_become_what_they_say() -> None:
    lines = [
        record("system", subtype="init", session_id="s-1", model="claude-x"),
        record("assistant", **message({"type": "text", "text": "Let me look.\nFirst"}), parent_tool_use_id=None),
        record("assistant", **message({"type": "tool_use", "name": "Bash", "input": {"command": "ls"}})),
        record("user", **message({"type": "tool_result", "content": "a.txt"})),
        record(
            "user", **message({"type": "tool_result", "content": [{"type": "text", "text": "no"}], "is_error": True})
        ),
        record("assistant", **message({"type": "text", "text": "helping"}), parent_tool_use_id="tool-1"),
        record("system", subtype="api_retry", attempt=1, max_retries=3, error_status=529, error="overloaded"),
        b"",
        b"plain words",
        record("stream_event", event={}),
        record("result", subtype="success", is_error=False, num_turns=2, duration_ms=1500, total_cost_usd=0.25),
        record("result", subtype="error_max_turns", is_error=True, errors=["too many"]),
    ]
    assert readable(lines) == [
        LogLine("system", "session s-1 began, model claude-x"),
        LogLine("text", "Let me look.\nFirst"),
        LogLine("tool", 'Bash {"command": "ls"}'),
        LogLine("tool_result", "a.txt"),
        LogLine("error", "no"),
        LogLine("text", "(sub-agent) helping"),
        LogLine("system", "retry 1 of 3: 529 overloaded"),
        LogLine("raw", "plain words"),
        LogLine("result", "success, 2 turns, 1.5 s, $0.25"),
        LogLine("error", "error max turns, too many"),
    ]


@pytest.mark.parametrize("case", STREAMED, ids=lambda recording: recording.case)
def test_every_recorded_session_is_readable(case: Any) -> None:
    shown = readable(case.stdout.split(b"\n"))
    printed = [line for line in case.stdout.split(b"\n") if line.strip()]
    assert bool(shown) == bool([line for line in printed if b'"stream_event"' not in line])
    assert all(line.text or line.kind in ("text", "tool_result") for line in shown)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=8), parts, max_size=3),
)
KEYS = st.sampled_from(
    "type subtype message content text name input is_error errors num_turns total_cost_usd duration_ms error".split()
)
TYPES = st.sampled_from("assistant user system result rate_limit_event stream_event other".split())


@given(
    lines=st.lists(
        st.binary(max_size=60)
        | st.builds(
            lambda kind, rest: json.dumps({**rest, "type": kind}).encode(),
            TYPES,
            st.dictionaries(KEYS, JSON, max_size=5),
        ),
        max_size=8,
    )
)
@settings(deadline=None)
def test_no_line_is_too_strange_to_be_shown(lines: list[bytes]) -> None:
    for line in readable(lines):
        assert isinstance(line.text, str)


def test_a_huge_line_and_deep_nesting_are_cut() -> None:
    huge = record("assistant", **message({"type": "text", "text": "x" * 2_000_000}))
    shown = readable([huge, b"[" * 100_000, b"y" * 2_000_000, b"\xff\xfe" * 4000])
    assert [line.kind for line in shown] == ["text", "raw", "raw", "raw"]
    assert all(len(line.text) <= 4001 for line in shown)


async def test_the_tail_of_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    lines = b"".join(b"line %d\n" % n for n in range(100_000))
    write_log(layout, 7, 2, lines, b"oh no\n\xe2\x82\n")
    tail = await log_tail(layout, 7, 2, lines=3)
    assert [line.text for line in tail.lines] == ["line 99997", "line 99998", "line 99999", "oh no", "�"]
    assert [line.kind for line in tail.lines] == ["raw", "raw", "raw", "stderr", "stderr"]
    assert (tail.attempt, tail.is_cut, tail.source, tail.sizes) == (2, True, "file", (len(lines), 9))


async def test_a_last_line_without_an_end_and_one_larger_than_the_window_are_shown_by_their_end(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_log(layout, 1, 1, b"x" * (WINDOW_BYTES + 5) + b"the end")
    tail = await log_tail(layout, 1, 1)
    (line,) = tail.lines
    assert line.text.startswith("…x")
    assert line.text.endswith("the end")
    assert tail.is_cut


async def test_a_record_that_is_being_written_is_left_until_it_is_whole(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    whole = record("assistant", **message({"type": "text", "text": "hello"}))
    write_log(layout, 1, 1, whole + b"\n" + whole[:40])
    assert (await log_tail(layout, 1, 1)).lines == (LogLine("text", "hello"),)


async def test_nothing_is_read_again_while_nothing_was_written(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    write_log(layout, 1, 1, b"one\n")
    tail = await log_tail(layout, 1, 1)
    assert await log_tail(layout, 1, 1, known=tail) is tail
    write_log(layout, 1, 1, b"one\ntwo\n")
    newer = await log_tail(layout, 1, 1, known=tail)
    assert [line.text for line in newer.lines] == ["one", "two"]
    assert (await log_tail(layout, 1, 2, known=newer)).source == "none"


def test_a_backend_without_log_files_shows_what_the_record_keeps(tmp_path: Path) -> None:
    prepared = job(tmp_path, **RETRIED)
    found = details(prepared, run(prepared), 3)
    assert found.log.source == "record"
    assert found.log.attempt == 5
    assert [line.text for line in found.log.lines] == ["answer of 3"]


def test_details_of_a_hostile_session_stay_small(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    long = "z" * 400_000
    where = {"batch": 1, "attempt": 1}
    result = ev.RuleResult(1, "content_regex", "failed", expected=long, actual=long, message=long, path=long)
    told: list[ev.Event] = [
        ev.JobPlanned(job_id="job", name="j", plan=ev.PlanShape(1, 1, 1, 1), seed=1, config_digest="d"),
        ev.JobStarted(run_id="r"),
        ev.BatchStarted(**where),
        ev.BatchPreflight(**where, findings=(ev.Finding(long),)),
        ev.SessionOpened(**where),
        ev.SessionFinished(**where, outcome="error", code="E999", message=long, warnings=(long,)),
        ev.ValidationFailed(**where, code="E999", message=long, results=(result,), stdout_tail=long, stderr_tail=long),
        ev.BatchHealing(batch=1, number=1),
        ev.BatchHealed(**where, guidance=long),
    ]
    events = [msgspec.structs.replace(event, seq=seq, at=1e9 + seq) for seq, event in enumerate(told, 1)]
    write_events(layout, events)
    found = details(layout, fold(events), 1)
    shown = (found.validations, found.attempts, found.remedies, found.warnings, found.log, found.prompt_note)
    assert len(repr(shown)) < 60_000


def test_excerpts_are_never_longer_than_allowed() -> None:
    rng = random.Random(1)
    for _ in range(200):
        text, most = "ä" * rng.randrange(200), rng.randrange(5, 150)
        found = Excerpt.of(text, most)
        assert len(found.text) <= most
        assert found.size == len(text)
        assert found.is_cut == (len(text) > most)

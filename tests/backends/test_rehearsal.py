from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import regex
from support.virtual_time import VirtualClock, run_virtual

from mozart_nb.backends.rehearsal import RehearsalBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.classify import classify
from mozart_nb.engine.ports import Backend, ExpectedFile, Script, SessionRequest, SessionResult
from mozart_nb.job.backends import RehearsalConfig
from mozart_nb.job.outputs import RuleConfig
from mozart_nb.validation import RuleChecker


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    async def opened(self, session_id: str) -> None:
        self.calls.append(("opened", session_id))

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        self.calls.append(("progress", bytes_received))


def request(tmp_path: Path, **changes: Any) -> SessionRequest:
    facts: dict[str, Any] = {
        "job_id": "demo",
        "batch": 1,
        "attempt": 1,
        "mode": "first",
        "prompt": "Do it.",
        "session_id": "s-1",
        "marker": "m-1",
        "log": str(tmp_path / "log"),
        "working_directory": str(tmp_path / "work"),
        "workspace": str(tmp_path / "workspace"),
        "timeout_seconds": 1800.0,
    }
    return SessionRequest(**(facts | changes))


def wants(*rules: tuple[str, str] | tuple[str, str, str]) -> tuple[ExpectedFile, ...]:
    return tuple(ExpectedFile(*rule) for rule in rules)


def play(asked: SessionRequest, **config: Any) -> SessionResult:
    async def main() -> SessionResult:
        backend: Backend = RehearsalBackend(RehearsalConfig.model_validate(config), VirtualClock())
        return await backend.run(asked, Recorder())

    return run_virtual(main())[0]


def everything_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- a session that goes well -----------------------------------------------------------------------------------------


def test_a_session_answers_and_says_who_answered(tmp_path):
    result = play(request(tmp_path))
    assert (result.outcome, result.exit_code, result.has_result, result.model) == ("ok", 0, True, "rehearsal")
    assert result.text == "Rehearsed batch 1 of demo, attempt 1: no model was asked."
    assert result.stdout_tail == result.text
    assert everything_in(tmp_path) == {}


def test_the_session_is_reported_before_anything_happens(tmp_path):
    async def main() -> list[Any]:
        recorder = Recorder()
        await RehearsalBackend(RehearsalConfig(), VirtualClock()).run(request(tmp_path), recorder)
        return recorder.calls

    calls, _ = run_virtual(main())
    assert calls[0] == ("opened", "s-1")
    assert calls[1][0] == "progress"


def test_the_script_decides_the_answer_and_the_files(tmp_path):
    path = tmp_path / "workspace" / "out" / "a.csv"
    result = play(request(tmp_path, script=Script(answer="42 ✓", writes={str(path): "n\n1\n"})))
    assert result.text == "42 ✓"
    assert path.read_text() == "n\n1\n"


def test_tokens_are_estimated_and_cost_is_nothing_unless_configured(tmp_path):
    estimated = play(request(tmp_path, prompt="x" * 400))
    assert estimated.usage.input_tokens == 100
    assert estimated.usage.output_tokens > 0
    assert estimated.cost_usd == 0
    usage = {"input_tokens": 7, "output_tokens": 8, "cost_usd": 0.25}
    configured = play(request(tmp_path), usage=usage)
    assert (configured.usage.input_tokens, configured.usage.output_tokens, configured.cost_usd) == (7, 8, 0.25)


def test_only_the_end_of_a_long_answer_is_captured(tmp_path):
    result = play(request(tmp_path, capture_bytes=10, script=Script(answer="a" * 50 + "the end", writes={})))
    assert result.stdout_tail == "aaathe end"


def test_a_rehearsal_is_always_healthy_and_free():
    health = asyncio.run(RehearsalBackend(RehearsalConfig(), SystemClock()).check())
    assert health.ok
    assert RehearsalBackend.is_free
    assert not RehearsalBackend.outlives_host


def test_a_session_takes_its_latency(tmp_path):
    async def main() -> SessionResult:
        backend = RehearsalBackend(RehearsalConfig(latency_seconds=90), VirtualClock())
        return await backend.run(request(tmp_path), Recorder())

    result, elapsed = run_virtual(main())
    assert elapsed == 90
    assert result.duration == 90


# --- files that rules want --------------------------------------------------------------------------------------------


def test_files_that_rules_want_are_written_and_name_job_batch_and_attempt(tmp_path):
    path = str(tmp_path / "workspace" / "reports" / "a.md")
    result = play(request(tmp_path, batch=3, attempt=2, mode="retry", expects=wants(("file_exists", path))))
    text = Path(path).read_text()
    assert text.startswith("# demo, batch 3\n")
    assert "Attempt 2 (retry)" in text
    assert path in result.text


def test_one_file_satisfies_all_rules_about_it(tmp_path):
    path = tmp_path / "work" / "a.md"
    patterns = [("content_contains", "## Findings"), ("content_regex", r"(?m)^Verdict: (pass|fail)$")]
    rules = wants(("file_exists", str(path)), *((kind, str(path), pattern) for kind, pattern in patterns))
    assert play(request(tmp_path, expects=rules)).warnings == ()
    assert "## Findings" in path.read_text()
    assert regex.search(patterns[1][1], path.read_text())


@pytest.mark.parametrize(
    "pattern",
    [
        r"\ASummary",
        r"(?s)\A\{.*\}\Z",
        r"^# Report \d{4}-\d{2}",
        r"(?i)total:\s+\$?\d+(\.\d{2})?",
        r"[^\s]+@[\w.-]+\.com",
        r"<(b|i)>\w+</\1>",
        r"(?:one|two)[ -]three{2,3}?",
        r"caf\u00e9 [^a-z]\x41[\]\-x]",
        r"(?P<year>20\d\d)|never",
        r"a{}b{,2}c*d+?e",
        r".{20,}",
    ],
)
def test_content_is_made_up_for_the_regular_expressions_people_write(pattern, tmp_path):
    path = tmp_path / "work" / "a.md"
    result = play(request(tmp_path, expects=wants(("content_regex", str(path), pattern))))
    assert result.warnings == ()
    assert regex.search(pattern, path.read_text())


@pytest.mark.parametrize(
    "pattern", [r"(?=.*foo)(?<!x)bar\p{Lu}", "(", "(" * 5000, r"(?:a|b){999999999}", "[[:alpha:]]+9z"]
)
def test_a_pattern_nothing_can_be_made_up_for_is_said(pattern, tmp_path):
    path = tmp_path / "work" / "a.md"
    result = play(request(tmp_path, expects=wants(("content_regex", str(path), pattern))))
    assert result.outcome == "ok"
    assert "no text could be made up" in result.warnings[0]
    assert path.exists()


def test_the_answer_satisfies_the_rules_about_it(tmp_path):
    result = play(request(tmp_path, expects=wants(("answer_matches", "", r"VERDICT: (yes|no)"))))
    assert "VERDICT: yes" in result.text
    assert everything_in(tmp_path) == {}


def test_a_scripted_answer_stays_as_it_is_even_when_a_rule_will_refuse_it(tmp_path):
    rules = wants(("answer_matches", "", "VERDICT"))
    assert play(request(tmp_path, expects=rules, script=Script(answer="no", writes={}))).text == "no"


def test_a_json_file_holds_json(tmp_path):
    path = tmp_path / "work" / "a.json"
    for attempt in (1, 2):
        play(request(tmp_path, attempt=attempt, expects=wants(("file_exists", str(path)))))
        assert f"Attempt {attempt}" in json.loads(path.read_text())["note"]


def test_a_retry_writes_its_own_files_again(tmp_path):
    path = tmp_path / "work" / "a.md"
    rules = wants(("file_exists", str(path)))
    play(request(tmp_path, expects=rules))
    play(request(tmp_path, attempt=2, mode="retry", expects=rules))
    assert "Attempt 2 (retry)" in path.read_text()
    assert "Attempt 1" not in path.read_text()


def test_a_file_of_the_users_is_only_added_to_and_only_when_a_rule_needs_it(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    for name in ("exists.md", "modified.md", "contains.md"):
        (folder / name).write_text("mine, without a newline at the end")
    play(
        request(
            tmp_path,
            expects=wants(
                ("file_exists", str(folder / "exists.md")),
                ("file_modified", str(folder / "modified.md")),
                ("content_contains", str(folder / "contains.md"), "done"),
            ),
        )
    )
    assert (folder / "exists.md").read_text() == "mine, without a newline at the end"
    for name in ("modified.md", "contains.md"):
        assert (folder / name).read_text().startswith("mine, without a newline at the end\n")
    assert "done" in (folder / "contains.md").read_text()


def test_batches_that_share_a_tracking_file_keep_each_others_lines(tmp_path):
    path = tmp_path / "work" / "tracking.md"
    for batch in (1, 12, 2):
        play(request(tmp_path, batch=batch, expects=wants(("file_modified", str(path)))))
    titles = [line for line in path.read_text().splitlines() if line.startswith("# ")]
    assert titles == ["# demo, batch 1", "# demo, batch 12", "# demo, batch 2"]


def test_a_completion_attempt_writes_only_what_is_missing_and_says_so(tmp_path):
    paths = [str(tmp_path / "work" / f"{name}.md") for name in "abc"]
    rules = wants(*(("file_exists", path) for path in paths))
    first = request(tmp_path, expects=rules)
    script = {1: [{"partial": {"writes": 2}}]}
    play(first, script=script)
    assert [Path(path).exists() for path in paths] == [True, True, False]
    before = everything_in(tmp_path / "work")
    result = play(request(tmp_path, attempt=2, mode="completion", expects=rules), script=script)
    after = everything_in(tmp_path / "work")
    assert {name: after[name] for name in before} == before
    assert f"Completed what was missing: {paths[2]}." in result.text
    assert f"Left as it was: {paths[0]}, {paths[1]}." in result.text


@pytest.mark.parametrize(("files", "written"), [(1, 0), (2, 1), (3, 2), (4, 2)])
def test_a_partial_session_writes_about_half_of_the_files_but_never_all(files, written, tmp_path):
    rules = wants(*(("file_exists", str(tmp_path / "work" / f"{n}.md")) for n in range(files)))
    assert play(request(tmp_path, expects=rules), script={1: ["partial"]}).outcome == "ok"
    assert len(everything_in(tmp_path)) == written


RULES = (
    {"type": "file_exists", "path": "out/batch{batch_num}.md"},
    {"type": "file_exists", "path": "{workspace}/batch{{ batch_num }}.json"},
    {"type": "file_modified", "path": "{workspace}/tracking.md"},
    {"type": "content_contains", "path": "out/batch{batch_num}.md", "pattern": "Batch {batch_num}"},
    {"type": "content_regex", "path": "{workspace}/tracking.md", "pattern": r"(?m)^- \[x\] batch {batch_num}\b"},
    {"type": "answer_matches", "pattern": r"VERDICT: (pass|fail)"},
)


@pytest.mark.parametrize("first", ["ok", "partial"])
def test_what_a_session_leaves_satisfies_the_rules_of_the_job(first, tmp_path):
    work, workspace = tmp_path / "work", tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "tracking.md").write_text("# Tracking\n")
    checker = RuleChecker(
        [RuleConfig.model_validate(rule) for rule in RULES], workspace=workspace, working_directory=work
    )
    script = {n: [first] for n in (1, 2)}
    for batch in (1, 2):
        values = {"batch_num": batch, "workspace": str(workspace)}
        asked = request(tmp_path, batch=batch, expects=checker.expected_files(values))
        baseline = asyncio.run(checker.signatures(values))
        results: list[str] = []
        for attempt, mode in enumerate(["first", "completion"], start=1):
            session = msgspec.structs.replace(asked, attempt=attempt, mode=mode)
            answer = play(session, script=script).text
            seen = asyncio.run(checker.check(values, answer=answer, baseline=baseline, before=baseline))
            results.append("".join(result.status[0] for result in seen))
        assert results[1] == "pppppp"
        assert (results[0] == "pppppp") == (first == "ok")
    assert (workspace / "tracking.md").read_text().startswith("# Tracking\n")


# --- nothing elsewhere ------------------------------------------------------------------------------------------------


def test_nothing_is_written_outside_workspace_and_working_directory(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "link").symlink_to(outside)
    (tmp_path / "work" / "link.md").symlink_to(outside / "x.md")
    paths = [outside / "a.md", tmp_path / "work" / "link" / "b.md", tmp_path / "work" / "link.md"]
    paths.append(tmp_path / "work" / ".." / "outside" / "c.md")
    paths.append(tmp_path / "work-too" / "d.md")
    rules = wants(*(("file_exists", str(path)) for path in paths))
    result = play(request(tmp_path, expects=rules, script=Script(answer="", writes={str(outside / "e.md"): "x"})))
    assert everything_in(outside) == {}
    assert not (tmp_path / "work-too").exists()
    assert len(result.warnings) == 6
    assert all("outside the workspace and the working directory" in warning for warning in result.warnings)


def test_nothing_is_written_outside_the_root_of_a_rehearsal(tmp_path):
    scratch = tmp_path / "scratch"
    script = Script(answer="", writes={str(scratch / "ws" / "a.md"): "in"}, root=str(scratch))
    rules = wants(("file_exists", str(tmp_path / "work" / "b.md")))
    result = play(request(tmp_path, workspace=str(scratch / "ws"), expects=rules, script=script))
    assert everything_in(tmp_path) == {"scratch/ws/a.md": "in"}
    assert "where this rehearsal takes place" in result.warnings[0]


def test_what_cannot_be_written_is_a_warning_and_the_rest_is_written(tmp_path):
    work = tmp_path / "work"
    (work / "folder.md").mkdir(parents=True)
    (work / "file").write_text("in the way")
    os.mkfifo(work / "pipe.md")
    names = ["folder.md", "file/a.md", "pipe.md", "nul\0.md", "n" * 300, "good.md"]
    result = play(request(tmp_path, expects=wants(*(("file_exists", f"{work}/{name}") for name in names))))
    assert result.outcome == "ok"
    assert len(result.warnings) == 5
    assert (work / "good.md").exists()


def test_the_prompt_is_written_nowhere(tmp_path):
    rules = wants(("file_exists", str(tmp_path / "work" / "a.md")))
    result = play(request(tmp_path, prompt="top secret", expects=rules))
    assert "top secret" not in "".join(everything_in(tmp_path).values()) + result.text + result.stdout_tail


# --- sessions that fail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "facts"),
    [
        ("rate_limit", {"outcome": "error", "api_status": 429, "retry_after": 1.0, "has_result": True}),
        ({"rate_limit": {"wait_seconds": 7}}, {"api_status": 429, "retry_after": 7.0}),
        ("timeout", {"outcome": "timeout", "has_result": False, "exit_code": None}),
        ("crash", {"outcome": "error", "signal": 11, "has_result": False}),
        ("auth", {"outcome": "error", "api_status": 401, "error_kind": "authentication_failed"}),
        ("invalid_output", {"outcome": "ok", "text": "", "exit_code": 0}),
        ({"crash": {"message": "my own words"}}, {"error_text": "my own words", "stderr_tail": "my own words"}),
    ],
)
def test_a_scripted_failure_looks_like_the_real_one_and_writes_nothing(step, facts, tmp_path):
    rules = wants(("file_exists", str(tmp_path / "work" / "a.md")))
    result = play(request(tmp_path, expects=rules), script={1: [step]})
    assert {name: getattr(result, name) for name in facts} == facts
    assert everything_in(tmp_path) == {}


@pytest.mark.parametrize(
    ("step", "codes"),
    [
        ("ok", {""}),
        ("invalid_output", {""}),
        ("rate_limit", {"E101"}),
        ({"rate_limit": {"message": "You've hit your limit · resets 2pm (America/Toronto)"}}, {"E102"}),
        ("transient", {"E002", "E003"}),
        ("timeout", {"E301"}),
        ("crash", {"E402"}),
        ("auth", {"E501"}),
    ],
)
def test_a_scripted_failure_gets_the_code_of_the_real_one(step, codes, tmp_path):
    results = [play(request(tmp_path, attempt=n), script={1: [step, step]}) for n in (1, 2)]
    assert {classify(result, wall=0.0).code for result in results} == codes


def test_a_rate_limit_without_a_wait_is_over_at_once(tmp_path):
    result = play(request(tmp_path), script={1: [{"rate_limit": {"wait_seconds": 0}}]})
    assert 0 < classify(result, wall=0.0).retry_after < 0.1


def test_a_transient_failure_is_sometimes_an_overload_and_sometimes_a_broken_line(tmp_path):
    script = {1: ["transient", "transient"]}
    statuses = [play(request(tmp_path, attempt=n), script=script).api_status for n in (1, 2)]
    assert sorted(statuses, key=str) == [529, None]


def test_after_the_last_step_of_its_script_a_batch_succeeds_and_others_are_not_concerned(tmp_path):
    script = {1: ["crash", "rate_limit"]}
    outcomes = [play(request(tmp_path, attempt=n), script=script).outcome for n in (1, 2, 3, 4)]
    assert outcomes == ["error", "error", "ok", "ok"]
    assert play(request(tmp_path, batch=2), script=script).outcome == "ok"


def test_chance_is_drawn_from_seed_batch_and_attempt_alone(tmp_path):
    failures = {"rate_limit": 0.2, "transient": 0.1, "crash": 0.1}

    def outcomes(**changes: Any) -> list[tuple[str, int | None, int]]:
        config = {"failures": failures, "latency_seconds": 0} | changes.pop("config", {})
        results = [play(request(tmp_path, batch=n, **changes), **config) for n in range(1, 301)]
        return [(result.outcome, result.api_status, result.signal) for result in results]

    first = outcomes()
    assert outcomes() == first
    assert outcomes(seed=1) != first
    assert outcomes(attempt=2) != first
    assert outcomes(config={"seed": 5}) != first
    assert 35 <= sum(status == 429 for _, status, _ in first) <= 85
    assert 15 <= sum(signal == 11 for _, _, signal in first) <= 50
    assert 150 <= sum(outcome == "ok" for outcome, _, _ in first) <= 210


def test_a_latency_above_the_time_limit_ends_as_a_timeout_at_the_limit(tmp_path):
    async def main() -> SessionResult:
        backend = RehearsalBackend(RehearsalConfig(latency_seconds=3600), VirtualClock())
        return await backend.run(request(tmp_path, timeout_seconds=60.0), Recorder())

    result, elapsed = run_virtual(main())
    assert (result.outcome, elapsed) == ("timeout", 60)


# --- cancellation and concurrency -------------------------------------------------------------------------------------


async def test_a_cancelled_session_ends_at_once(tmp_path):
    backend = RehearsalBackend(RehearsalConfig(latency_seconds=3600), SystemClock())
    session = asyncio.create_task(backend.run(request(tmp_path), Recorder()))
    await asyncio.sleep(0.01)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(session, 1)


async def test_after_a_cancellation_no_file_is_written_any_more(tmp_path):
    count = 200
    rules = wants(*(("file_exists", str(tmp_path / "work" / f"{n}.md")) for n in range(count)))
    backend = RehearsalBackend(RehearsalConfig(latency_seconds=0), SystemClock())
    session = asyncio.create_task(backend.run(request(tmp_path, expects=rules), Recorder()))
    while not (tmp_path / "work").exists():  # noqa: ASYNC110 - the file system has no event
        await asyncio.sleep(0.001)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    left = everything_in(tmp_path)
    await asyncio.sleep(0.05)
    assert everything_in(tmp_path) == left


async def test_sessions_at_the_same_time_do_not_mix(tmp_path):
    backend = RehearsalBackend(RehearsalConfig(latency_seconds=0.01), SystemClock())
    asked = [
        request(tmp_path, batch=n, session_id=f"s{n}", script=Script(answer=f"answer {n}", writes={}))
        for n in range(50)
    ]
    results = await asyncio.gather(*(backend.run(one, Recorder()) for one in asked))
    assert [(r.session_id, r.text) for r in results] == [(f"s{n}", f"answer {n}") for n in range(50)]

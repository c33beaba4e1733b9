from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recorded import Recording, expectations, recordings

from mozart_nb.backends._outcome import Ended, session_result
from mozart_nb.backends._spawn import Files, Launch, explain
from mozart_nb.backends._stream import StreamReader
from mozart_nb.codes import CODES, lookup
from mozart_nb.engine.classify import Verdict, classify
from mozart_nb.engine.ports import SessionResult
from mozart_nb.job.policies import DEFAULT_DETECTION_PATTERNS

WALL = datetime(2026, 11, 20, 18, 0, tzinfo=UTC).timestamp()


def error(text: str = "", **facts: object) -> SessionResult:
    return msgspec.convert({"outcome": "error", "error_text": text, **facts}, SessionResult)


def verdict(result: SessionResult, **options: object) -> Verdict:
    return classify(result, wall=WALL, **options)  # type: ignore[arg-type]


def code(text: str = "", **facts: object) -> str:
    return verdict(error(text, **facts)).code


# --- recorded sessions ------------------------------------------------------------------------------------------------


def result_of(recording: Recording) -> SessionResult:
    if recording.spawn_error:
        return spawn_failure(recording.spawn_error)
    reader = StreamReader()
    reader.feed(recording.stdout)
    reader.close()
    ended = Ended("exited", recording.exit_code)
    result = session_result(reader, ended, stderr=recording.stderr, expects_data=recording.wants_data)
    return msgspec.structs.replace(result, lost_session=result.lost_session and recording.continues)


def spawn_failure(text: str) -> SessionResult:
    number = int(re.findall(r"Errno (\d+)", text)[0])
    named = re.findall(r"'(.*)'", text)[0]
    launch = Launch(["$PROGRAM"], {}, "$CWD", Files.of("/log"), b"", "", "", 1.0, 0.0, 0.0)
    failure = explain(OSError(number, text, named), launch)
    return error(failure.text, error_kind=failure.kind, exception=failure.exception)


def test_every_recorded_session_has_an_expected_code_and_the_other_way_round():
    assert recordings().keys() == expectations().keys()
    assert len(recordings()) > 430


@pytest.mark.parametrize("case", sorted(expectations()))
def test_a_recorded_session_gets_its_code(case: str):
    recording, expected = recordings()[case], expectations()[case]
    result = result_of(recording)
    found = verdict(result)
    if expected == "*":
        assert recording.format == "text"
        assert (found.code, result.has_result) != ("", True)
        assert found.code
    else:
        assert found.code == ("" if expected == "ok" else expected), (found, result)
        assert (result.outcome == "ok") == (expected == "ok")


@pytest.mark.parametrize("case", sorted(case for case, expected in expectations().items() if expected != "ok"))
def test_a_recorded_failure_says_something_to_a_reader(case: str):
    message = verdict(result_of(recordings()[case])).message
    assert message
    assert "ede_diagnostic" not in message
    assert "\x1b" not in message


def test_answers_are_kept_apart_from_errors_in_every_recording():
    for recording in recordings().values():
        result = result_of(recording)
        assert not (result.text and "API Error" in result.text)
        if result.outcome == "ok":
            assert result.error_text == result.error_kind == ""


def test_the_limit_recorded_with_its_end_names_the_wait():
    found = verdict(result_of(recordings()["api-e400limit"]))
    until = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert (found.code, found.retry_after, found.source) == ("E102", until - WALL, "reset time in the message")


def test_root_without_a_sandbox_is_told_what_to_do():
    assert "IS_SANDBOX" in verdict(result_of(recordings()["tool-write-skip-no-is-sandbox"])).message


# --- messages from the field ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("You've hit your limit · resets 2pm (America/Toronto)", 1.0),
        ("You've hit your session limit · resets 8pm (America/New_York)", 7.0),
        ("You've hit your session limit · resets 5:30am (Asia/Calcutta)", 6.0),
        ("Claude usage limit reached. Your limit will reset at 12am (UTC).", 6.0),
        (f"Claude AI usage limit reached|{int(WALL) + 7200}", 2.0),
        ("hit your usage limit, resets 9pm (UTC)", 3.0),
        ("You've reached your weekly limit · resets Nov 21, 6pm (UTC)", 24.0),
        ("Your quota is used up, try again in 3 hours", 3.0),
    ],
)
@pytest.mark.parametrize(
    "facts",
    [
        {"api_status": 429, "error_kind": "rate_limit", "exit_code": 1, "has_result": True, "subtype": "success"},
        {"error_kind": "unknown", "exit_code": 1, "has_result": True, "subtype": "success"},
        {"error_kind": "not_started", "exit_code": 1},
    ],
)
def test_a_usage_limit_of_a_subscription_waits_until_the_time_it_names(text: str, hours: float, facts: dict):
    found = verdict(error(text, **facts))
    assert (found.code, found.source) == ("E102", "reset time in the message")
    assert found.retry_after == pytest.approx(hours * 3600)


def test_a_usage_limit_without_a_time_names_no_wait():
    found = verdict(error("You've hit your limit", exit_code=1, has_result=True))
    assert (found.code, found.retry_after, found.source) == ("E102", 0.0, "")


def test_a_rejected_rate_limit_event_is_a_usage_limit_until_its_reset():
    found = verdict(error("something", api_status=429, error_kind="usage_limit", reset_at=WALL + 90))
    assert found == Verdict("E102", "something", 90.0, "reset header")


@pytest.mark.parametrize(
    "text",
    [
        "API Error: Request rejected (429) · This request would exceed your organization's rate limit of 50 requests",
        "This request would exceed your account's rate limit. Please try again later.",
        "Number of request tokens has exceeded your per-minute rate limit",
        "slow down",
    ],
)
def test_too_many_requests_are_no_usage_limit(text: str):
    assert code(text, api_status=429, error_kind="rate_limit") == "E101"


# --- who may say how long to wait -------------------------------------------------------------------------------------


def test_retry_after_outranks_a_reset_time_and_that_outranks_the_message():
    text = "usage limit reached, resets in 3 hours"
    everything = error(text, api_status=429, retry_after=7.0, reset_at=WALL + 60)
    no_header = msgspec.structs.replace(everything, retry_after=None)
    words_only = msgspec.structs.replace(no_header, reset_at=None)
    assert verdict(everything) == Verdict("E102", text, 7.0, "retry-after")
    assert verdict(no_header) == Verdict("E102", text, 60.0, "reset header")
    assert verdict(words_only) == Verdict("E102", text, 10800.0, "reset time in the message")


def test_a_reset_that_has_just_passed_asks_for_a_minute_and_an_old_one_for_nothing():
    assert verdict(error(api_status=429, reset_at=WALL - 5)).retry_after == 60.0
    assert verdict(error(api_status=429, reset_at=WALL - 200_000)).retry_after == 0.0


def test_a_transient_failure_keeps_the_wait_that_a_header_named():
    found = verdict(error("Overloaded", api_status=529, retry_after=20.0))
    assert (found.code, found.retry_after) == ("E003", 20.0)


def test_a_transient_failure_takes_no_time_from_its_words():
    assert verdict(error("503, try again in 3 hours", api_status=503)).retry_after == 0.0


def test_an_overload_that_asks_for_more_than_a_minute_is_waited_for():
    found = verdict(error("Overloaded", api_status=529, error_kind="overloaded", retry_after=300.0))
    assert (found.code, found.retry_after, found.source) == ("E103", 300.0, "retry-after")


def test_a_failure_that_cannot_be_retried_names_no_wait():
    assert verdict(error("bad key", api_status=401, retry_after=30.0)).retry_after == 0.0


# --- structured facts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "E999"), (401, "E501"), (402, "E506"), (403, "E501"), (404, "E504"), (408, "E002"), (409, "E003"),
        (413, "E505"), (422, "E999"), (429, "E101"), (500, "E003"), (502, "E003"), (503, "E003"), (504, "E003"),
        (529, "E003"),
    ],
)  # fmt: skip
def test_a_status_alone_decides(status: int, expected: str):
    assert code("whatever it says about 401, 429 and full capacity", api_status=status) == expected


def test_a_prompt_over_the_context_window_is_told_from_another_bad_request():
    assert code("prompt is too long: 214514 tokens > 200000 maximum", api_status=400) == "E505"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"outcome": "timeout", "signal": 2}, "E301"),
        ({"outcome": "timeout", "signal": 9}, "E302"),
        ({"outcome": "stale", "signal": 2}, "E303"),
        ({"outcome": "killed", "signal": 15, "exit_code": 143}, "E401"),
        ({"outcome": "killed", "signal": 9, "exit_code": -9}, "E401"),
        ({"outcome": "killed", "signal": 11, "exit_code": -11}, "E402"),
        ({"outcome": "killed", "signal": 6, "exit_code": 134}, "E402"),
        ({"outcome": "killed", "signal": 9, "exit_code": 137, "error_text": "JavaScript heap: out of memory"}, "E403"),
        ({"outcome": "killed", "signal": 6, "error_text": "panic: Out of memory"}, "E403"),
        ({"error_kind": "crashed", "exit_code": 1, "error_text": "memory cgroup out of memory"}, "E403"),
        ({"error_kind": "crashed", "exit_code": 1, "error_text": "TypeError: undefined"}, "E001"),
        ({"error_kind": "no_result", "exit_code": 0}, "E001"),
        ({"exit_code": 3}, "E001"),
        ({"error_kind": "not_started", "exit_code": 1, "error_text": "error: unknown option '--frob'"}, "E502"),
        ({"exit_code": 127}, "E503"),
        ({"error_kind": "program_not_found"}, "E503"),
        ({"error_kind": "working_directory"}, "E602"),
        ({"error_kind": "arguments_too_long"}, "E502"),
        ({"error_kind": "resources"}, "E001"),
        ({"error_kind": "log_unwritable"}, "E703"),
        ({"lost_session": True, "error_kind": "not_started", "exit_code": 1}, "E001"),
        ({"exception": "APIConnectionError"}, "E002"),
        ({"exception": "gaierror"}, "E002"),
        ({"exception": "SomethingNobodyKnows"}, "E999"),
        ({"subtype": "error_max_turns", "has_result": True}, "E001"),
        ({"subtype": "error_max_budget_usd", "has_result": True}, "E999"),
        ({"subtype": "no_structured_output", "has_result": True}, "E202"),
        ({"stop_reason": "refusal", "error_kind": "invalid_request", "has_result": True}, "E999"),
    ],
)  # fmt: skip
def test_the_way_a_session_ended_decides(facts: dict, expected: str):
    assert verdict(error(**facts)).code == expected


def test_a_signal_is_named():
    assert "SIGTERM" in verdict(error(outcome="killed", signal=15)).message
    crash = verdict(error(outcome="killed", signal=5))
    assert (crash.code, crash.message) == ("E402", "it crashed: SIGTRAP")


def test_a_refused_key_and_an_address_that_is_not_reached_are_named():
    facts = {"address": "http://gateway (ANTHROPIC_BASE_URL)", "credential": "the key in MY_KEY"}
    refused = verdict(error("invalid x-api-key", api_status=401, **facts))
    assert refused.message == "invalid x-api-key: the key in MY_KEY, sent to http://gateway (ANTHROPIC_BASE_URL)"
    facts_of_proxy = {**facts, "address": "through the proxy of HTTPS_PROXY"}
    proxied = verdict(error("invalid x-api-key", api_status=401, **facts_of_proxy))
    assert proxied.message == "invalid x-api-key: the key in MY_KEY, sent through the proxy of HTTPS_PROXY"
    gone = verdict(error("ECONNREFUSED", **facts))
    assert (gone.code, gone.message) == ("E002", "ECONNREFUSED: http://gateway (ANTHROPIC_BASE_URL)")
    told = verdict(error("http://gateway cannot be reached: ECONNREFUSED", **facts))
    assert told.message == "http://gateway cannot be reached: ECONNREFUSED", "once is enough"
    assert verdict(error("Overloaded", api_status=529, **facts)).message == "Overloaded", "it matters to these two"


def test_an_end_for_lack_of_memory_is_no_crash_and_no_stranger():
    words = "ASSERTION FAILED: MemoryExhaustion: Crash intentionally because memory is exhausted."
    assert verdict(error(words, outcome="killed", signal=6)).code == "E403"
    assert verdict(error("ended because it was out of memory", outcome="killed", signal=9)).code == "E403"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getaddrinfo ENOTFOUND api.anthropic.com", "E002"),
        ("unable to verify the first certificate", "E002"),
        ("connect ECONNREFUSED 127.0.0.1:1", "E002"),
        ("Service Unavailable", "E003"),
        ("overloaded_error", "E003"),
        ("OAuth token has expired", "E501"),
        ("Invalid API key", "E501"),
        ("429 Too Many Requests", "E101"),
        ("we are at capacity, try again later", "E101"),
        ("resets at 21:00", "E102"),
        ("request id req_0142900", "E001"),
        ("the moon is in the wrong house", "E001"),
        ("Error: model claude-x-9 not found", "E504"),
        ("the model said that its file was not found", "E001"),
    ],
)
def test_words_decide_only_where_nothing_else_does(text: str, expected: str):
    assert code(text, exit_code=1, has_result=True, subtype="success") == expected


# --- what must not be taken for an error ------------------------------------------------------------------------------


def test_success_is_never_reclassified_by_what_the_answer_says():
    answer = "I handled the 401 page; we were rate limited (429), at full capacity; your usage limit resets 9pm."
    result = SessionResult(outcome="ok", text=answer, stdout_tail=answer, exit_code=0, has_result=True)
    assert verdict(result) == Verdict("", "")


def test_the_words_of_an_answer_never_explain_a_failure():
    words = "usage limit reached, resets 9pm"
    assert verdict(SessionResult(outcome="error", text=words, stdout_tail=words, exit_code=1)).code == "E001"


def test_a_cancelled_session_has_no_code():
    assert verdict(error(outcome="cancelled")) == Verdict("", "")


# --- the job's own patterns -------------------------------------------------------------------------------------------


def test_a_pattern_of_the_job_marks_a_text_as_a_limit():
    busy = error("tavern is full", exit_code=1, error_kind="not_started")
    assert verdict(busy).code == "E502"
    assert verdict(busy, patterns=["tavern.*full"]).code == "E101"


def test_a_pattern_of_the_job_does_not_outrank_a_status():
    assert verdict(error("tavern is full", api_status=500), patterns=["tavern"]).code == "E003"


def test_an_invalid_pattern_is_left_out():
    assert verdict(error("tavern is full", exit_code=1), patterns=["(", "full"]).code == "E101"


@pytest.mark.timeout(20)
def test_a_pattern_that_explodes_is_given_up():
    assert verdict(error("a" * 5000 + "!", exit_code=1), patterns=[r"(a|aa)+$", r"(a+)+$"]).code == "E001"


def test_the_default_patterns_are_those_of_the_job_file():
    assert classify.__kwdefaults__ == {"patterns": DEFAULT_DETECTION_PATTERNS}


# --- for any facts ----------------------------------------------------------------------------------------------------

_texts = st.one_of(
    st.text(max_size=60), st.sampled_from(["usage limit resets 9pm", "ECONNRESET", "429", "Credit balance is too low"])
)


@given(
    outcome=st.sampled_from(["ok", "error", "timeout", "stale", "killed", "cancelled"]),
    text=_texts,
    status=st.none() | st.integers(0, 999),
    kind=st.sampled_from(["", "unknown", "rate_limit", "server_error", "not_started", "no_result", "crashed"]),
    exit_code=st.none() | st.integers(-70, 300),
    signal=st.integers(0, 64),
    wait=st.none() | st.floats(-10, 1e6),
    reset=st.none() | st.floats(0, 4e9),
)
def test_every_verdict_is_a_row_of_the_table_and_its_wait_is_never_negative(
    outcome, text, status, kind, exit_code, signal, wait, reset
):
    facts = {"api_status": status, "error_kind": kind, "exit_code": exit_code, "signal": signal}
    result = error(text, outcome=outcome, retry_after=wait, reset_at=reset, **facts)
    found = verdict(result)
    assert (found.code == "") == (outcome in ("ok", "cancelled"))
    assert found.retry_after >= 0
    assert bool(found.retry_after) == bool(found.source)
    if found.code:
        assert found.code in CODES
        assert found.message
    if found.retry_after:
        assert lookup(found.code).retriable


def test_the_data_stay_small():
    folder = Path(__file__).parents[1] / "data" / "claude_cases"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 600_000

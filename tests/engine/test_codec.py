"""Secrets are blotted out of what others wrote into an event, and nothing else of it changes."""

from __future__ import annotations

import typing
from collections.abc import Iterator

import msgspec
import pytest

from mozart_nb import events as ev
from mozart_nb.masking import know

KEY = "sk-ant-api03-" + "aB3_" * 10


@pytest.mark.parametrize("before", ["\n", "\t", "\r\n", '"', "\\", "\x1b[31m", " "])
@pytest.mark.parametrize("secret", [KEY, "x-api-key: zz99zz99zz", "Bearer abcdef1234567890", "sunlight"])
def test_a_secret_at_the_beginning_of_a_line_is_no_part_of_an_event(before: str, secret: str) -> None:
    forget = know(["sunlight"])
    event = ev.without_secrets(ev.BatchFailed(batch=1, code="E999", message=f"it said{before}{secret}"))
    forget()
    assert secret not in event.message
    assert event.message.startswith(f"it said{before}")


def _words_of_ours() -> Iterator[str]:
    for kind in ev.event_types():
        yield ev.kind_of(kind)
        for name, hint in typing.get_type_hints(kind).items():
            yield name
            yield from (word for word in typing.get_args(hint) if isinstance(word, str))


def test_a_password_that_is_a_word_of_ours_changes_no_event_but_its_texts() -> None:
    forget = know([*_words_of_ours(), "rehearsed", "file_exists", "completion", "evidence"])
    result = ev.RuleResult(rule=1, type="file_exists", status="rehearsed", message="it was rehearsed", evidence=True)
    event = ev.without_secrets(ev.ValidationPassed(batch=1, attempt=2, results=(result,), exit_code_ignored=True))
    started = ev.without_secrets(ev.BatchStarted(batch=1, attempt=1, mode="completion"))
    forget()
    assert event.results == (msgspec.structs.replace(result, message="it was …[masked]"),)
    assert event.exit_code_ignored
    assert started.mode == "completion"


def test_a_password_that_is_the_name_of_a_folder_changes_nothing_that_a_run_goes_by() -> None:
    files = {"/srv/production/out-1.md": "", "/srv/production/out-2.md": "9f86d081"}
    event = ev.SessionOpened(batch=1, attempt=1, session_id="production", log="production/1-1", files=files)
    planned = ev.JobPlanned(job_id="production-a1b2", name="production", plan=ev.PlanShape(3), seed=1, config_digest="")
    forget = know(["production"])
    assert ev.without_secrets(event) == event
    assert ev.without_secrets(planned).job_id == "production-a1b2"
    forget()

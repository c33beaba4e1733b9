"""`mozart questions` and `mozart reply`: answers from a terminal that is not the job's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.at_work import AtWork
from support.commands import mozart, wait_for, write_job

from mozart_nb.cli.editor import edit, editor
from mozart_nb.errors import MisuseError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

ASK = {"checkpoints": {"enabled": True, "triggers": [{"name": "deploy", "batch_nums": [2], "message": "Now?"}]}}
FAILS: dict[str, Any] = {
    "retry": {"max_retries": 1, "max_completion_attempts": 0, "base_delay_seconds": 0.01, "jitter": False},
    "rehearsal": {"latency_seconds": 0, "seed": 1, "script": {2: ["transient", "transient"]}},
}
"""Batch 2 fails as often as it may, and would succeed after that."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AtWork]:
    """A job at somebody else's terminal that asks about batch 2."""
    with AtWork("run", write_job(tmp_path, **ASK)) as host:
        host.until("your answer:")
        yield host


def test_what_a_job_asks_is_shown_with_the_command_that_answers_it(host: AtWork) -> None:
    shown = mozart("questions", "demo").stdout
    for part in ("demo  batch 2, attempt 1 (first)", "trigger `deploy`: Now?", "prompt: Batch 2: items 3 to 4."):
        assert part in shown
    assert "mozart reply demo 2 proceed|skip|abort|add" in shown
    ago = re.compile(r"\d+:\d+ ago")
    assert ago.sub("", mozart("questions").stdout) == ago.sub("", shown)
    [document] = mozart("questions", "--json").document
    assert (document["job_id"], document["batch"], document["kind"]) == ("demo", 2, "confirmation")
    assert document["choices"] == ["proceed", "skip", "abort", "add"]
    host.types("p\n")
    assert host.end() == 0
    assert "job `demo` asks nothing" in mozart("questions", "demo").stderr


def test_status_and_list_say_what_waits_for_a_person(host: AtWork) -> None:
    shown = mozart("status", "demo")
    assert "waits for you: batch 2: trigger `deploy`: Now?" in shown.stdout
    assert "1 waiting for you" in shown.stdout
    assert "mozart reply demo 2 proceed|skip|abort|add" in shown.stderr
    document = mozart("status", "demo", "--json").document
    assert document["progress"]["waiting_for_answers"] == 1
    assert document["execution"]["current_wait"]["kind"] == "answer"
    wait_for(lambda: "waiting, 1 question" in mozart("list").stdout)


def test_an_answer_from_another_terminal_counts_and_lets_go_of_the_first(host: AtWork) -> None:
    ended = mozart("reply", "demo", "2", "skip", "--text", "no window")
    assert (ended.exit_code, ended.stderr.strip()) == (0, "batch 2 of job `demo`: skip")
    assert host.end() == 0, host.screen
    batch = mozart("status", "demo", "--batches", "2", "--json").document["batches"]["2"]
    assert batch["status"] == "skipped"


def test_a_second_answer_is_told_that_it_comes_too_late(host: AtWork) -> None:
    assert mozart("reply", "demo", "2", "add", "--text", "Be brief.", "--json").document["counts"] is True
    late = mozart("reply", "demo", "2", "proceed")
    assert late.exit_code == 2
    assert host.end() == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("3", "proceed"), "nothing is asked about batch 3"),
        (("99", "proceed"), "job `demo` has no batch 99: there are batches 1 to 5"),
        (("2", "retry"), "`retry` is no answer to a confirmation; one of proceed, skip, abort, add is"),
        (("2", "perhaps"), "`perhaps` is no answer"),
        (("2", "add"), "`add` needs the text to add"),
        (("2", "skip", "--edit"), "--edit belongs to `add` and `retry`"),
        (("2", "add", "--edit", "--text", "x"), "--edit and --text are two ways"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_would_be_one(host: AtWork, args: tuple[str, ...], said: str) -> None:
    ended = mozart("reply", "demo", *args)
    assert ended.exit_code == 2
    assert said in ended.stderr


def test_a_job_that_nobody_runs_takes_no_answer(tmp_path: Path) -> None:
    mozart("run", write_job(tmp_path, **ASK))
    ended = mozart("reply", "demo", "2", "proceed")
    assert ended.exit_code == 2
    assert "nothing is asked about batch 2" in ended.stderr


def test_a_host_that_was_killed_leaves_a_question_that_a_resume_asks_again(tmp_path: Path) -> None:
    with AtWork("run", write_job(tmp_path, **ASK)) as host:
        host.until("your answer:")
        host.process.kill()
        host.end()
    shown = mozart("questions", "demo")
    assert "trigger `deploy`: Now?" in shown.stdout
    assert "nobody runs job `demo` any more: `mozart resume demo` asks again" in shown.stderr
    refused = mozart("reply", "demo", "2", "proceed")
    assert refused.exit_code == 2
    assert "no answer can reach it" in refused.stderr
    with AtWork("resume", "demo") as host:
        host.until("your answer:")
        assert mozart("reply", "demo", "2", "proceed").exit_code == 0
        assert host.end() == 0, host.screen
    assert mozart("status", "demo", "--json").document["execution"]["retries"] == 0


# --- a batch that is about to fail ------------------------------------------------------------------------------------


def test_with_e_a_person_decides_before_a_batch_fails(tmp_path: Path) -> None:
    with AtWork("run", write_job(tmp_path, **FAILS), "-e") as host:
        host.until("your answer:")
        assert "its budgets are used up: E" in host.screen
        assert "r  retry with fresh budgets" in host.screen
        host.types("r\n")
        assert host.end() == 0, host.screen
    assert mozart("status", "demo", "--json").document["progress"]["completed"] == 5


def test_without_a_terminal_it_fails_as_without_e(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, **FAILS), "-e")
    assert ended.exit_code == 1
    assert mozart("status", "demo", "--json").document["progress"]["failed"] == 1


def test_the_prompt_is_edited_in_the_editor_and_sent_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys, pathlib; f = pathlib.Path(sys.argv[1]); f.write_text(f.read_text().rstrip() + ' Briefly.\\n')"
    )
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    with AtWork("run", write_job(tmp_path, **FAILS, checkpoints={"escalation": True})) as host:
        host.until("your answer:")
        assert "mozart reply demo 2 retry|skip|abort" in mozart("questions").stdout
        ended = mozart("reply", "demo", "2", "retry", "--edit")
        assert ended.exit_code == 0, ended
        assert host.end() == 0, host.screen
    journal = mozart("logs", "demo", "--json").stdout
    assert "Batch 2: items 3 to 4. Briefly." in journal


async def test_an_editor_that_changes_nothing_or_fails_gives_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", f'{sys.executable} -c "pass"')
    assert await edit("as it was\n") == ""
    monkeypatch.setenv("VISUAL", f'{sys.executable} -c "raise SystemExit(3)"')
    with pytest.raises(MisuseError, match="exit code 3"):
        await edit("as it was")
    monkeypatch.setenv("VISUAL", str(tmp_path / "nowhere"))
    with pytest.raises(MisuseError, match="cannot be started"):
        await edit("as it was")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MisuseError, match="there is no editor"):
        editor({})

"""The question at the terminal: what may be answered, how it is withdrawn, and what happens without a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec
import pytest
from rich.console import Console
from support.at_work import AtWork
from support.commands import mozart, wait_for, write_job

from mozart_nb.cli.confirm import AtTerminal, confirmations_for
from mozart_nb.cli.output import Output
from mozart_nb.engine.confirm import NobodyToAsk, WithoutAsking
from mozart_nb.engine.ports import Question, Reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

ASK = {"checkpoints": {"enabled": True, "triggers": [{"name": "deploy", "batch_nums": [2], "message": "Now?"}]}}


def question(number: int = 2) -> Question:
    return Question(
        job_id="demo",
        batch=number,
        attempt=1,
        mode="first",
        triggers=("deploy",),
        message="Is the window open?",
        prompt="All of it.\nThe second line.",
    )


class Terminal:
    """A pseudo-terminal: what is typed comes out of `answers`, and what is printed is in `shown`."""

    def __init__(self) -> None:
        self._ours, theirs = os.openpty()
        self.answers: TextIO = os.fdopen(theirs, "r", encoding="utf-8")
        self.output = Output()
        self.output.__dict__["err"] = Console(file=io.StringIO(), width=200)

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    @property
    def shown(self) -> str:
        file = self.output.err.file
        assert isinstance(file, io.StringIO)
        return file.getvalue()

    def close(self) -> None:
        os.close(self._ours)
        self.answers.close()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "reply"),
    [
        ("p\n", Reply()),
        ("YES\n", Reply()),
        ("  proceed  \n", Reply()),
        ("s\n", Reply(action="skip")),
        ("skip no window today\n", Reply(action="skip", text="no window today")),
        ("a\n", Reply(action="abort")),
        ("no not yet\n", Reply(action="abort", text="not yet")),
        ("t leave the tests alone\n", Reply(action="add", text="leave the tests alone")),
        ("t\nfirst line\n  second\n\n", Reply(action="add", text="first line\n  second")),
        ("t\n\np\n", Reply()),
        ("v\np\n", Reply()),
        ("\nwhat?\nproceed with care\np\n", Reply()),
        ("\x04", Reply(action="abort", text="nobody is there to ask")),
    ],
)
async def test_an_answer_is_a_letter_or_a_word_with_what_belongs_to_it(
    terminal: Terminal, typed: str, reply: Reply
) -> None:
    terminal.types(typed)
    said = await AtTerminal(terminal.output, answers=terminal.answers).ask(question())
    assert (said.action, said.text) == (reply.action, reply.text)
    assert said.by == ("nobody" if typed == "\x04" else "terminal")


async def test_the_question_names_batch_and_trigger_and_shows_what_will_be_sent(terminal: Terminal) -> None:
    terminal.types("v\np\n")
    await AtTerminal(terminal.output, answers=terminal.answers).ask(question())
    for part in ("batch 2, attempt 1 (first)", "deploy", "Is the window open?", "All of it. The second line."):
        assert part in terminal.shown
    assert "All of it.\nThe second line." in terminal.shown


async def test_text_of_others_cannot_steer_the_terminal(terminal: Terminal) -> None:
    terminal.types("v\np\n")
    texts = {"triggers": ("x\x1b[2J",), "message": "[red]\x1b]0;t\x07", "prompt": "\x1b[A"}
    evil = msgspec.structs.replace(question(), **texts)
    await AtTerminal(terminal.output, answers=terminal.answers).ask(evil)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", terminal.shown)
    assert "[red]" in terminal.shown


# --- withdrawn --------------------------------------------------------------------------------------------------------


async def test_a_question_nobody_wants_any_more_lets_go_at_once_and_the_next_one_gets_its_answer(
    terminal: Terminal,
) -> None:
    person = AtTerminal(terminal.output, answers=terminal.answers)
    asking = asyncio.create_task(person.ask(question()))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert time.monotonic() - began < 0.1
    next_one = asyncio.create_task(person.ask(question(3)))
    await asyncio.sleep(0.15)
    terminal.types("s later\n")
    assert await next_one == Reply(action="skip", text="later", by="terminal")


async def test_questions_of_parallel_batches_are_asked_one_after_the_other(terminal: Terminal) -> None:
    person = AtTerminal(terminal.output, answers=terminal.answers)
    tasks = [asyncio.create_task(person.ask(question(number))) for number in (1, 2, 3)]
    await asyncio.sleep(0.05)
    assert terminal.shown.count("waits for you") == 1
    tasks[1].cancel()
    terminal.types("p\n")
    assert await tasks[0] == Reply(by="terminal")
    terminal.types("s\n")
    assert await tasks[2] == Reply(action="skip", by="terminal")
    assert terminal.shown.count("waits for you") == 2


async def test_the_event_loop_goes_on_while_a_question_is_open(terminal: Terminal) -> None:
    asking = asyncio.create_task(AtTerminal(terminal.output, answers=terminal.answers).ask(question()))
    late = 0.0
    for _ in range(20):
        began = time.monotonic()
        await asyncio.sleep(0.005)
        late = max(late, time.monotonic() - began - 0.005)
    assert late < 0.1
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


async def test_no_thread_is_left_behind(terminal: Terminal) -> None:
    asking = asyncio.create_task(AtTerminal(terminal.output, answers=terminal.answers).ask(question()))
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.to_thread(wait_for, lambda: not any(t.name == "mozart question" for t in threading.enumerate()))


# --- who is asked -----------------------------------------------------------------------------------------------------


def test_without_a_terminal_nobody_is_asked_and_with_yes_nobody_needs_to_be() -> None:
    assert isinstance(confirmations_for(Output(), yes=False), NobodyToAsk)
    assert isinstance(confirmations_for(Output(), yes=True), WithoutAsking)


def test_a_piped_run_pauses_and_says_how_it_goes_on_and_resume_with_yes_does(tmp_path: Path) -> None:
    ended = mozart("run", write_job(tmp_path, **ASK))
    assert ended.exit_code == 3
    assert "batch 2 is not confirmed (trigger `deploy`: Now?): nobody is there to ask" in ended.stderr
    assert "`mozart resume demo -y`" in ended.stderr
    assert "batch 2 is not confirmed" in mozart("status", "demo").stdout
    assert mozart("resume", "demo").exit_code == 3
    ended = mozart("resume", "demo", "-y", "--json")
    assert ended.exit_code == 0
    batch = ended.document["batches"]["2"]
    assert (batch["status"], ended.document["execution"]["retries"]) == ("completed", 0)


def test_run_with_yes_goes_through(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path, **ASK), "-y").exit_code == 0


def test_a_rehearsal_asks_nobody(tmp_path: Path) -> None:
    assert mozart("run", write_job(tmp_path, **ASK), "--rehearse").exit_code == 0


# --- a whole command at a terminal ------------------------------------------------------------------------------------


def test_a_person_answers_at_the_terminal_and_the_display_comes_back(tmp_path: Path) -> None:
    with AtWork("run", write_job(tmp_path, **ASK)) as host:
        host.until("your answer:")
        assert "Now?" in host.screen
        host.types("s no window\n")
        assert host.end() == 0, host.screen
        assert "5 of 5 batches done (1 skipped)" in host.screen
    document = mozart("status", "demo", "--batches", "2", "--json").document
    assert document["batches"]["2"]["status"] == "skipped"


def test_ctrl_c_at_the_question_pauses_at_once_and_the_next_run_asks_again(tmp_path: Path) -> None:
    file = write_job(tmp_path, **ASK)
    with AtWork("run", file) as host:
        host.until("your answer:")
        began = time.monotonic()
        host.types("\x03")
        assert host.end() == 3, host.screen
        assert time.monotonic() - began < 5
    with AtWork("run", file) as host:
        host.until("your answer:")
        host.types("p\n")
        assert host.end() == 0, host.screen
    assert mozart("status", "demo", "--json").document["execution"]["retries"] == 0


def test_another_process_can_pause_a_job_that_waits_for_an_answer(tmp_path: Path) -> None:
    with AtWork("run", write_job(tmp_path, **ASK)) as host:
        host.until("your answer:")
        assert "needs a person's confirmation" in mozart("logs", "demo").stdout
        assert mozart("pause", "demo", "--wait", "-t", "20").exit_code == 0
        assert host.end() == 3, host.screen


# --- remedies ---------------------------------------------------------------------------------------------------------

MISSPELLED = {"prompt": {"template": "Batch {{ bacth_num }}."}}


@pytest.mark.parametrize(("typed", "agreed"), [("y\n", True), ("Yes\n", True), ("n\n", False), ("\n", False)])
async def test_a_remedy_is_agreed_to_with_yes_and_nothing_else(terminal: Terminal, typed: str, agreed: bool) -> None:
    terminal.types(typed)
    assert await AtTerminal(terminal.output, answers=terminal.answers).agrees("Mend it?\x1b[2J") is agreed
    assert "Mend it?" in terminal.shown
    assert "\x1b[2J" not in terminal.shown


async def test_the_end_of_the_input_agrees_to_nothing(terminal: Terminal) -> None:
    terminal.types("\x04")
    assert not await AtTerminal(terminal.output, answers=terminal.answers).agrees("Mend it?")


@pytest.mark.parametrize(("typed", "code", "said"), [("y\n", 0, "5 of 5 batches"), ("n\n", 1, "the answer was no")])
def test_a_person_is_asked_about_a_remedy_beside_the_live_display(
    tmp_path: Path, typed: str, code: int, said: str
) -> None:
    with AtWork("run", write_job(tmp_path, **MISSPELLED), "--self-healing") as host:
        host.until("[y/N]")
        assert "Use `batch_num` for it in this run?" in host.screen
        host.types(typed)
        assert host.end() == code, host.screen
    assert said in host.screen

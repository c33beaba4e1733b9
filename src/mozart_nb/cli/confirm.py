"""Asking the person at the terminal before a session is opened, where the job file's `checkpoints` want that.

The answer is waited for in a thread that looks whether there is one and otherwise lets go, so a question can be
withdrawn at any moment: Ctrl-C pauses the job although nobody has answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal, TextIO

from rich.text import Text

from mozart_nb.cli.editor import edit
from mozart_nb.cli.live import Runs, Watcher
from mozart_nb.cli.output import Output
from mozart_nb.engine.confirm import BY_NOBODY, NOBODY, NobodyToAsk, WithoutAsking, asked_text
from mozart_nb.engine.ports import Confirmations, Question, Reply
from mozart_nb.errors import MozartError
from mozart_nb.healing import Ask, always
from mozart_nb.words import clean, one_line

LOOK_SECONDS: Final = 0.1
"""How soon a question that nobody wants any more lets go of the terminal."""

SHOWN_CHARACTERS: Final = 300
"""How much of the prompt is shown before somebody asks for all of it."""

Aside = Callable[[], AbstractContextManager[None]]
Choice = Literal["proceed", "skip", "abort", "add", "retry", "edit", "view"]

_CHOICES: Final[dict[str, Choice]] = {
    **dict.fromkeys(("p", "proceed", "y", "yes"), "proceed"),
    **dict.fromkeys(("s", "skip"), "skip"),
    **dict.fromkeys(("a", "abort", "n", "no", "q", "quit"), "abort"),
    **dict.fromkeys(("t", "text", "add"), "add"),
    **dict.fromkeys(("v", "view"), "view"),
}
_OF_ESCALATION: Final[dict[str, Choice]] = {
    **dict.fromkeys(("r", "retry"), "retry"),
    **dict.fromkeys(("e", "edit"), "edit"),
    **{word: choice for word, choice in _CHOICES.items() if choice in ("skip", "abort", "view")},
}
_HELP: Final = (
    "p  proceed · s [reason]  skip the batch · a [reason]  abort: the job pauses · t [text]  add text to the prompt"
    " · v  view the whole prompt"
)
_HELP_OF_ESCALATION: Final = (
    "r  retry with fresh budgets · e  edit the prompt and retry · s [reason]  skip the batch · "
    "a [reason]  abort: the batch fails · v  view the whole prompt"
)
BY: Final = "terminal"
"""Who answers, as the journal names it."""


def confirmations_for(output: Output, *, yes: bool, aside: Aside = nullcontext) -> Confirmations:
    """Who is asked: nobody with `yes`, the person at the terminal if there is one, else nobody and the job pauses.

    `aside` clears the terminal for as long as a question is open.
    """
    if yes:
        return WithoutAsking()
    return AtTerminal(output, aside) if output.can_ask else NobodyToAsk()


def consent_for(confirmations: Confirmations, *, yes: bool) -> Ask | None:
    """Who agrees to remedies: everybody with `yes`, the person at the terminal if there is one, else nobody."""
    if yes:
        return always
    return confirmations.agrees if isinstance(confirmations, AtTerminal) else None


class SetAside:
    """A watcher that makes room for questions: `attach` in its place, `SetAside` itself as `aside`."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._driver: Runs | None = None

    def attach(self, driver: Runs) -> None:
        """Begin to show."""
        self._driver = driver
        self._watcher.attach(driver)

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._watcher.close()
        try:
            yield
        finally:
            if self._driver is not None:
                self._watcher.attach(self._driver)


class AtTerminal:
    """Asks one question after the other on stderr and reads the answers from `answers` (by default stdin)."""

    def __init__(self, output: Output, aside: Aside = nullcontext, answers: TextIO | None = None) -> None:
        self._console = output.err
        self._aside = aside
        self._answers = answers or sys.stdin
        self._turn = asyncio.Lock()

    async def ask(self, question: Question) -> Reply:
        """The person's answer. The end of the input, or a host in the background, means that nobody is there."""
        async with self._turn:
            if not _is_in_foreground(self._answers):
                return Reply(action="abort", text=f"{NOBODY}: the job runs in the background", by=BY_NOBODY)
            with self._aside():
                await self._show(question)
                return await self._answer(question)

    async def agrees(self, question: str) -> bool:
        """Yes or no; no where nobody is there. May be asked between two other questions."""
        async with self._turn:
            if not _is_in_foreground(self._answers):
                return False
            with self._aside():
                await self._print(Text(clean(question), style="bold yellow"))
                answer = await self._line("[y/N] ")
                return (answer or "").strip().lower() in ("y", "yes")

    async def _show(self, question: Question) -> None:
        names = asked_text(question) if question.kind == "escalation" else ", ".join(question.triggers)
        head = f"batch {question.batch}, attempt {question.attempt} ({question.mode}) waits for you: {names}"
        message = [Text(clean(question.message))] if question.message and question.kind == "confirmation" else []
        prompt = Text(f"prompt: {one_line(question.prompt, SHOWN_CHARACTERS)}", style="bright_black")
        await self._print(Text(clean(head), style="bold yellow"), *message, prompt, Text(_help(question)))

    async def _print(self, *lines: Text) -> None:
        """In a thread: a terminal that stands still (Ctrl-S) holds up nothing but the question."""
        await asyncio.to_thread(self._console.print, Text("\n").join(lines), soft_wrap=True)

    async def _answer(self, question: Question) -> Reply:
        choices = _OF_ESCALATION if question.kind == "escalation" else _CHOICES
        while True:
            line = await self._line("your answer: ")
            if line is None:
                return Reply(action="abort", text=NOBODY, by=BY_NOBODY)
            word, _, rest = line.strip().partition(" ")
            match choices.get(word.lower()), rest.strip():
                case "proceed" | "retry" as action, "":
                    return Reply(action=action, by=BY)
                case "skip" | "abort" as action, reason:
                    return Reply(action=action, text=reason, by=BY)
                case "add", text if added := text or await self._lines():
                    return Reply(action="add", text=added, by=BY)
                case "edit", "" if edited := await self._edited(question.prompt):
                    return Reply(action="retry", text=edited, by=BY)
                case "view", "":
                    await self._print(Text(clean(question.prompt)))
                case _:
                    await self._print(Text(_help(question)))

    async def _edited(self, prompt: str) -> str:
        """The prompt as the person's editor leaves it; nothing where it was not changed, or there is no editor."""
        try:
            return await edit(prompt)
        except MozartError as error:
            await self._print(Text(clean(error.message)))
            return ""

    async def _lines(self) -> str:
        """Several lines, up to an empty one; nothing when the first is empty."""
        await self._print(Text("text for the end of the prompt; an empty line ends it"))
        lines = []
        while line := (await self._line("") or "").rstrip():
            lines.append(line)
        return "\n".join(lines)

    async def _line(self, prompt: str) -> str | None:
        """The next line; None when there will be none. On cancellation the terminal is let go of."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        unwanted = threading.Event()

        def settle(line: str) -> None:
            if not answer.done():
                answer.set_result(line)

        def wait() -> None:
            self._console.print(prompt, end="", soft_wrap=True)
            line = _read_line(self._answers, unwanted)
            with contextlib.suppress(RuntimeError):  # the loop has gone
                loop.call_soon_threadsafe(settle, line)

        threading.Thread(target=wait, name="mozart question", daemon=True).start()
        try:
            return await answer or None
        finally:
            unwanted.set()


def _help(question: Question) -> str:
    return _HELP_OF_ESCALATION if question.kind == "escalation" else _HELP


def _read_line(stream: TextIO, unwanted: threading.Event) -> str:
    """The next line with its end, or "" when there is none or it is unwanted.

    Where one cannot look whether input is there (Windows), a line typed after a question was withdrawn is lost.
    """
    try:
        while sys.platform != "win32" and not unwanted.is_set():
            ready, _, _ = select.select([stream], [], [], LOOK_SECONDS)
            if ready and not unwanted.is_set() and _is_in_foreground(stream):
                break
            if ready:
                unwanted.wait(LOOK_SECONDS)  # the input is somebody else's
        return "" if unwanted.is_set() else stream.readline()
    except (OSError, ValueError):
        return ""  # the terminal has gone


def _is_in_foreground(stream: TextIO) -> bool:
    """Whether this process may read from its terminal; reading in the background would stop it (SIGTTIN)."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return True  # not the terminal that controls us

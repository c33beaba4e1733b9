"""The real `git`, run without a shell, with an environment of its own, a time limit, and patience with its locks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import portalocker

OLDEST: Final = (2, 17)
"""The first version with `git worktree remove`."""

QUESTION_SECONDS: Final = 60.0
"""How long a question to git may take: even `status` of a million files is quicker."""

WORK_SECONDS: Final = 1800.0
"""How long making, filling, committing or removing a worktree may take."""

_END_SECONDS: Final = 2.0
_LOCK_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
# Git never waits for its own locks for long: two processes that write refs at once have one of them fail.

_LOCKED: Final = re.compile(r"\.lock'?: File exists|lock config file .*: File exists")
_KEPT: Final = re.compile(
    r"GIT_(?:AUTHOR_\w+|COMMITTER_\w+|CONFIG_(?:GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)|EXEC_PATH|SSH\w*)"
)
REDIRECTING: Final = (
    "GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES "
    "GIT_NAMESPACE GIT_PREFIX GIT_CEILING_DIRECTORIES"
).split()
"""Variables that would have git work on another repository than the one it is started in: hooks of git have them."""


class GitError(Exception):
    """Git is not there, is too old, took too long or refused; the message is one sentence for people."""

    def __init__(self, message: str, *, output: str = "", code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.output = output
        self.code = code

    @property
    def is_locked(self) -> bool:
        """Whether another git process was in the way, so that trying again helps."""
        return bool(_LOCKED.search(self.output))


class Ended(NamedTuple):
    """How a git command ended; `output` is what it printed, `errors` what it complained of."""

    code: int
    output: str
    errors: str


class Git:
    """Runs git. `fair` is the clock of time limits (monotonic seconds)."""

    def __init__(self, environ: Mapping[str, str] | None = None, *, fair: Callable[[], float] = time.monotonic) -> None:
        self._environ = environment_for(os.environ if environ is None else environ)
        self._fair = fair

    async def check(self) -> str:
        """The version of git. Raises `GitError` when there is none, or one that is too old."""
        if shutil.which("git", path=self._environ.get("PATH")) is None:
            raise GitError("there is no `git` on PATH")
        text = (await self.ask(Path.cwd(), "version")).removeprefix("git version ").strip()
        found = re.match(r"(\d+)\.(\d+)", text)
        if found is None or tuple(map(int, found.groups())) < OLDEST:
            raise GitError(f"git {text} is too old: worktrees need {'.'.join(map(str, OLDEST))} or newer")
        return text

    async def ask(self, folder: Path, *words: str, stdin: str = "", seconds: float = QUESTION_SECONDS) -> str:
        """What a command that succeeds prints, without its last newline. Raises `GitError` when it fails."""
        ended = await self.run(folder, *words, stdin=stdin, seconds=seconds)
        if ended.code:
            raise GitError(_sentence(words, ended), output=ended.errors or ended.output, code=ended.code)
        return ended.output.removesuffix("\n")

    async def succeeds(self, folder: Path, *words: str) -> bool:
        """Whether a command ends with exit code 0."""
        return not (await self.run(folder, *words)).code

    async def do(self, folder: Path, *words: str, seconds: float = WORK_SECONDS) -> str:
        """As `ask`, for what changes something: tries again while another git process holds a lock."""
        for pause in _LOCK_PAUSES:
            try:
                return await self.ask(folder, *words, seconds=seconds)
            except GitError as error:
                if not error.is_locked:
                    raise
                await asyncio.sleep(pause)
        return await self.ask(folder, *words, seconds=seconds)

    async def run(self, folder: Path, *words: str, stdin: str = "", seconds: float = QUESTION_SECONDS) -> Ended:
        """Run `git words` in `folder`. It is ended, politely first, after `seconds` or when this is cancelled.

        Raises `GitError` when it cannot be started or took too long.
        """
        try:
            process = await self._start(folder, words)
        except (OSError, ValueError, NotImplementedError) as error:
            raise GitError(f"git could not be started in {folder}: {error}") from error
        talk = asyncio.ensure_future(process.communicate(stdin.encode()))
        try:
            in_time = await self._is_over(talk, seconds)
            if not in_time:
                raise GitError(f"`git {_shown(words)}` was ended after {seconds:g} seconds")
            output, errors = talk.result()
        finally:
            await asyncio.shield(_end(process, talk))
        return Ended(process.returncode or 0, _text(output), _text(errors))

    async def _start(self, folder: Path, words: Sequence[str]) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            "git",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.quotePath=false",
            "-c",
            "gc.auto=0",
            *words,
            cwd=folder,
            env=self._environ,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )

    async def _is_over(self, talk: asyncio.Future[tuple[bytes, bytes]], seconds: float) -> bool:
        began = self._fair()
        while not talk.done():
            left = seconds - (self._fair() - began)
            if left <= 0:
                return False
            await asyncio.wait([talk], timeout=left)
        return True


def environment_for(environ: Mapping[str, str]) -> dict[str, str]:
    """What git sees: of the variables for git only who commits, which settings and how servers are reached.

    The others would have it work on another repository, as they do when a hook of git has started us.
    """
    kept = {name: value for name, value in environ.items() if not name.startswith("GIT_") or _KEPT.fullmatch(name)}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "true", "LC_ALL": "C.UTF-8", "LANGUAGE": "C"}


async def _end(process: asyncio.subprocess.Process, talk: asyncio.Future[tuple[bytes, bytes]]) -> None:
    """Nothing of it is left when this returns. On SIGTERM git takes its lock files away."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, number) if hasattr(os, "killpg") else process.terminate()
            await asyncio.wait([talk], timeout=_END_SECONDS)
    if not talk.done():  # a process that git has started keeps a pipe open
        talk.cancel()
        await asyncio.wait([talk])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _shown(words: Sequence[str]) -> str:
    return " ".join(words[:2])


def _sentence(words: Sequence[str], ended: Ended) -> str:
    """Why a command failed, in git's own words: the line that says `fatal`, else the last one."""
    lines = [line.strip() for line in (ended.errors or ended.output).splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    said = (fatal or lines[-1:] or [f"exit code {ended.code}"])[0]
    return f"`git {_shown(words)}`: {said.partition(': ')[2] if fatal else said}"


@asynccontextmanager
async def alone(common: Path, *, seconds: float = WORK_SECONDS) -> AsyncIterator[None]:
    """Wait until no other job of ours makes or removes worktrees in the repository whose folder is `common`.

    Git locks each ref for itself, and two jobs that look for a free branch at once would both find the same. Where the
    folder's file system knows no locks, or cannot be written to, git alone has to do.
    """
    try:
        file = (common / "mozart.lock").open("a")
    except OSError:
        yield
        return
    with file:
        began = time.monotonic()
        while True:
            try:
                portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
                break
            except portalocker.AlreadyLocked:
                if time.monotonic() - began > seconds:
                    raise GitError(f"another job has been at work in {common} for {seconds:g} seconds") from None
                await asyncio.sleep(0.05)
            except portalocker.LockException:
                break
        yield

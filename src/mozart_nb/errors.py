"""Everything mozart_nb raises on purpose.

    MozartError
    ├── MisuseError                you asked for something that cannot be done (exit code 2)
    │   ├── ConfigError            the job file is invalid; `problems` say where and what would be right
    │   │   └── UnreadableError    the job file cannot be read or parsed at all
    │   ├── OptionError            the line of a magic cannot be understood
    │   ├── PromptError            a template, placeholder or expression cannot be rendered
    │   ├── UnknownJobError        no job of that id is known here
    │   ├── AmbiguousJobError      one id in several workspaces; `workspaces` lists them
    │   ├── JobBusyError           another host runs this job; `owner` names it
    │   ├── JobChangedError        the config changed since the job was planned
    │   └── PlanMismatchError      a new config would change batches that have already run
    └── WorldError                 the world failed (exit code 1, or 3 when the job can go on later)
        ├── CheckpointCorruptError     E701
        ├── CheckpointTooNewError      E702
        ├── CheckpointUnwritableError  E703
        ├── IsolationError             a job has no worktree to work in, and must not work in the checkout
        ├── UnfinishedError            somebody waited for a job, and it failed, paused or was cancelled
        ├── StillReadingError          a long journal is being read for the first time: ask again soon
        ├── OutOfReachError            the record of a job is there, but cannot be read now
        ├── ConductorAbsentError       no conductor of this user runs
        └── ConductorError             the conductor could not do what it was asked, or was gone before it answered

`MisuseError` means: call it differently. `WorldError` means: nothing was wrong with the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from mozart_nb.excerpts import cleaned, excerpt

MOST_SHOWN: Final = 10
"""Problems of one job file that are shown; the others are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a job file, with enough to fix it.

    `line` and `column` count from 1 and are 0 where no position is known; `path` is the key path as written
    (`retry.max_retries`); `allowed` says what would be right, `nearest` the known name most like the one given.
    `source` is the line of the file, secrets blotted out, and `before` the one above it where it helps to see it.
    """

    message: str
    path: str = ""
    line: int = 0
    column: int = 0
    value: str = ""
    allowed: str = ""
    nearest: str = ""
    file: str = ""
    source: str = ""
    before: str = ""

    def __str__(self) -> str:
        return "; ".join([self._headline(with_value=bool(self.value)), *self._advice()])

    def excerpt(self) -> list[str]:
        """The line of the file with carets below the place; nothing where the line is not known."""
        if not self.source.strip():
            return []
        return excerpt(self.source, self.line, self.column, before=self.before, value=self.value)

    def shown(self) -> list[str]:
        """The problem as lines for a person: what and where, the line of the file, what would be right."""
        seen = self.excerpt()
        with_value = bool(self.value) and self.value not in self.source
        text = [self._headline(with_value=with_value), *(f"  {advice}" for advice in self._advice())]
        headline, *advice = cleaned(text)
        return [headline, *seen, *advice]

    def _headline(self, *, with_value: bool) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text} (got {self.value})" if with_value else text

    def _advice(self) -> Iterator[str]:
        if self.allowed:
            yield f"allowed: {self.allowed}"
        if self.nearest:
            yield f"did you mean `{self.nearest}`?"


class MozartError(Exception):
    """Root of the tree. `hint` is the next thing to try, in one sentence.

    IPython shows such an error as the lines of `shown()`, without a traceback; `MozartError.verbose = True` brings
    tracebacks back, in whatever mode `%xmode` is.
    """

    verbose: ClassVar[bool] = False
    """Whether IPython shows these errors like all others, with a traceback."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        job_id: str | None = None,
        batch: int | None = None,
        attempt: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self._own_notes: list[str] = []
        self.job_id = job_id
        self.batch = batch
        self.attempt = attempt
        self.code = code
        self.hint = hint

    @property
    def hint(self) -> str:
        """The next thing to try, in one sentence; empty where there is nothing to advise."""
        return self._hint

    @hint.setter
    def hint(self, text: str) -> None:
        self._hint = text
        others = [note for note in getattr(self, "__notes__", []) if note not in self._own_notes]
        self._own_notes = self._notes()
        self.__notes__ = [*self._own_notes, *others]

    def shown(self) -> list[str]:
        """The error as lines for a person: its name, what is wrong, and the next thing to try."""
        first, *more = self._told()
        hint = [f"hint: {self.hint}"] if self.hint else []
        return [*cleaned([f"{type(self).__name__}: {first}", *more]), *cleaned(hint)]

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython shows instead of a traceback. It asks `hasattr` first, so there is none while `verbose`."""
        if MozartError.verbose:
            raise AttributeError("_render_traceback_")
        return self.shown

    def _told(self) -> list[str]:
        return [self.message]

    def _notes(self) -> list[str]:
        """What stands below the message where Python itself shows the error, as in a script."""
        return cleaned([f"hint: {self.hint}"]) if self.hint else []


class MisuseError(MozartError):
    """You asked for something that cannot be done as asked."""


class ConfigError(MisuseError):
    """The job file is invalid; `problems` has one entry per mistake, in file order."""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint, code="E502")

    def _told(self) -> list[str]:
        shown = self.problems[:MOST_SHOWN]
        more = len(self.problems) - len(shown)
        lines = [] if len(self.problems) == 1 else [f"{len(self.problems)} mistakes"]
        for problem in shown:
            lines += ["", *problem.shown()] if lines else problem.shown()
        return [*lines, "", f"and {more} more"] if more else lines

    def _notes(self) -> list[str]:
        excerpts = ["\n".join(problem.excerpt()) for problem in self.problems[:MOST_SHOWN]]
        return [*filter(None, excerpts), *super()._notes()]


class UnreadableError(ConfigError):
    """The job file cannot be read or is not YAML."""


class OptionError(MisuseError):
    """The line of a magic cannot be understood."""


class PromptError(MisuseError):
    """A template, placeholder or expression cannot be rendered."""


class UnknownJobError(MisuseError):
    """No job of that id is known here."""


class AmbiguousJobError(MisuseError):
    """One id exists in several workspaces."""

    def __init__(self, job_id: str, workspaces: Sequence[str]) -> None:
        self.workspaces = tuple(workspaces)
        places = "\n".join(f"  {workspace}" for workspace in self.workspaces)
        super().__init__(
            f"job `{job_id}` exists in {len(self.workspaces)} workspaces:\n{places}",
            hint="name one with --workspace",
            job_id=job_id,
        )


class JobBusyError(MisuseError):
    """Another host runs this job; `owner` names host, pid and start time."""

    def __init__(self, job_id: str, owner: str) -> None:
        self.owner = owner
        super().__init__(f"job `{job_id}` is already running: {owner}", job_id=job_id)


class JobChangedError(MisuseError):
    """The config changed since the job was planned."""


class PlanMismatchError(MisuseError):
    """A new config would change batches that have already run; the message says which."""


class WorldError(MozartError):
    """The world failed: disk, clock, another program. Nothing was wrong with the call."""


class CheckpointCorruptError(WorldError):
    """The checkpoint cannot be trusted (E701). Nothing was changed on disk."""


class CheckpointTooNewError(WorldError):
    """The checkpoint was written by a newer version (E702)."""


class CheckpointUnwritableError(WorldError):
    """The checkpoint cannot be written: disk full, read-only (E703). What was durable before still is."""


class IsolationError(WorldError):
    """No git worktree can be had for a job that must not work in the checkout itself (`isolation`)."""


class UnfinishedError(WorldError):
    """Somebody waited for a job, and it settled without completing. It can be resumed; `hint` says how."""


class StillReadingError(WorldError):
    """A long journal is being read for the first time; whoever asks again gets an answer."""


class OutOfReachError(WorldError):
    """The record of a job is there, but its disk or the rights on it do not let it be read now."""


class ConductorAbsentError(WorldError):
    """No conductor of this user runs, or it cannot be reached."""


class ConductorError(WorldError):
    """The conductor could not do what it was asked, or was gone before it answered.

    `number` is the error code of JSON-RPC 2.0 (0 where it did not answer at all), `data` what came with it. Errors of
    use that the conductor found are raised as what they are: an `UnknownJobError` there is an `UnknownJobError` here.
    """

    def __init__(self, message: str, *, number: int = 0, data: object = None, hint: str = "") -> None:
        self.number = number
        self.data = data
        super().__init__(message, hint=hint)

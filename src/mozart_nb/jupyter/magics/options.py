"""What may stand on the lines of the magics: verbs and options, as data for parsing, help and completion alike."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

HELP_FLAGS: Final = ("-h", "--help")
"""Every verb and the cell know these."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option. Without a `metavar` it is a flag that stands for `const`; `kind` reads its value."""

    names: tuple[str, ...]
    help: str
    dest: str
    metavar: str = ""
    kind: Callable[[str], Any] = str
    const: Any = True
    default: Any = None
    choices: tuple[str, ...] = ()
    is_list: bool = False
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """One positional argument: a job `FILE` or a job `ID`."""

    metavar: str
    help: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """What may follow `%mozart`; the verb of no name is `%%mozart` itself."""

    name: str
    summary: str
    options: tuple[Option, ...]
    place: Place | None = None
    words: tuple[Place, ...] = ()
    """What has to follow the place, in this order; the parsed words are named as the metavars are, in small letters."""
    remark: str = ""

    @property
    def command(self) -> str:
        return f"%mozart {self.name}" if self.name else "%%mozart"


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text.replace("_", ""))
        except ValueError:
            value = least - 1
        if value < least:
            raise ArgumentTypeError(f"a number from {least} expected, not `{text}`")
        return value

    return read


def _name(text: str) -> str:
    if not text.isidentifier():
        raise ArgumentTypeError(f"the name of a variable expected, not `{text}`")
    return text


def _key_value(text: str) -> str:
    if not text.partition("=")[1] or text.startswith("="):
        raise ArgumentTypeError(f"KEY=VALUE expected, not `{text}`")
    return text


def _flag(name: str, help: str, dest: str = "", *, const: Any = True, default: Any = False, short: str = "") -> Option:
    names = (short, name) if short else (name,)
    return Option(names, help, dest or name.lstrip("-").replace("-", "_"), const=const, default=default)


def _value(name: str, metavar: str, help: str, *, short: str = "", dest: str = "", **more: Any) -> Option:
    names = (short, name) if short else (name,)
    return Option(names, help, dest or name.lstrip("-").replace("-", "_"), metavar, **{"default": "", **more})


_OUT = _value("--out", "NAME", "Bind the job to this name instead of `job`.", short="-o", kind=_name)
_WAIT = _flag("--wait", "Return when the job has settled.", default=None)
_NO_WAIT = _flag("--no-wait", "Return at once, whatever the settings say.", "wait", const=False, default=None)
_NO_DASHBOARD = _flag("--no-dashboard", "Show no dashboard.", "dashboard", const=False, default=None)
_NO_RAISE = _flag(
    "--no-raise", "With --wait: a job that does not complete is no error.", "raises", const=False, default=True
)
_WORKSPACE = _value("--workspace", "DIR", "The workspace, instead of the job's own.", short="-w")
_WHERE = _value("--workspace", "DIR", "Where the job is, if its id is not enough.", short="-w")
_DEBUG = _flag("--debug", "Show Python tracebacks.")
_STRICT = _flag("--strict", "Unknown keys are errors.")
_HEALING = _flag("--self-healing", "Mend what can be mended before a batch is given up.", short="-H")
_ESCALATION = _flag("--escalation", "Ask before a batch fails whose retries are used up.", short="-e")
_SET = _value(
    "--set", "KEY=VALUE", "Change a key: `retry.max_retries=5`.", dest="overrides", kind=_key_value, is_list=True
)
_MAX = _value("--max-concurrent", "N", "How many sessions at once.", kind=_number(1), default=0)
_CONDUCTOR = _flag("--conductor", "Have the conductor run it, so that it outlives this kernel.", default=None)
_NO_CONDUCTOR = _flag(
    "--no-conductor", "Run it here, whatever the settings say.", "conductor", const=False, default=None
)
_BATCHES = _value("--batches", "3,7-9", "Only these batches.")
_RELOAD = _flag("--reload-config", "Go on with what the job is now; what is done stays.")
_CONFIG = _value("--config", "FILE", "Go on with this job file.", short="-c")
_BATCH = _value("--batch", "N", "Only this batch.", kind=_number(1), default=0)
_FIX = _flag("--fix", "Correct first what can be corrected without asking: misspelled names, missing folders.")
_SINCE = _value("--since", "TIME", "Not before: `14:00`, `2h` (ago), `'2026-11-21 07:05'`.")
_UNTIL = _value("--until", "TIME", "Not after; likewise.")
_DRY_RUN = _flag("--dry-run", "Only show what would be done.", short="-n")

_INSIGHTS: Final = ("templates", "rules", "times", "suggestions")

_RUN: Final = (
    _OUT,
    _WAIT,
    _NO_WAIT,
    _DRY_RUN,
    _flag("--check", "Only check the description; `--dry-run` shows the plan, too."),
    _FIX,
    _value("--show", "N", "Only show, with the prompt of batch N.", kind=_number(1), default=0),
    _value("--items", "NAME", "A DataFrame or list of this notebook as the items.", kind=_name),
    _SET,
    _value("--var", "NAME", "A variable of this notebook for the prompt.", dest="variables", kind=_name, is_list=True),
    _flag("--rehearse", "Free of charge, in a scratch folder."),
    _flag("--fresh", "Start over; what was there is archived."),
    _RELOAD,
    _value("--limit", "N", "A pilot: pause after N batches.", kind=_number(1), default=0),
    _BATCHES,
    _value("--start-batch", "N", "Skip batches before N.", short="-s", kind=_number(1), default=1),
    _MAX,
    _STRICT,
    _HEALING,
    _ESCALATION,
    _CONDUCTOR,
    _NO_CONDUCTOR,
    _WORKSPACE,
    _NO_DASHBOARD,
    _NO_RAISE,
    _DEBUG,
)

_FILE = Place("FILE", "The job file.", is_required=True)
_ID = Place("ID", "Id of the job, or the name of a variable that holds it. Default: this notebook's last job.")

CELL: Final = Verb("", "Run the job that is described by the YAML below.", _RUN)

VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb("run", "Run a job file, or go on with it.", _RUN, _FILE),
        Verb(
            "resume",
            "Go on with a job: everything that is not completed or skipped.",
            (
                _OUT,
                _WAIT,
                _NO_WAIT,
                _flag("--keep-failed", "Leave failed batches as they are."),
                _flag("--infer", "Batches whose rules pass count as completed."),
                _BATCHES,
                _MAX,
                _CONFIG,
                _flag("--reload-config", "Read the job file anew."),
                _HEALING,
                _ESCALATION,
                _CONDUCTOR,
                _NO_CONDUCTOR,
                _flag("--handover", "Have whoever runs it now, this kernel too, hand it over to the conductor."),
                _WHERE,
                _NO_DASHBOARD,
                _NO_RAISE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb("pause", "Pause a job: running batches finish first.", (_WHERE, _DEBUG), _ID),
        Verb("cancel", "End a job at once, its sessions too. It can be resumed later.", (_WHERE, _DEBUG), _ID),
        Verb(
            "modify",
            "Give a job a new config: pause it if it runs, take the file, go on with -r.",
            (
                _value("--config", "FILE", "The new job file.", short="-c", is_required=True),
                _flag("--resume", "Go on with it at once.", short="-r"),
                _CONDUCTOR,
                _NO_CONDUCTOR,
                _WHERE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb(
            "recover",
            "Check the rules of failed batches again, executing nothing; those that pass are completed.",
            (_DRY_RUN, _WHERE, _DEBUG),
            _ID,
        ),
        Verb("questions", "What a job asks of a person.", (_WHERE, _DEBUG), _ID),
        Verb(
            "reply",
            "Answer what a job asks about a batch, whoever runs it. The first answer counts.",
            (
                _value("--text", "TEXT", "What to add, the prompt to retry with, or the reason."),
                _WHERE,
                _DEBUG,
            ),
            _ID,
            words=(
                Place("BATCH", "The batch that it asks about."),
                Place("ANSWER", "`proceed`, `skip`, `abort` or `add`; before it fails `retry`, `skip` or `abort`."),
            ),
        ),
        Verb("status", "How a job stands; without an ID, how the jobs here stand.", (_WHERE, _DEBUG), _ID),
        Verb(
            "list",
            "All known jobs, the one that did something last first.",
            (
                _value("--status", "STATUS", "Only jobs with this status."),
                _value("--backend", "TYPE", "Only jobs that this backend answers."),
                _value("--name", "TEXT", "Only jobs with this in id or name, or `a*`."),
                _value("--since", "TIME", "Only jobs that did something since: `14:00`, `2d`."),
                _value("--limit", "N", "At most N jobs; 0 means all.", kind=_number(0), default=20),
                _WHERE,
                _DEBUG,
            ),
        ),
        Verb(
            "batches",
            "A DataFrame, one row per batch.",
            (_value("--status", "STATUS", "Only batches with this status."), _BATCHES, _WHERE, _DEBUG),
            _ID,
        ),
        Verb(
            "errors",
            "What failed and what to do about it, by code; `.frame` is the DataFrame.",
            (
                _value("--code", "E201", "Only this code."),
                _BATCH,
                _value("--type", "TYPE", "Only these: transient, rate_limit, validation, timeout, signal or fatal."),
                _SINCE,
                _UNTIL,
                _flag("--verbose", "What each rule expected and saw, and ends of the output.", short="-v"),
                _flag("--all", "Of all known jobs."),
                _WHERE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb(
            "answers",
            "A DataFrame of the answers, one row per item.",
            (
                _flag("--failed", "Only items without an answer that will get none."),
                _flag("--with-items", "The columns of the input rows as well."),
                _WHERE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb(
            "history",
            "Every run of a job and how they compare; without an ID all known jobs, a line each.",
            (
                _value("--status", "STATUS", "Only runs, or jobs, with this status."),
                _value("--since", "TIME", "Only runs that began later: `14:00`, `2d`, `2026-11-21`."),
                _value("--until", "TIME", "Only runs that began earlier."),
                _value("--limit", "N", "At most N rows; 0 means all.", short="-n", kind=_number(0), default=0),
                _WHERE,
                _DEBUG,
            ),
            Place("ID", "Id of the job, or the name of a variable that holds it. Default: all jobs."),
        ),
        Verb(
            "logs",
            "The events of a job as lines.",
            (
                _value("--lines", "N", "The last N lines; 0 means all.", short="-n", kind=_number(0), default=50),
                _flag("--follow", "Print what happens until the job has settled or you interrupt.", short="-f"),
                _value("--level", "LEVEL", "DEBUG, INFO, WARNING or ERROR.", default="INFO"),
                _BATCH,
                _value("--event", "NAME", "Only these events: `batch.*`.", dest="events", is_list=True),
                _SINCE,
                _UNTIL,
                _flag("--raw", "With --batch: what its last session printed, as it was printed."),
                _WHERE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb(
            "insights",
            "What earlier jobs came to, by template and rule, and what that says about settings.",
            (
                _value("--what", "TABLE", "Only `templates`, `rules`, `times` or `suggestions`.", choices=_INSIGHTS),
                _value("--limit", "N", "At most N templates; 0 means all.", kind=_number(0), default=10),
                _DEBUG,
            ),
            Place("ABOUT", "A template's name, or the begin of its key, or a job's id. Default: everything."),
        ),
        Verb(
            "diagnose",
            "What went wrong, why, and what to do now.",
            (
                _flag("--include-output", "Also the ends of what sessions of failed batches printed."),
                _WHERE,
                _DEBUG,
            ),
            _ID,
        ),
        Verb("validate", "Check a job file; executes nothing.", (_FIX, _SET, _STRICT, _WORKSPACE, _DEBUG), _FILE),
        Verb(
            "estimate",
            "What a job will cost and how long it will take. Free of charge.",
            (_SET, _MAX, _flag("--offline", "Do not ask the API to count tokens."), _WORKSPACE, _DEBUG),
            _FILE,
        ),
        Verb(
            "notify-test",
            "Send a test message on every channel of `notifications`, once and now.",
            (
                _value("--channel", "N", "Only channel N, counted from 1.", kind=_number(1), default=0),
                _flag("--dry-run", "Only show what would be sent.", short="-n"),
                _DEBUG,
            ),
            _FILE,
        ),
        Verb("dashboard", "The live dashboard of a job.", (_WHERE, _DEBUG), _ID),
        Verb("init", "Put a commented cell below this one, to start from.", (_DEBUG,)),
    )
}
"""Verb → what it takes, in the order of the help."""

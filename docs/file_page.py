"""docs/files.md: every file a job writes, where it is and what is in it, from the structures and tables themselves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import MetaData

from mozart_nb.checkpoint.index import Entry
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.lock import Owner
from mozart_nb.consumers.history import mirror, tables
from mozart_nb.consumers.learning import tables as learning_tables
from mozart_nb.consumers.notify.messages import Delivery, Message
from mozart_nb.engine.ports.around import GateReading
from mozart_nb.engine.ports.keeping import Request
from mozart_nb.hooks.record import HookResult

Table = Callable[[tuple[str, ...], Iterable[tuple[str, ...]]], str]
Fields = Callable[[type[msgspec.Struct]], str]

_INTRODUCTION = """\
All of this is written for the user alone (mode 0600, folders 0700), where the platform has such modes. Lines are UTF-8.
"Checksummed" means that each line is `{"crc":"…","event":{…}}` or `{"crc":"…","answer":{…}}`: a CRC-32 of the bytes
of the inner object, so that a torn line is noticed. Times are seconds since 1970 in UTC, durations seconds, costs US
dollars, and fields that have their default value are left out. **The journal is the truth**: of everything else that is
lost or damaged, whatever can be made anew from it is made anew.

Secrets are masked in all of them but the answers, the raw output of sessions, what a detached hook prints, and the
frozen plan, which holds the commands and texts of the job file as they are. Addresses of webhooks and values of their
headers are kept out of the frozen plan, too.
"""

_OF_JOB: Final[tuple[tuple[str, str, str, str], ...]] = (
    # attribute of Layout, how people write the path, what it is, its form
    ("snapshot", "ID.json", "the state of the job after one event, for a quick start", "JSON, a batch per line"),
    ("mirror", "ID.sqlite", "the same to be queried, with `state_backend: sqlite`", "[SQLite](#the-mirror-of-one-job)"),
    (
        "state_root",
        ".mozart/",
        "what all jobs of the workspace have here; a `.gitignore` keeps it out of git",
        "folder",
    ),
    ("root", ".mozart/ID/", "the job's own folder", "folder"),
    ("journal", ".mozart/ID/journal/", "everything that happened", "folder"),
    ("segment", ".mozart/ID/journal/000001.jsonl", "a part of it, 64 MB at most", "checksummed [events](events.md)"),
    (
        "answers",
        ".mozart/ID/answers.jsonl",
        "an answer per finished attempt",
        "checksummed [answers](events.md#answer)",
    ),
    ("logs", ".mozart/ID/logs/", "raw output of sessions, and of detached hooks (`hook-….log`)", "folder"),
    ("log_stem", ".mozart/ID/logs/0000/0012-1.out", "what batch 12 printed in its first attempt", "as printed"),
    ("log_stem", ".mozart/ID/logs/0000/0012-1.err", "what it printed to standard error", "as printed"),
    ("plan", ".mozart/ID/plan/", "the job as it was planned: a resumed job runs this", "[folder](#the-frozen-plan)"),
    ("previous_plan", ".mozart/ID/plan.previous/", "what the plan replaced (`--reload-config`)", "folder"),
    ("notifications", ".mozart/ID/notifications/", "messages and their delivery", "[folder](#notifications-of-a-job)"),
    ("lock", ".mozart/ID/lock", "who runs the job; locked for as long", "[JSON](#lock)"),
    ("control", ".mozart/ID/control/", "requests of other processes, one file each", "[JSON](#requests)"),
    ("reserve", ".mozart/ID/reserve", "1 MB, given back when the disk is full, for the answers in flight", "zeros"),
    ("snapshot_draft", ".mozart/ID/snapshot.tmp", "a snapshot that is being written", "as the snapshot"),
    ("archiving", ".mozart/ID/archiving", "there while the job is moved to the archive", "a name"),
    ("archive", ".mozart/archive/ID-20261121T070500Z-1/", "a job that was started over (`--fresh`)", "a workspace"),
)
_BESIDE: Final[tuple[tuple[str, str, str], ...]] = (
    (".mozart/ID/hooks.jsonl", "what hooks (`on_success`) did, and which have to be made up for", "[JSON](#hooks)"),
    (".mozart/answers.db", "which answers are kept for which request, for all jobs of the workspace", "SQLite"),
    (".worktrees/ID/", "a [git worktree](isolation.md), with `isolation`", "folder"),
    ("mozart.log", "the log (`logging`): a line per event", "lines for people, or JSON lines"),
    ("mozart.jsonl", "the same with `format: both`", "JSON lines"),
    ("mozart.log.1.gz", "older lines; the higher the number the older", "the same, packed by gzip"),
    (".mozart.log.lock", "held for moments by whoever writes to the log or renames it", "empty"),
)
_OF_USER: Final[tuple[tuple[str, str, str], ...]] = (
    ("index/ID--….json", "where a job is, so that its ID is found from any folder", "[JSON](#index-of-jobs)"),
    ("gates/….json", "waits that all jobs of an account share; named by a hash", "[JSON](#gates)"),
    ("history.db", "what all jobs came to, and what is learned of it", "[SQLite](#the-history)"),
)
_FROZEN: Final[tuple[tuple[str, str], ...]] = (
    ("config.json", "the job file: its text, its folder, and every key with its value"),
    ("texts.json", "the files it names (templates, schemas): name to text"),
    ("items.jsonl", "its rows, with `items`, one per line"),
    ("labels.json", "with rows of a DataFrame: which row is which"),
    ("places.json", "with `state_path`: how to find the workspace"),
)


_OF_OUTBOX: Final[tuple[tuple[str, type[Any]], ...]] = (("outbox.jsonl", Message), ("deliveries.jsonl", Delivery))
_OF_JOBS: Final[tuple[tuple[str, type[Any]], ...]] = (
    ("Lock", Owner),
    ("Requests", Request),
    ("Hooks", HookResult),
    ("Index of jobs", Entry),
    ("Gates", GateReading),
)
"""Headings, and the structures that stand below them."""


def file_page(written: str, table: Table, fields: Fields) -> str:
    """The page; `table` writes a table of Markdown, `fields` the fields of a structure."""
    in_workspace = [(f"`{path}`", what, form) for _, path, what, form in _OF_JOB]
    in_workspace += [(f"`{path}`", what, form) for path, what, form in _BESIDE]
    head = ("file", "what it is", "form")
    parts = ["# Files\n", written, _INTRODUCTION]
    parts += ["## In the workspace\n", "`ID` is the id of the job.", "", table(head, in_workspace)]
    parts += ["## For the user\n", _PLACE, table(head, [(f"`{path}`", what, form) for path, what, form in _OF_USER])]
    parts += ["## The frozen plan\n", table(("file", "what it is"), [(f"`{name}`", what) for name, what in _FROZEN])]
    parts += ["## Notifications of a job\n", _OUTBOX]
    parts += [_structure(title, kind, fields, level=3) for title, kind in _OF_OUTBOX]
    parts += [_structure(title, kind, fields, level=2) for title, kind in _OF_JOBS]
    parts += ["## The history\n", _HISTORY, *_tables(tables.METADATA, table)]
    parts += ["## The mirror of one job\n", _MIRROR, *_tables(mirror.METADATA, table)]
    return "\n".join(parts)


_PLACE: Final = """\
In the folder that `MOZART_NB_HOME` names, else in the platform's place for data of programs
(`~/.local/share/mozart_nb`, `~/Library/Application Support/mozart_nb`, `%LOCALAPPDATA%\\\\mozart_nb`).
"""
_OUTBOX: Final = """\
A message is put into `outbox.jsonl` and delivered by a process of its own, which notes in `deliveries.jsonl` what
became of it; `courier.lock` says that one is at work. No address and no key is in any of them.
"""


_HISTORY: Final = """\
What `mozart history`, `mozart list` and `mozart learning` read. It is filled while jobs run, catches up by the numbers
of events, and can be made anew from the journals at any time (`mozart history --rebuild`). Times that are 0 mean never.
"""
_MIRROR: Final = """\
Every field of the job and of its batches is a column named as in the snapshot, and every attempt is a row. The journal
stays the truth: a mirror that is missing, damaged, of another version or of another journal is made anew.
"""


def described() -> set[str]:
    """Attributes of `Layout` that have a row."""
    assert learning_tables.OUTCOMES.metadata is tables.METADATA  # so that its tables are among those of the history
    return {attribute for attribute, *_ in _OF_JOB}


def of_layout() -> set[str]:
    """What `Layout` says about paths of a job."""
    members = inspect.getmembers(Layout, lambda one: isinstance(one, property) or inspect.isfunction(one))
    returns = {name: getattr(one, "fget", one).__annotations__.get("return") for name, one in members}
    return {name for name, kind in returns.items() if kind == "Path"}


def every_table() -> list[str]:
    return [*tables.METADATA.tables, *mirror.METADATA.tables]


def _structure(title: str, kind: type[msgspec.Struct], fields: Fields, *, level: int) -> str:
    return f"{'#' * level} {title}\n\n{inspect.cleandoc(kind.__doc__ or '')}\n\n{fields(kind)}"


def _tables(metadata: MetaData, table: Table) -> Iterator[str]:
    for name, one in metadata.tables.items():
        rows = [(f"`{column.name}`", _type(column), column.comment or "") for column in one.columns]
        has_meanings = any(meaning for *_, meaning in rows)
        yield f"### `{name}`\n"
        yield table(("column", "type", "meaning")[: 2 + has_meanings], [row[: 2 + has_meanings] for row in rows])


def _type(column: Any) -> str:
    words = {
        "TEXT": "text",
        "INTEGER": "whole number",
        "BIGINT": "whole number",
        "FLOAT": "number",
        "BOOLEAN": "0 or 1",
    }
    name = str(column.type)
    key = " (key)" if column.primary_key else ""
    return f"{words.get(name, name.lower())}{key}"

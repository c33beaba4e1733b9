"""What happens to the sessions that backends open, and what they answer."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mozart_nb.events.base import Event
from mozart_nb.events.records import Outcome, Usage


class SessionOpened(Event, frozen=True, kw_only=True, tag="session.opened"):
    """Journaled before anything is spawned or sent.

    `marker` is a value the session's processes carry in their environment; `outlives`: the session survives the death
    of its host and can be adopted or read; `parked`: its answer comes together with many others. `log` is the path of
    the raw output below the job's folder, without suffix. `files` are the signatures of the files that rules name,
    taken just before ("" for a file that did not exist). `request_hash` as in `session.finished`.
    """

    batch: int
    attempt: int
    session_id: str = ""
    marker: str = ""
    log: str = ""
    outlives: bool = False
    continues: bool = False
    prompt_tokens: int = 0
    prompt_hash: str = ""
    request_hash: str = ""
    parked: bool = False
    files: dict[str, str] = msgspec.field(default_factory=dict)


class SessionProgress(Event, frozen=True, kw_only=True, tag="session.progress"):
    """A live session printed something. Told to observers only; never journaled, latest wins."""

    batch: int
    attempt: int
    bytes_received: int = 0
    lines_received: int = 0
    note: str = ""


class SessionFinished(Event, frozen=True, kw_only=True, tag="session.finished"):
    """A session came to its end, well or badly; its cost counts whatever happens next.

    `code` is the classifier's verdict, empty for success. `answer_at`/`answer_size` locate the answer's line in
    `answers.jsonl` (bytes), `characters` is the length of its text. `retry_after` is the wait in seconds a server or
    message named, 0 if none. `saved_usd` is what the prompt cache saved. `request_hash` is the identity of the batch's
    request where answers are kept by content; `reused`: no session was opened, an answer kept for that request stands.
    """

    batch: int
    attempt: int
    outcome: Outcome
    code: str = ""
    message: str = ""
    exit_code: int | None = None
    signal: int = 0
    duration: float = 0.0
    usage: Usage = Usage()
    cost_usd: float | None = None
    saved_usd: float = 0.0
    model: str = ""
    turns: int = 0
    session_id: str = ""
    request_hash: str = ""
    reused: bool = False
    retry_after: float = 0.0
    retry_source: str = ""
    warnings: tuple[str, ...] = ()
    answer_at: int = -1
    answer_size: int = 0
    characters: int = 0


class SessionAbandoned(Event, frozen=True, kw_only=True, tag="session.abandoned"):
    """The session is gone without a result and not through its own fault: its budget is refunded, its cost is not."""

    batch: int
    attempt: int
    reason: str
    cost_usd: float | None = None


class SessionAdopted(Event, frozen=True, kw_only=True, tag="session.adopted"):
    """A session that outlived its host was found again: still `running` (followed) or `finished` (read)."""

    batch: int
    attempt: int
    how: Literal["running", "finished"]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of `answers.jsonl`: what a session answered, and the event that says so.

    `data` is the answer as JSON data where that was asked for. The line is synced before its event. An answer that no
    event refers to (the host died in between) becomes its `session.finished` at the next load, so nothing paid for is
    lost.
    """

    finished: SessionFinished
    text: str = ""
    data: Any = None

"""Reads what was counted out of `history.db`. Imports SQLAlchemy when it is used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from mozart_nb.consumers.learning.tally import Tally, merged
from mozart_nb.errors import WorldError

if TYPE_CHECKING:
    from sqlalchemy import Connection

SHORTEST_KEY: Final = 6
"""Characters of a template's digest by which it may be asked for."""


class Counts(msgspec.Struct, frozen=True):
    """What was counted of one template in one journal of one job. `journals` is 1, and more for several together."""

    job_id: str
    state_workspace: str
    template: str
    hints: bool
    name: str
    is_rehearsal: bool
    last_at: float
    tally: Tally
    jobs: frozenset[tuple[str, str]] = frozenset()

    def about(self, wanted: str) -> bool:
        """Whether somebody who names `wanted` means this: its job, its template's name, or the begin of its digest."""
        begin = wanted.lower()
        is_key = len(begin) >= SHORTEST_KEY and self.template.startswith(begin)
        return wanted in (self.job_id, self.name) or is_key


def read_counts(database: Path, *, template: str = "") -> list[Counts]:
    """Everything that was counted, or all of one template; the newest first. Nothing where there is no history yet.

    Raises `WorldError` for a history that cannot be read.
    """
    if not database.is_file():
        return []
    from sqlalchemy.exc import DBAPIError

    from mozart_nb.consumers.history.database import opened

    try:
        with opened(database) as history, history.reading() as connection:
            return counts_in(connection, template)
    except (DBAPIError, OSError) as error:
        said = f"{database} cannot be read: {error}"
        raise WorldError(said, hint="`mozart history --rebuild` makes it anew") from error


def counts_in(connection: Connection, template: str = "") -> list[Counts]:
    """As `read_counts`, of a history that is open. Raises `DBAPIError`, and `WorldError` for unfit counts."""
    from sqlalchemy import select

    from mozart_nb.consumers.history.tables import JOBS
    from mozart_nb.consumers.learning.tables import OUTCOMES

    wanted = select(
        JOBS.c.job_id,
        JOBS.c.state_workspace,
        OUTCOMES.c.template,
        OUTCOMES.c.hints,
        OUTCOMES.c.name,
        OUTCOMES.c.is_rehearsal,
        OUTCOMES.c.last_at,
        OUTCOMES.c.tally,
    ).join_from(OUTCOMES, JOBS)
    if template:
        wanted = wanted.where(OUTCOMES.c.template == template)
    decode = msgspec.json.Decoder(Tally).decode
    rows = connection.execute(wanted.order_by(OUTCOMES.c.last_at.desc()))
    try:
        return [Counts(*row[:-1], decode(row[-1])) for row in rows]
    except (msgspec.DecodeError, TypeError) as error:  # what no file system and no check of SQLite's can notice
        said = f"the counts of earlier outcomes cannot be read: {error}"
        raise WorldError(said, hint="`mozart history --rebuild` makes them anew") from error


def together(counts: Iterable[Counts], *, by_hints: bool = True) -> list[Counts]:
    """Counts of the same template added up, in the order in which templates come first; rehearsals stand apart.

    `by_hints` keeps apart what was asked with hints and without. Name and job are those of the first.
    """
    groups: dict[tuple[str, bool, bool], Counts] = {}
    for one in counts:
        key = (one.template, one.is_rehearsal, one.hints and by_hints)
        jobs = one.jobs or frozenset({(one.job_id, one.state_workspace)})
        before = groups.get(key)
        if before is None:
            groups[key] = msgspec.structs.replace(one, hints=key[2], jobs=jobs)
            continue
        groups[key] = msgspec.structs.replace(
            before,
            last_at=max(before.last_at, one.last_at),
            tally=merged(before.tally, one.tally),
            jobs=before.jobs | jobs,
        )
    return list(groups.values())

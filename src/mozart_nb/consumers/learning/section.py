"""Keeps the counts of outcomes in `history.db`, in step with the journals. Imports no database at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mozart_nb import events as ev
from mozart_nb.consumers.history import News
from mozart_nb.consumers.learning.outcomes import KINDS, Outcome, OutcomeReader, Watch
from mozart_nb.consumers.learning.tally import Tally

if TYPE_CHECKING:
    from sqlalchemy import Connection

Key = tuple[str, bool]
"""Template, and whether hints were in its prompts."""


class Counted(msgspec.Struct):
    """What was counted of one template in one journal."""

    name: str = ""
    last_at: float = 0.0
    tally: Tally = msgspec.field(default_factory=Tally)


class Account:
    """All outcomes of one journal, counted by template. The same whether its events come at once or one by one."""

    def __init__(self, watch: Watch | None = None) -> None:
        self.watch = watch if watch is not None else Watch()
        self.counted: dict[Key, Counted] = {}
        self.changed: set[Key] = set()
        self._reader = OutcomeReader(self.watch)

    @property
    def key(self) -> Key:
        """What outcomes count for now. The template is empty where nothing is to be learned."""
        return self.watch.wording.template, bool(self.watch.wording.hints)

    def hear(self, event: ev.Event) -> None:
        """Count what this event brings to its end."""
        outcome = self._reader.hear(event)
        if outcome is not None and self.watch.wording.template:
            self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        key = self.key
        counted = self.counted.get(key)
        if counted is None:
            counted = self.counted[key] = Counted()
        counted.name, counted.last_at = self.watch.wording.name, outcome.at
        counted.tally.take(outcome)
        self.changed.add(key)


class LearningSection:
    """The part of the history that learning has. What it counts is `Account`; here it is kept.

    What is in memory is used only while the tables say the same: a transaction that failed takes its counts away.
    """

    kinds = KINDS

    def __init__(self) -> None:
        self._account: Account | None = None
        self._place: tuple[int, str, int] = (0, "", 0)

    def write(self, connection: Connection, news: News) -> None:
        """Count these events. Raises what SQLAlchemy raises."""
        account = self._go_on(connection, news)
        for event in news.events:
            account.hear(event)
        if news.events:
            self._save(connection, news, account)

    def forget(self, connection: Connection, job: int, journal: str) -> None:
        """Remove what was counted of the job from this journal. Raises what SQLAlchemy raises."""
        from mozart_nb.consumers.learning.tables import OUTCOMES, WATCHES

        self._account = None
        for table in (OUTCOMES, WATCHES):
            connection.execute(table.delete().where((table.c.job == job) & (table.c.journal == journal)))

    def _go_on(self, connection: Connection, news: News) -> Account:
        """The account of this journal, as far as the tables know it."""
        from mozart_nb.consumers.learning.tables import WATCHES

        of_it = (WATCHES.c.job == news.job) & (WATCHES.c.journal == news.journal)
        seq = connection.execute(WATCHES.select().with_only_columns(WATCHES.c.seq).where(of_it)).scalar_one_or_none()
        if self._account is not None and self._place == (news.job, news.journal, seq):
            return self._account
        return self._read(connection, news) if seq is not None else Account()

    def _read(self, connection: Connection, news: News) -> Account:
        from mozart_nb.consumers.learning.tables import OUTCOMES, WATCHES

        of_it = (WATCHES.c.job == news.job) & (WATCHES.c.journal == news.journal)
        row = connection.execute(WATCHES.select().where(of_it)).one()
        account = Account(msgspec.json.decode(row.watch, type=Watch))
        of_it = (OUTCOMES.c.job == news.job) & (OUTCOMES.c.journal == news.journal)
        for row in connection.execute(OUTCOMES.select().where(of_it)):
            tally = msgspec.json.decode(row.tally, type=Tally)
            account.counted[row.template, row.hints] = Counted(row.name, row.last_at, tally)
        return account

    def _save(self, connection: Connection, news: News, account: Account) -> None:
        from sqlalchemy.dialects.sqlite import insert

        from mozart_nb.consumers.learning.tables import OUTCOMES, WATCHES

        watch = account.watch
        remembered = {
            "job": news.job,
            "journal": news.journal,
            "seq": watch.seq,
            "watch": msgspec.json.encode(watch).decode(),
        }
        upsert = insert(WATCHES).values(remembered)
        connection.execute(upsert.on_conflict_do_update(index_elements=["job", "journal"], set_=dict(upsert.excluded)))
        for key in account.changed:
            counted = account.counted[key]
            row = {
                "job": news.job,
                "journal": news.journal,
                "template": key[0],
                "hints": key[1],
                "name": counted.name,
                "is_rehearsal": news.identity.is_rehearsal,
                "last_at": counted.last_at,
                "tally": msgspec.json.encode(counted.tally).decode(),
            }
            upsert = insert(OUTCOMES).values(row)
            keys = ["job", "journal", "template", "hints"]
            connection.execute(upsert.on_conflict_do_update(index_elements=keys, set_=dict(upsert.excluded)))
        account.changed.clear()
        self._account, self._place = account, (news.job, news.journal, watch.seq)

"""The tables of what was learned, in `history.db`. Imported late: SQLAlchemy costs a quarter of a second.

Counts, not attempts: a row is a few kilobytes, however many batches it stands for. So nothing has to be pruned.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table, Text

from mozart_nb.consumers.history.tables import METADATA

OUTCOMES: Final = Table(
    "outcomes",
    METADATA,
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, comment="the job, `jobs.id`"),
    Column("journal", Text, primary_key=True, comment="identity of the journal that was counted"),
    Column("template", Text, primary_key=True, comment="SHA-256 of the template"),
    Column("hints", Boolean, primary_key=True, comment="whether hints of earlier outcomes were in its prompts"),
    Column("name", Text, nullable=False, comment="file of the template, or the name of the job that has it"),
    Column("is_rehearsal", Boolean, nullable=False, comment="nobody was asked: the answers are made up"),
    Column("last_at", Float, nullable=False, comment="newest outcome, epoch seconds"),
    Column("tally", Text, nullable=False, comment="what was counted, as JSON"),
    Index("outcomes_by_template", "template"),
    comment="counts of outcomes: one row per journal of a job and template",
)

WATCHES: Final = Table(
    "watches",
    METADATA,
    Column("job", ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, comment="the job, `jobs.id`"),
    Column("journal", Text, primary_key=True, comment="identity of the journal that is counted"),
    Column("seq", Integer, nullable=False, comment="events up to this one are counted"),
    Column("watch", Text, nullable=False, comment="what counting has to remember between two events, as JSON"),
    comment="how far counting outcomes has come, per journal of a job",
)

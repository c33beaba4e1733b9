"""What the history is told of, and by whom it is extended. Imports no database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from mozart_nb.engine.state import BatchState, JobRecord
from mozart_nb.events import Event

if TYPE_CHECKING:
    from sqlalchemy import Connection


class JobIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Which job it is, as far as its journal does not say.

    `state_workspace` is the folder that holds its state, `workspace` the one it works in. `template` names the prompt
    template (a file, or empty for one in the job file), `template_digest` tells versions of it apart. `is_rehearsal`:
    its answers are made up.
    """

    job_id: str
    state_workspace: str
    workspace: str = ""
    name: str = ""
    template: str = ""
    template_digest: str = ""
    backend: str = ""
    is_rehearsal: bool = False


class News(msgspec.Struct, frozen=True):
    """What a section is told of within one transaction.

    `job` is `jobs.id`, `journal` the identity of the job's present journal. `events` are those of the section's
    `kinds`, in order; each is told once, whatever crashes in between, and those of one transaction may come in several
    parts. `record` is the job as it stands, `batches` are copies of the batches that were touched lately, as they stand
    (possibly somewhat newer than `events`, and the same one again and again); none while events are caught up with.
    """

    job: int
    journal: str
    identity: JobIdentity
    record: JobRecord
    events: Sequence[Event] = ()
    batches: Sequence[BatchState] = ()


class Section(Protocol):
    """Tables of another consumer in `history.db`, kept in step with the journals by the same writer.

    Its tables are declared on `tables.METADATA` (in a module that is imported late) and created by a migration of its
    own in `migrations.MIGRATIONS`. `write` and `forget` run in the thread of the history, inside the transaction that
    moves the job's cursor on: when that fails and is tried again, they are called again with the same events. So a
    section keeps nothing between two calls that it could not read from its own tables. They raise whatever SQLAlchemy
    raises.
    """

    @property
    def kinds(self) -> frozenset[type[Event]]:
        """The events it wants to be told of."""

    def write(self, connection: Connection, news: News) -> None:
        """Add to its tables what these events say."""

    def forget(self, connection: Connection, job: int, journal: str) -> None:
        """Remove what it knows of the job (`jobs.id`) from this journal: it is read anew from its first event.

        A job that was started over has another journal; what the earlier one taught stays.
        """

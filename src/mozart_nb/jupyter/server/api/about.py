"""Operations that are about no job: whether the server answers, and how the conductor is."""

from __future__ import annotations

from typing import Final, cast

from mozart_nb.errors import ConductorAbsentError, ConductorError
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.jupyter.server.api import models, queries
from mozart_nb.jupyter.server.api.operation import Ask
from mozart_nb.looking.board.masks import masked_data
from mozart_nb.masking import masked

ANSWER_SECONDS: Final = 10.0
"""How long the conductor may take to say how it is: a page waits for it."""


def health(ask: Ask[queries.Query, None]) -> models.Health:
    from mozart_nb import __version__

    return models.Health(status="healthy", service="mozart_nb", version=__version__)


def conductor(ask: Ask[queries.Query, None]) -> models.ConductorDocument:
    try:
        with ConductorClient.connect(timeout_seconds=2.0, answer_seconds=ANSWER_SECONDS) as client:
            figures = masked_data(client.call("health"))
    except (ConductorAbsentError, ConductorError) as error:  # absent, or too busy to say how it is
        is_running = not isinstance(error, ConductorAbsentError)
        return models.ConductorDocument(is_running=is_running, said=masked(error.message), figures=None)
    return models.ConductorDocument(
        is_running=True, said="", figures=cast("dict[str, object]", figures if isinstance(figures, dict) else {})
    )

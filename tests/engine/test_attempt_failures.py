"""What goes wrong around a session, before anything is sent, costs its batch and nothing else."""

from __future__ import annotations

import pytest
from support.engine import PlainComposer, World

from mozart_nb.engine.attempt import Composed
from mozart_nb.engine.state import BatchState
from mozart_nb.errors import PromptError
from mozart_nb.events import SessionOpened


class StumblingComposer(PlainComposer):
    """Cannot make the prompt of batch 1."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    async def compose(self, batch: BatchState, *, continues: bool) -> Composed:
        if batch.number == 1:
            raise self._error
        return await super().compose(batch, continues=continues)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/gone/notes.md"), "E601", "/gone/notes.md"),
        (PermissionError(13, "Permission denied"), "E601", "Permission denied"),
        (PromptError("there is no variable `itmes`"), "E502", "`itmes`"),
        (KeyError("surprise"), "E999", "surprise"),
    ],
)
def test_what_keeps_a_prompt_from_being_made_has_a_code(error: Exception, code: str, words: str) -> None:
    world = World(batches=2, parallel={"enabled": True, "fail_fast": False})
    world.composer = StumblingComposer(error)
    state = world.run()
    assert state.batches[1].code == code
    assert words in state.batches[1].message
    assert {event.batch for event in world.all(SessionOpened)} <= {2}

"""The page that a job is written, checked, rehearsed and started on; scripts ask the API for all of that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mozart_nb.jupyter.server.pages.shared import Page

EXAMPLE: Final = """\
# A job: a prompt, what it is repeated for, and how its answers are checked.
name: first-job
workspace: ./first-job

backend:
  type: rehearsal        # calls nothing and costs nothing; later: claude_cli or anthropic_api

batch:
  size: 1                # items per batch
  total_items: 12

prompt:
  template: |
    Write one sentence about the number {{ start_item }}.

parallel:
  enabled: true
  max_concurrent: 3
"""


@dataclass(frozen=True, slots=True)
class NewView:
    """What the editor begins with. `base` is the folder that the server was started for."""

    yaml: str
    base: str


class New(Page):
    """`/mozart/new`."""

    place = "new"

    def get(self) -> None:
        server = self.app.serverapp
        base = Path.cwd() if self.app.is_standalone or server is None else Path(server.root_dir)
        self.show("new.html", page=NewView(EXAMPLE, str(base)))

"""Jobs whose sessions do what their prompt says, for tests of remedies: whole runs with real files and processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from support.obedient import write_obedient

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.engine.ports import Healing
from mozart_nb.engine.state import BatchState, JobState
from mozart_nb.healing import Ask
from mozart_nb.job.load import load_job
from mozart_nb.runtime import Prepared, open_job, prepare, run_job

QUICK = {"max_retries": 0, "max_completion_attempts": 0, "base_delay_seconds": 0.01, "jitter": False}


class Ward:
    """Writes a job file into `folder` and runs it with the stand-in for `claude`; self-healing is on.

    The state is kept apart from the workspace, so that the workspace may be removed under a running job.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "ws"
        self.file = folder / "job.yaml"
        self.program = write_obedient(folder)
        self.asked: list[str] = []

    def write(self, prompt: str, **sections: Any) -> Prepared:
        """`prompt` is what the session executes; `sections` are further ones of the job file."""
        backend = {"type": "claude_cli", "cli_path": self.program, **sections.pop("backend", {})}
        config = {
            "name": "ailing",
            "workspace": "./ws",
            "state_path": "./state/",
            "backend": backend,
            "batch": {"size": 1, "total_items": 1},
            "prompt": {"template": f"{prompt}\n# that is all"},
            "retry": QUICK,
            **sections,
        }
        self.file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return prepare(load_job(self.file))

    def run(self, prepared: Prepared, *, answer: bool | None = None, heals: bool = True, **run: Any) -> BatchState:
        """The first batch after a run. `answer` is what a person says to every question; None: nobody is there."""
        ask = None if answer is None else self._asker(answer)
        options = ev.RunOptions(self_healing=heals)
        self.state: JobState = asyncio.run(run_job(prepared, options, ask=ask, **run))
        self.prepared = prepared
        return self.state.batches.get(1, BatchState(1))

    def again(self) -> Prepared:
        """The same job as it was frozen, ready to be resumed."""
        return open_job("ailing", self.folder / "state")

    def _asker(self, answer: bool) -> Ask:
        async def ask(question: str) -> bool:
            self.asked.append(question)
            return answer

        return ask

    @property
    def healings(self) -> Sequence[Healing]:
        """What the journal says about remedies."""
        events = [event for event in read_events(self.prepared.layout) if isinstance(event, ev.BatchHealed)]
        return [Healing(event.remedy, event.guidance) for event in events]

    @property
    def sessions(self) -> int:
        """How many sessions were opened."""
        return sum(isinstance(event, ev.SessionOpened) for event in read_events(self.prepared.layout))

"""A job that fails for a reason of the world, what `diagnose` says about it at the top, and the step that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from support.anthropic_server import AnthropicServer, Call, Reply
from support.commands import Ended, mozart
from support.obedient import write_obedient

from mozart_nb.checkpoint.layout import Layout

ONCE = {"max_retries": 0, "max_completion_attempts": 0, "base_delay_seconds": 0.01, "jitter": False}
ONE = {"size": 1, "total_items": 1}
TOP = 10
"""Lines of a diagnosis in which the cause and the next step have to stand."""

_COMMAND = re.compile(r"^next: .*`mozart ([^`]+)`", re.MULTILINE)


class Scene:
    """One job file in `folder`, of two batches that are tried once; `served` is the API on loopback."""

    def __init__(self, folder: Path, served: AnthropicServer) -> None:
        self.folder = folder
        self.file = folder / "job.yaml"
        self.workspace = folder / "ws"
        self.served = served
        self.claude = ""

    @property
    def layout(self) -> Layout:
        return Layout(self.workspace, "failing")

    def write(self, **sections: Any) -> None:
        """The job file; `sections` replace those of a small job or add to it."""
        job = {
            "name": "failing",
            "workspace": str(self.workspace),
            "batch": {"size": 1, "total_items": 2},
            "prompt": {"template": "Say something about item {{ batch_num }}."},
            "retry": ONCE,
            **sections,
        }
        self.file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")

    def run(self, **sections: Any) -> Ended:
        self.write(**sections)
        return mozart("run", self.file)

    def answers(self, *replies: Reply) -> None:
        """What the API says in turn from now on; the last reply is repeated."""
        asked = len(self.served.calls)

        def handler(call: Call) -> Reply:
            return replies[min(call.number - asked, len(replies)) - 1]

        self.served.handler = handler

    # --- backends -----------------------------------------------------------------------------------------------------

    def api(self, **more: Any) -> dict[str, Any]:
        """The Messages API, served on loopback."""
        address = {"model": "claude-haiku-4-5", "base_url": self.served.url}
        return {"type": "anthropic_api", "max_tokens": 100, **address, **more}

    def real(self, **more: Any) -> dict[str, Any]:
        """The real `claude` program, which does not try again by itself."""
        env = {"CLAUDE_CODE_MAX_RETRIES": "0", **more.pop("env", {})}
        return {"type": "claude_cli", "cli_path": self.claude, "setting_sources": [], "env": env, **more}

    def wrapped(self, line: str, **more: Any) -> dict[str, Any]:
        """The real program behind a shell that first executes `line`, but not when it is asked for its version."""
        wrapper = self.folder / "wrapped-claude"
        condition = '[ "$1" = --version ]'
        wrapper.write_text(f'#!/bin/sh\n{condition} || {{ {line}; }}\nexec {self.claude} "$@"\n')
        wrapper.chmod(0o755)
        return self.real(cli_path=str(wrapper), **more)

    def obedient(self, **more: Any) -> dict[str, Any]:
        """A program that does what its prompt says."""
        return {"type": "claude_cli", "cli_path": write_obedient(self.folder), **more}

    # --- what is said about it ----------------------------------------------------------------------------------------

    def top(self, target: str | Path = "failing") -> Top:
        """The first lines of `mozart diagnose` for the job, or for a job file."""
        where = ("-w", self.workspace) if target == "failing" else ()
        ended = mozart("diagnose", target, *where)
        return Top(self, ended)


class Top:
    """The first ten lines of a diagnosis."""

    def __init__(self, scene: Scene, ended: Ended) -> None:
        self._scene = scene
        self.ended = ended
        self.text = "\n".join(ended.stdout.splitlines()[:TOP])

    def says(self, *words: str) -> Top:
        """Each of `words` stands in it."""
        missing = [word for word in words if word not in self.text]
        assert not missing, f"the first ten lines do not say {missing}:\n{self.text}\n---\n{self.ended}"
        return self

    @property
    def command(self) -> list[str]:
        """The command of ours that the next step names, as its words."""
        found = _COMMAND.search(self.text)
        assert found, f"no command is named as the next step:\n{self.text}\n---\n{self.ended}"
        return found[1].split()

    def followed(self) -> Ended:
        """How that command ends."""
        return mozart(*self.command, "-w", self._scene.workspace)

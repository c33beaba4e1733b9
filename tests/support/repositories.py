"""Real git repositories for tests, and jobs that work in them."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.engine.state import JobState
from mozart_nb.isolation import Git
from mozart_nb.job.load import load_job
from mozart_nb.runtime import Prepared, prepare, run_job

COMMIT = "git add --all . && { git diff --cached --quiet || git commit --quiet -m 'batch {batch_num}'; }"
"""A rule that commits what a batch has written, as a session would."""


class Repo:
    """A repository with one commit, whose user is known to git here and nowhere else."""

    def __init__(self, root: Path, *, commits: bool = True) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.configure(root)
        if commits:
            self.commit({"README.md": "a repository\n"})

    def configure(self, folder: Path) -> None:
        self.git("config", "user.name", "Ada", folder=folder)
        self.git("config", "user.email", "ada@example.org", folder=folder)

    def git(self, *words: str, folder: Path | None = None, fails: bool = False) -> str:
        ended = subprocess.run(["git", *words], cwd=folder or self.root, capture_output=True, text=True, check=False)
        assert fails or not ended.returncode, ended.stderr
        return ended.stdout.strip()

    def commit(self, files: dict[str, str], message: str = "a commit", folder: Path | None = None) -> str:
        for name, text in files.items():
            path = (folder or self.root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self.git("add", "--force", name, folder=folder)
        self.git("commit", "--quiet", "-m", message, folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    def subjects(self, branch: str) -> list[str]:
        """What the commits of a branch are called, the last one first, without what was there before."""
        return self.git("log", "--format=%s", f"main..{branch}").splitlines()

    def files(self, branch: str) -> set[str]:
        return set(self.git("ls-tree", "-r", "--name-only", branch).splitlines())

    def branches(self) -> set[str]:
        return set(self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines())

    def worktrees(self) -> list[Path]:
        """All but the checkout itself."""
        lines = self.git("worktree", "list", "--porcelain").splitlines()
        paths = [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")]
        return [path for path in paths if path != self.root]

    def locked(self) -> list[str]:
        """Why worktrees are locked."""
        lines = self.git("worktree", "list", "--porcelain").splitlines()
        return [line.removeprefix("locked ") for line in lines if line.startswith("locked")]

    def is_sound(self) -> bool:
        """Whether git finds nothing wrong, and no commit that has no name."""
        return self.git("fsck", "--full", "--strict", "--no-dangling", fails=False) == ""

    def is_clean(self) -> bool:
        return self.git("status", "--porcelain") == ""


class Work:
    """A job file in a repository, or elsewhere, run with the rehearsal backend in a workspace outside of it."""

    def __init__(self, repo: Repo, workspace: Path, folder: Path | None = None) -> None:
        self.repo = repo
        self.workspace = workspace
        self.folder = folder or repo.root

    def prepared(self, *rules: str, isolation: Any = None, total: int = 2, **sections: Any) -> Prepared:
        """A job whose batches write `out-N.md` each; then `rules` are run in the working directory."""
        commands = [{"type": "command_succeeds", "command": rule, "working_directory": "."} for rule in rules]
        config: dict[str, Any] = {
            "name": "notes",
            "workspace": str(self.workspace),
            "backend": {"type": "rehearsal"},
            "batch": {"size": 1, "total_items": total},
            "prompt": {"template": "write {{ batch_num }}"},
            "rehearsal": {"latency_seconds": 0, "writes": {"out-{{ batch_num }}.md": "batch {{ batch_num }}"}},
            "validations": [{"type": "file_exists", "path": "out-{batch_num}.md"}, *commands],
            "retry": {"max_retries": 0, "max_completion_attempts": 0},
            "isolation": {"enabled": True, **(isolation or {})},
            **sections,
        }
        self.workspace.mkdir(parents=True, exist_ok=True)
        file = self.workspace.parent / f"{self.workspace.name}.yaml"
        backend = {"working_directory": str(self.folder), **config["backend"]}
        file.write_text(yaml.safe_dump({**config, "backend": backend}))
        return prepare(load_job(file))

    def run(self, prepared: Prepared, *, options: ev.RunOptions | None = None, **how: Any) -> JobState:
        return asyncio.run(self.going(prepared, options=options, **how))

    async def going(self, prepared: Prepared, *, options: ev.RunOptions | None = None, **how: Any) -> JobState:
        self.told: list[str] = []

        def observe(events: Sequence[ev.Event]) -> None:
            self.told += [event.message for event in events if isinstance(event, ev.JobNotice)]

        return await run_job(prepared, options or ev.RunOptions(), observers=[observe], **how)

    def events(self, prepared: Prepared, kind: type[ev.Event]) -> list[Any]:
        return [event for event in read_events(prepared.layout) if isinstance(event, kind)]


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


@pytest.fixture
def work(repo: Repo, tmp_path: Path) -> Work:
    return Work(repo, tmp_path / "ws")


@pytest.fixture
def git() -> Git:
    return Git()

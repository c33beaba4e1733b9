"""Fixtures around the real `claude` program; loaded for every test by `tests/conftest.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.anthropic_server import AnthropicServer

from mozart_nb.engine.ports import SessionRequest

_ROOT = Path(__file__).parents[2]


def find_claude() -> Path | None:
    """The program that tests may start: `MOZART_NB_CLAUDE`, else one installed below `.tools/` of the repository."""
    candidates = [os.environ.get("MOZART_NB_CLAUDE", ""), str(_ROOT / ".tools/claude/node_modules/.bin/claude")]
    return next((Path(path) for path in candidates if path and os.access(path, os.X_OK)), None)


@pytest.fixture
def claude_path() -> str:
    """Path of the real `claude`; the test is skipped where there is none."""
    path = find_claude()
    if path is None:
        pytest.skip("no claude program: set MOZART_NB_CLAUDE or install it below .tools/claude")
    return str(path)


@pytest.fixture
def api() -> Iterator[AnthropicServer]:
    """A server of the Messages API on loopback; scripted through `api.handler`."""
    with AnthropicServer().in_thread() as server:
        yield server


@pytest.fixture
def claude_env(isolated: Path, api: AnthropicServer) -> dict[str, str]:
    """An environment in which `claude` knows nobody but `api`: own HOME and settings, a key that is none."""
    return clean_environment(isolated, api.url)


def clean_environment(home: Path, url: str) -> dict[str, str]:
    """What a `claude` process gets in tests. `IS_SANDBOX`: tests may run as root, in folders of their own."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home / "home"),
        "CLAUDE_CONFIG_DIR": str(home / "claude_config_dir"),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "not-a-key",
        "IS_SANDBOX": "1",
    }


class Recorder:
    """A report that remembers."""

    def __init__(self) -> None:
        self.opened_with: list[str] = []
        self.totals: list[tuple[int, int, str]] = []
        self.detaching = False

    async def opened(self, session_id: str) -> None:
        self.opened_with.append(session_id)

    def progress(self, bytes_received: int, lines_received: int, note: str = "") -> None:
        self.totals.append((bytes_received, lines_received, note))


@pytest.fixture
def make_request(tmp_path: Path) -> Callable[..., SessionRequest]:
    """Requests with an id, a marker and a log of their own, working in `tmp_path / "work"`."""
    work = tmp_path / "work"
    work.mkdir(exist_ok=True)

    def make(prompt: str = "hello", *, options: Mapping[str, Any] | None = None, **fields: Any) -> SessionRequest:
        session_id = str(uuid.uuid4())
        given: dict[str, Any] = {
            "job_id": "job",
            "batch": 1,
            "attempt": 1,
            "mode": "first",
            "session_id": session_id,
            "marker": f"test-{uuid.uuid4().hex}",
            "log": str(tmp_path / "logs" / "0000" / f"{session_id}-1"),
            "working_directory": str(work),
            "workspace": str(work),
            "timeout_seconds": 60.0,
            "kill_grace_seconds": 5.0,
            **fields,
        }
        return SessionRequest(prompt=prompt, options=options or {}, **given)

    return make


_HOST = """
import asyncio, os, sys
from msgspec import json
from mozart_nb.backends.claude_cli import ClaudeCliBackend
from mozart_nb.clock import SystemClock
from mozart_nb.engine.ports import SessionRequest

class Report:
    detaching = False
    async def opened(self, session_id): pass
    def progress(self, *totals): pass

request = json.decode(sys.argv[1], type=SessionRequest)
asyncio.run(ClaudeCliBackend(SystemClock(), dict(os.environ)).run(request, Report()))
"""


def start_host(request: SessionRequest, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process of its own that runs `request` with the `claude` backend; to be killed by whoever started it."""
    arguments = [sys.executable, "-c", _HOST, msgspec.json.encode(request).decode()]
    return subprocess.Popen(arguments, env=dict(environ))

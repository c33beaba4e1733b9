"""Every test here makes one failure happen for real and reads what `mozart diagnose` says about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.anthropic_server import AnthropicServer
from support.claude import clean_environment
from support.scenes import Scene


@pytest.fixture
def scene(tmp_path: Path, api: AnthropicServer, isolated: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A job about to fail, in an environment that knows nobody but the API on loopback."""
    for name, value in clean_environment(isolated, api.url).items():
        monkeypatch.setenv(name, value)
    return Scene(tmp_path, api)


@pytest.fixture
def real_scene(scene: Scene, claude_path: str) -> Scene:
    """The same with the real `claude` program."""
    scene.claude = claude_path
    return scene

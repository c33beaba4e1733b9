"""What hosts in processes of their own get to see."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def claude_host(claude_env: dict[str, str]) -> dict[str, str]:
    """The environment of a host that drives the real `claude`: it knows nobody but the test's own server."""
    own = {name: os.environ[name] for name in ("MOZART_NB_HOME", "PYTHONPATH") if name in os.environ}
    return {**claude_env, **own}

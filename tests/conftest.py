"""What every test relies on: an environment of its own, no network but loopback, and coroutines as tests."""

from __future__ import annotations

import asyncio
import inspect
import ipaddress
import itertools
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # so that tests say `from support.… import …`

# Fewer examples than by default, so that the suite stays under ten minutes; chance finds the rest over many runs.
# No deadline: a machine that is busy for a moment is no failure of what is tested.
settings.register_profile("suite", max_examples=int(os.environ.get("MOZART_NB_EXAMPLES", "50")), deadline=None)
settings.load_profile("suite")

pytest_plugins = ["support.claude", "support.required"]

_FOREIGN = ("ANTHROPIC_", "CLAUDE", "MOZART_NB_")
_FOLDERS = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")
_OURS = ("CLAUDE_CONFIG_DIR", "MOZART_NB_HOME")
_homes = itertools.count(1)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def test_…` in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session")
def empty_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history without jobs, to be copied: making its tables takes as long as a small job."""
    from mozart_nb.consumers.history.database import opened

    path = tmp_path_factory.mktemp("history") / "history.db"
    with opened(path):
        pass
    return path


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, empty_history: Path) -> Path:
    """Nothing of the machine gets in, and nothing gets out: own folders, no credentials, loopback only.

    Returns the folder that holds HOME and its like.
    """
    # `mktemp` looks through all folders there are, which adds up over thousands of tests.
    root = tmp_path_factory.getbasetemp() / f"home-{next(_homes)}"
    root.mkdir()
    for name in [name for name in os.environ if name.startswith(_FOREIGN) and name != "MOZART_NB_CLAUDE"]:
        monkeypatch.delenv(name)
    for name in (*_FOLDERS, *_OURS):
        folder = root / name.lower()
        folder.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(folder))
    monkeypatch.setenv("MOZART_NB_COURIER_ENDS_WITH", str(os.getpid()))  # no courier outlives the suite
    shutil.copy2(empty_history, root / "mozart_nb_home")
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
    monkeypatch.setattr(socket, "getaddrinfo", _guarded_lookup(socket.getaddrinfo))
    return root


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _require_loopback(address[0])
        return connect(self, address)

    return guarded


def _guarded_lookup(lookup: Any) -> Any:
    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        _require_loopback(host)
        return lookup(host, *args, **kwargs)

    return guarded


def _require_loopback(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        loopback = ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        loopback = False
    if not loopback and name not in ("0.0.0.0", "::"):
        raise PermissionError(f"a test tried to reach {name}: only this machine's loopback is allowed")

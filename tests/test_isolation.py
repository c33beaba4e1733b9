from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest


def test_no_setting_or_credential_of_the_machine_gets_in(isolated: Path):
    foreign = [name for name in os.environ if name.startswith(("ANTHROPIC_", "CLAUDE"))]
    assert foreign == ["CLAUDE_CONFIG_DIR"]
    for name in ("HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "MOZART_NB_HOME"):
        assert isolated in Path(os.environ[name]).parents
    assert Path.home() == isolated / "home"


@pytest.mark.parametrize("host", ["93.184.216.34", "example.org", "2606:2800:220:1::1"])
async def test_nothing_but_this_machine_can_be_reached(host: str):
    with pytest.raises(PermissionError, match="loopback"):
        await asyncio.open_connection(host, 80)


async def test_loopback_can_be_reached():
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()


def test_unix_sockets_can_be_used(tmp_path: Path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)

"""Requests from other processes reach a job once, in order, and only if they are meant for it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from support.checkpoints import layout_in, write_job

from mozart_nb.checkpoint.control import ControlFolder, drop
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.engine import ports
from mozart_nb.engine.ports import Request
from mozart_nb.errors import UnknownJobError


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = layout_in(tmp_path)
    write_job(layout, 1, 5)
    return layout


def left_in(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.control.iterdir())


async def test_requests_arrive_once_in_the_order_in_which_they_were_made(layout: Layout) -> None:
    folder = ControlFolder(layout)
    as_port: ports.Requests = folder
    for number in range(20):
        drop(layout, Request(kind="pause", by=f"person {number}"))
    assert [request.by for request in await as_port.poll()] == [f"person {number}" for number in range(20)]
    assert await as_port.poll() == []
    assert left_in(layout) == []
    assert folder.rejected == []


async def test_a_request_is_private_and_gone_once_it_was_taken(layout: Layout) -> None:
    path = drop(layout, Request(kind="cancel", run_id="r1", expires_at=5.0))
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(await ControlFolder(layout, "r1", wall=lambda: 4.0).poll()) == [
        Request(kind="cancel", run_id="r1", expires_at=5.0)
    ]
    assert not path.exists()


async def test_expired_foreign_and_unreadable_requests_are_removed_and_named(layout: Layout) -> None:
    drop(layout, Request(kind="pause", expires_at=99.0))
    drop(layout, Request(kind="cancel", run_id="another run"))
    (layout.control / "0-a.json").write_bytes(b'{"kind":"explode"}')
    (layout.control / "1-b.json").write_bytes(b"\xff\x00")
    (layout.control / "2-c.json").write_bytes(b" " * (2 << 20))
    good = Request(kind="detach", run_id="this run", expires_at=101.0)
    drop(layout, good)
    folder = ControlFolder(layout, "this run", wall=lambda: 100.0)
    assert await folder.poll() == [good]
    assert left_in(layout) == []
    text = "\n".join(folder.rejected)
    for words in ("`pause` expired", "`cancel` was meant for run another run", "0-a.json: unreadable", "2-c.json"):
        assert words in text
    assert len(folder.rejected) == 5


async def test_what_is_no_request_is_left_alone(layout: Layout) -> None:
    (layout.control / ".draft.tmp").write_bytes(b"")
    (layout.control / "notes.txt").write_bytes(b"hello")
    folder = ControlFolder(layout)
    assert await folder.poll() == []
    assert left_in(layout) == [".draft.tmp", "notes.txt"]


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are a matter of POSIX")
async def test_links_pipes_and_folders_are_not_followed(layout: Layout, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_bytes(b'{"kind":"cancel"}')
    (layout.control / "1.json").symlink_to(secret)
    os.mkfifo(layout.control / "2.json")
    (layout.control / "3.json").mkdir()
    folder = ControlFolder(layout)
    assert await asyncio.wait_for(folder.poll(), 5) == []
    assert await folder.poll() == []
    assert secret.exists()
    assert len(folder.rejected) == 3, "and the folder that stays is named once"


async def test_a_request_that_cannot_be_removed_is_still_delivered_once(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(path)

    drop(layout, Request(kind="pause"))
    folder = ControlFolder(layout)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert [len(await folder.poll()) for _ in range(3)] == [1, 0, 0]


async def test_a_job_without_a_control_folder_has_no_requests(layout: Layout) -> None:
    layout.control.rmdir()
    assert await ControlFolder(layout).poll() == []
    drop(layout, Request(kind="pause"))
    assert len(await ControlFolder(layout).poll()) == 1


def test_a_request_to_a_job_that_does_not_exist_is_refused(layout: Layout) -> None:
    with pytest.raises(UnknownJobError, match="no job `other`"):
        drop(Layout(layout.workspace, "other"), Request(kind="pause"))

"""What becomes of the lines that IPython makes of our magics, and how a wait ends."""

from __future__ import annotations

import ast
import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from IPython.core.async_helpers import _asyncio_runner
from IPython.core.inputtransformer2 import TransformerManager
from support.notebook_cells import rehearsed

from mozart_nb import Job
from mozart_nb.errors import UnfinishedError
from mozart_nb.hosts.interrupts import MozartInterrupted
from mozart_nb.jupyter.magics.lines import AWAITED
from mozart_nb.jupyter.magics.rewriting import Rewriter
from mozart_nb.jupyter.magics.settings import Settings
from mozart_nb.jupyter.magics.waiting import (
    require_completed,
    until_done,
    until_settled,
)

BODY = "name: 'x'\nprompt:\n  template: |\n    --wait {x} $y \\n äöü \"q\" '''\n"


@dataclass
class AnyShell:
    """What the rewriter asks of IPython."""

    kernel: object | None = field(default_factory=object)
    autoawait: bool = True
    loop_runner: Any = _asyncio_runner


def transformed(cell: str, shell: AnyShell | None = None, **settings: Any) -> str:
    """What IPython compiles for a cell, with a loop running as in a kernel."""

    async def transform() -> str:
        lines = TransformerManager().transform_cell(cell).splitlines(keepends=True)
        return "".join(Rewriter(shell or AnyShell(), Settings(**settings))(lines))

    return asyncio.run(transform())


def unchanged(cell: str, shell: AnyShell | None = None, **settings: Any) -> bool:
    return transformed(cell, shell, **settings) == TransformerManager().transform_cell(cell)


# --- cells ------------------------------------------------------------------------------------------------------------


def test_a_cell_that_waits_is_awaited_and_its_body_stays_as_it_is() -> None:
    found = transformed(f"%%mozart --wait -o r\n{BODY}")
    assert found.startswith(f"await get_ipython().run_cell_magic('mozart', '{AWAITED} --wait -o r', ")
    called: list[tuple[str, ...]] = []

    class Recorder:
        async def run_cell_magic(self, *arguments: str) -> None:
            called.append(arguments)

    async def run() -> None:
        code = compile(found, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        await eval(code, {"get_ipython": Recorder})

    asyncio.run(run())
    assert called == [("mozart", f"{AWAITED} --wait -o r", BODY)]


@pytest.mark.parametrize(
    "line", ["", "-o r", "--no-wait", "--wait -n", "--wait --show 3", "--wait --help", "--wiat", "--wait 'open"]
)
def test_a_cell_that_does_not_wait_or_cannot_be_understood_stays_as_it_is(line: str) -> None:
    assert unchanged(f"%%mozart {line}\n{BODY}")


def test_settings_decide_where_the_line_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = f"%%mozart\n{BODY}"
    assert transformed(cell, wait=True).startswith("await ")
    assert unchanged(f"%%mozart --no-wait\n{BODY}", wait=True)
    monkeypatch.setenv("MOZART_NONINTERACTIVE", "1")
    assert transformed(cell).startswith("await ")


@pytest.mark.parametrize(
    "shell",
    [AnyShell(kernel=None), AnyShell(autoawait=False), AnyShell(loop_runner=asyncio.run)],
    ids=["no kernel", "no autoawait", "another runner"],
)
def test_nothing_is_awaited_where_ipython_could_not(shell: AnyShell) -> None:
    assert unchanged(f"%%mozart --wait\n{BODY}", shell)


def test_nothing_is_awaited_inside_another_magic() -> None:
    def run_cell_magic(cell: str) -> bool:
        return unchanged(cell)

    assert run_cell_magic(f"%%mozart --wait\n{BODY}")
    assert not unchanged(f"%%mozart --wait\n{BODY}")


@pytest.mark.parametrize(
    "cell",
    [
        "%%other --wait\nx",
        "print('get_ipython().run_cell_magic(\\'mozart\\', ...)')",
        "get_ipython().run_cell_magic('mozart', line, body)",
        "get_ipython().run_cell_magic('mozart' 'x')(",
        "x = 'run_cell_magic(\\'mozart\\''",
    ],
)
def test_other_cells_are_left_alone(cell: str) -> None:
    assert unchanged(cell)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_awaited_wherever_an_await_may_stand() -> None:
    cell = "größe = 1; x = 2\nr = %mozart run 'my job.yaml' --wait\nfor i in range(2):\n    %mozart resume --wait\nr"
    assert transformed(cell).splitlines() == [
        "größe = 1; x = 2",
        f"r = await get_ipython().run_line_magic('mozart', \"run {AWAITED} 'my job.yaml' --wait\")",
        "for i in range(2):",
        f"    await get_ipython().run_line_magic('mozart', 'resume {AWAITED} --wait')",
        "r",
    ]


def test_a_line_in_a_function_is_not_awaited() -> None:
    assert unchanged("def go():\n    %mozart run job.yaml --wait\nclass A:\n    %mozart run job.yaml --wait\nx = 1")


@pytest.mark.parametrize(
    "line", ["recover", "estimate job.yaml", "modify x -c new.yaml", "errors", "diagnose x", "logs -f"]
)
def test_what_takes_a_while_is_always_awaited(line: str) -> None:
    assert transformed(f"%mozart {line}").startswith("await ")


def test_a_verb_alone_may_be_silenced() -> None:
    assert f"'errors {AWAITED};'" in transformed("%mozart errors;")


@pytest.mark.parametrize(
    ("line", "is_quiet"),
    [
        ("run job.yaml", True),
        ("run job.yaml --no-dashboard", False),
        ("run job.yaml -n", False),
        ("resume --wait", True),
        ("dashboard x", True),
        ("pause", True),
        ("status", False),
        ("batches", False),
        ("run --help", False),
    ],
)
def test_a_job_is_not_displayed_again_below_the_dashboard_that_shows_it(line: str, is_quiet: bool) -> None:
    assert transformed(f"x = 1\n%mozart {line}").rstrip().endswith(";") is is_quiet
    assert not transformed(f"r = %mozart {line}").rstrip().endswith(";")
    assert not transformed(f"%mozart {line}", AnyShell(kernel=None)).rstrip().endswith(";")


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts a rehearsed job of a name."""
    monkeypatch.chdir(tmp_path)

    def start(name: str, batches: int = 3, latency: float = 0.0, limit: int = 0, **sections: Any) -> Job:
        job = Job.load(rehearsed(name, batches, latency=latency, **sections), base_dir=tmp_path)
        return job.start(limit=limit)

    return start


async def test_a_wait_ends_when_the_job_has_settled(started: Any) -> None:
    job = started("done")
    await until_settled(job)
    assert job.status == "completed"
    require_completed(job)


async def as_a_cell(work: Any) -> BaseException | None:
    """What `work` raises, caught in its own task as IPython does: an interrupt must not leave it."""
    try:
        await work
    except (Exception, KeyboardInterrupt) as error:
        return error
    return None


async def test_an_interrupted_wait_pauses_the_job_and_says_how_to_go_on(started: Any) -> None:
    job = started("stopped", 20, latency=0.2)
    waiting = asyncio.ensure_future(as_a_cell(until_settled(job)))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    waiting.cancel()
    error = await waiting
    assert time.monotonic() - began < 0.5
    assert isinstance(error, MozartInterrupted)
    assert isinstance(error, KeyboardInterrupt)
    [line] = error._render_traceback_()
    assert line.startswith("MozartInterrupted: job `stopped` pauses: ")
    assert line.endswith("; `%mozart resume stopped` goes on with it")
    await job
    assert job.status == "paused"


async def test_other_work_is_given_up_on_an_interrupt() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append("cancelled")

    waiting = asyncio.ensure_future(as_a_cell(until_done(work())))
    await asyncio.sleep(0.05)
    waiting.cancel()
    assert isinstance(await waiting, MozartInterrupted)
    await asyncio.sleep(0)
    assert ended == ["cancelled"]


async def test_work_that_fails_fails_with_its_own_error() -> None:
    async def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await until_done(work())


async def test_the_loop_turns_while_a_cell_waits_for_something_quiet() -> None:
    """What an interrupt of a kernel needs; see `TICK_SECONDS`."""
    loop = asyncio.get_running_loop()
    selects: list[float | None] = []
    select = loop._selector.select  # type: ignore[attr-defined]

    def counted(timeout: float | None) -> Any:
        selects.append(timeout)
        return select(timeout)

    loop._selector.select = counted  # type: ignore[attr-defined]
    await until_done(asyncio.sleep(0.35))
    assert max(timeout or 0.0 for timeout in selects) <= 0.11
    assert None not in selects


def test_waiting_where_nothing_can_be_awaited(started: Any) -> None:
    job = started("plain")
    job.wait()
    assert job.status == "completed"


async def test_a_pilot_that_did_its_share_is_no_failure_but_a_pause_is(started: Any) -> None:
    pilot = started("pilot", 4, limit=2)
    await pilot
    require_completed(pilot)
    paused = started("paused", 20, latency=0.1)
    paused.pause()
    await paused
    with pytest.raises(UnfinishedError, match="job `paused` is paused"):
        require_completed(paused)

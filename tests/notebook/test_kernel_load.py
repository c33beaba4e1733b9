"""What loading the extension costs a notebook."""

from __future__ import annotations

import pytest
from support.kernel_driver import Kernel
from support.notebook_cells import LOAD, mozart_cell, rehearsed

LOAD_SECONDS = 0.15
"""What is promised; `benchmarks/notebook.py` measures it on a machine that does nothing else."""

ONLY_WHEN_NEEDED = {
    "anthropic",
    "aiohttp",
    "httpx",
    "pandas",
    "numpy",
    "ipywidgets",
    "matplotlib",
    "jsonschema",
    "typer",
}

TIMED = "import time; _began = time.perf_counter()\n%load_ext mozart_nb\n_seconds = time.perf_counter() - _began"


def imported(kernel: Kernel) -> set[str]:
    return {name.partition(".")[0] for name in kernel.value("list(__import__('sys').modules)")}


def test_loading_is_quick_silent_and_imports_nothing_that_only_some_need(kernel: Kernel) -> None:
    plain = imported(kernel)
    first = kernel.run(TIMED)
    assert (first.status, first.outputs) == ("ok", [])
    assert not imported(kernel) & ONLY_WHEN_NEEDED - plain
    kernel.restart()  # the first load may have had to read the modules from disk
    kernel.run(TIMED)
    assert kernel.value("_seconds") < 3 * LOAD_SECONDS


def test_a_job_runs_without_pandas_and_without_the_libraries_of_services_that_it_does_not_use(kernel: Kernel) -> None:
    kernel.run(LOAD)
    cell = kernel.run(mozart_cell(rehearsed("slim", 3), "--wait"))
    assert cell.status == "ok", cell.text
    assert kernel.value("job.status") == "completed"
    assert not imported(kernel) & {"anthropic", "aiohttp", "pandas", "matplotlib", "typer"}


@pytest.mark.parametrize("command", ["%reload_ext mozart_nb", "%unload_ext mozart_nb\n%load_ext mozart_nb"])
def test_a_job_goes_on_when_the_extension_is_loaded_anew(kernel: Kernel, command: str) -> None:
    kernel.run(LOAD)
    kernel.run(mozart_cell(rehearsed("going-on", 20, latency=0.1)))
    assert kernel.run(command).status == "ok"
    again = kernel.run(mozart_cell(rehearsed("going-on", 20, latency=0.1), "--wait -o other"))
    assert again.status == "ok", again.text
    assert kernel.value("[job.status, other.status, len(job.attempts())]") == ["completed", "completed", 20]

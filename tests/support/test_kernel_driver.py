"""The driver of kernels itself: what tests of the notebook rely on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kernel_driver import Kernel
from support.notebook_environment import notebook_environment


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    root = tmp_path_factory.mktemp("kernel")
    kernel = Kernel(root, notebook_environment(root))
    yield kernel
    kernel.close()


def test_a_cell_gives_its_output_value_and_errors(kernel: Kernel) -> None:
    cell = kernel.run("print('one'); print('two')\n1 + 1")
    assert (cell.status, cell.text) == ("ok", "one\ntwo\n2")
    failed = kernel.run("1 / 0")
    assert failed.status == "error"
    assert "ZeroDivisionError" in failed.text
    kernel.run("known = {'a': [1, 2]}")
    assert kernel.value("known") == {"a": [1, 2]}


def test_an_output_with_a_display_id_is_updated_in_place(kernel: Kernel) -> None:
    cell = kernel.run("handle = display({'text/html': '<b>1</b>'}, raw=True, display_id=True)")
    kernel.run("handle.update({'text/html': '<b>2</b>'}, raw=True)")
    assert cell.html == "<b>2</b>"


def test_widgets_are_followed_clicked_and_changed(kernel: Kernel) -> None:
    kernel.run(
        "import ipywidgets\n"
        "button = ipywidgets.Button(description='Press'); image = ipywidgets.Image(value=b'png')\n"
        "slider = ipywidgets.IntSlider(max=9); label = ipywidgets.Label('nothing')\n"
        "button.on_click(lambda _: setattr(label, 'value', 'pressed'))\n"
        "slider.observe(lambda change: setattr(label, 'value', str(change.new)), 'value')"
    )
    label = kernel.model(value="nothing")
    kernel.click(kernel.model(description="Press"))
    kernel.wait_until(lambda: kernel.models[label]["value"] == "pressed")
    kernel.change(kernel.model(max=9), value=7)
    kernel.wait_until(lambda: kernel.models[label]["value"] == "7")
    assert kernel.models[kernel.model(_model_name="ImageModel")]["value"] == b"png"
    kernel.run("button.close()")
    assert kernel.models_with(description="Press") == []


def test_an_interrupt_ends_a_cell_and_those_queued_behind_it(kernel: Kernel) -> None:
    first, second = kernel.execute("import time; print('in'); time.sleep(60)"), kernel.execute("print('never')")
    kernel.wait_until(lambda: first.text)
    kernel.interrupt()
    assert kernel.finish(first).status == "error"
    assert kernel.finish(second).status == "aborted"


def test_traffic_processor_time_and_late_beats_are_measured(kernel: Kernel) -> None:
    began, cpu = time.monotonic(), kernel.cpu_seconds
    kernel.watch_loop()
    kernel.run("_ = [print('x' * 1000, flush=True) for _ in range(3)]; time.sleep(0.2); sum(range(10**7))")
    traffic = kernel.traffic(began)
    assert traffic.size > 3000
    assert 1 <= traffic.kinds["stream"] <= 3
    assert kernel.cpu_seconds > cpu
    longest = max(kernel.gaps(), key=lambda gap: gap.late)
    assert longest.late > 0.2 + longest.cpu / 2 > 0.2


def test_names_are_completed_and_looked_up(kernel: Kernel) -> None:
    kernel.run("long_name_of_mine = 7")
    assert kernel.complete("long_na")["matches"] == ["long_name_of_mine"]
    assert "7" in kernel.inspect("long_name_of_mine")["data"]["text/plain"]


def test_a_restarted_kernel_knows_nothing_and_a_subshell_answers_while_it_is_busy(kernel: Kernel) -> None:
    pid = kernel.pid
    kernel.restart()
    assert kernel.pid != pid
    assert kernel.run("known").status == "error"
    assert kernel.new_subshell()


def test_nothing_of_the_machine_reaches_a_kernel(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    home = kernel.value("__import__('os').path.expanduser('~')")
    assert Path(home).is_relative_to(kernel.folder)
    assert kernel.value("[name for name in __import__('os').environ if 'KEY' in name or 'TOKEN' in name]") == []


def test_a_kernel_that_dies_is_reported_with_what_it_said(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, notebook_environment(tmp_path))
    try:
        kernel.execute("import os; print('my last words', flush=True); os._exit(3)")
        with pytest.raises(AssertionError, match="for the impossible; the kernel is gone"):
            kernel.wait_until(lambda: False, what="the impossible")
    finally:
        kernel.close()

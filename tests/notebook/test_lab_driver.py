"""The driver of JupyterLab and Chromium itself: what tests of pages rely on."""

from __future__ import annotations

import pytest
from support.lab import LabPage

pytestmark = pytest.mark.browser


def test_cells_run_in_a_browser_and_a_saved_notebook_opens_trusted_or_not(window: LabPage) -> None:
    cells = [
        "import ipywidgets\nbutton = ipywidgets.Button(description='Press')\n"
        "button.on_click(lambda _: setattr(button, 'description', 'Pressed'))\nbutton",
        "from IPython.display import HTML\nHTML('<b onclick=\"1\">bold</b><script>document.title = 1</script>')",
        "import time; print('in'); time.sleep(60)",
        "print('button' in globals())",
    ]
    window.lab.write_notebook("driver/one.ipynb", cells)
    notebook = window.open("driver/one.ipynb")
    notebook.run_to_end(0)
    notebook.click(0, "Press")
    notebook.wait_for_text(0, "Pressed")
    notebook.run_to_end(1)
    notebook.run(2)
    notebook.wait_for_text(2, "in")
    notebook.interrupt()
    notebook.wait_for_text(2, "KeyboardInterrupt")
    assert notebook.is_trusted()

    pid = window.lab.kernel_pid(notebook.path)
    notebook.restart_kernel()
    notebook.run_to_end(3)
    assert window.lab.kernel_pid(notebook.path) != pid
    with pytest.raises(AssertionError, match=r"waited for 'True' below cell 3 .*\nFalse"):
        notebook.wait_for_text(3, "True", timeout=0.2)

    notebook.save()
    copy = window.lab.folder / "driver" / "copy.ipynb"
    copy.write_bytes(notebook.file.read_bytes().replace(b"bold", b"BOLD"))
    notebook.close()
    window.lab.end_sessions()

    again = window.open("driver/one.ipynb", with_kernel=False)
    again.wait_for_text(1, "bold")
    assert again.is_trusted()
    window.use_theme(dark=True)
    assert window.screenshot("again").stat().st_size > 10_000
    untrusted = window.open("driver/copy.ipynb", with_kernel=False)
    untrusted.wait_for_text(1, "BOLD")
    assert not untrusted.is_trusted()
    assert window.lab.api("GET", "sessions") == []

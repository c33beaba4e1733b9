"""Tab and mistakes as people see them in JupyterLab."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from support.lab import LabPage, Notebook

pytestmark = pytest.mark.browser

HEAD = "%%mozart --strict\nname: review\nbackend:\n  type: "


def open_with(window: LabPage, name: str, *cells: str) -> Notebook:
    """A notebook whose first cell has loaded the extension, and what the first completion imports.

    Lab waits for a second; on a busy machine that import may take longer.
    """
    first = "import mozart_nb.jupyter.completion.line\n%load_ext mozart_nb"
    window.lab.write_notebook(name, [first, *cells])
    notebook = window.open(name)
    notebook.run_to_end(0)
    return notebook


def edit(notebook: Notebook, index: int) -> None:
    """Put the cursor at the end of a cell's source."""
    notebook.cell(index).locator(".cm-content").click()
    notebook.page.keyboard.press("Control+End")


def offered(notebook: Notebook) -> list[str]:
    """What the list of completions holds, once it is there."""
    items = notebook.page.locator(".jp-Completer-item .jp-Completer-match")
    expect(items.first).to_be_visible()
    return [text.strip() for text in items.all_inner_texts()]


def source(notebook: Notebook, index: int) -> str:
    return str(notebook._script("return notebook.model.cells.get(argument).sharedModel.source", index))


def test_tab_completes_yaml_in_a_cell(window: LabPage) -> None:
    notebook = open_with(window, "tab/one.ipynb", HEAD)
    keyboard = notebook.page.keyboard
    edit(notebook, 1)
    keyboard.press("Tab")
    choices = offered(notebook)  # behind ours Lab lists words of the cell
    window.screenshot("completion-values")
    assert choices[:4] == ["claude_cli", "anthropic_api", "anthropic_batches", "rehearsal"]
    keyboard.type("re")
    keyboard.press("Enter")
    expect(notebook.page.locator(".jp-Completer:visible")).to_have_count(0)
    assert source(notebook, 1) == HEAD + "rehearsal"

    keyboard.press("Enter")
    keyboard.press("Home")  # Lab indents the new line as Python, if at all
    keyboard.press("Shift+End")
    keyboard.type("  cli_m")
    keyboard.press("Tab")
    assert offered(notebook)[0] == "cli_model:"
    keyboard.press("Enter")
    expect(notebook.cell(1).locator(".cm-content")).to_contain_text("cli_model:")
    assert source(notebook, 1) == HEAD + "rehearsal\n  cli_model: "


def test_tab_completes_keys_and_says_what_they_are(window: LabPage) -> None:
    notebook = open_with(window, "tab/two.ipynb", "%%mozart\nname: x\nretry:\n  ")
    edit(notebook, 1)
    # Behind blanks alone Tab indents; completions come by command, as from the menu.
    window.command("completer:invoke-notebook")
    keys = offered(notebook)
    window.screenshot("completion-keys")
    assert keys[:2] == ["max_retries:", "base_delay_seconds:"]
    notes = notebook.page.locator(".jp-Completer-item .jp-Completer-typeExtended").all_inner_texts()
    assert notes[0].lower().startswith("retries\N{NO-BREAK SPACE}after")


def test_tab_completes_options_of_the_first_line(window: LabPage) -> None:
    notebook = open_with(window, "tab/three.ipynb", "%mozart res")
    edit(notebook, 1)
    notebook.page.keyboard.press("Tab")
    window.screenshot("completion-verbs")
    assert offered(notebook)[0] == "resume"
    notebook.page.keyboard.press("Enter")
    notebook.page.keyboard.type(" --")
    notebook.page.keyboard.press("Tab")
    assert {"--wait", "--keep-failed", "--help"} <= set(offered(notebook))


def test_a_mistake_is_its_line_and_no_traceback(window: LabPage) -> None:
    cell = "%%mozart --strict\nname: x\nbatch: {size: 1, total_items: 2}\npromt:\n  template: Hi\n"
    notebook = open_with(window, "tab/four.ipynb", cell, "%%mozart?")
    notebook.run_to_end(1)
    notebook.wait_for_text(1, "did you mean `prompt`?")
    assert notebook.text(1).strip("\n").splitlines() == [
        "ConfigError: <cell>:4:1: unknown key `promt`; it has no effect",
        "  4 | promt:",
        "    | ^^^^^",
        "  did you mean `prompt`?",
        "hint: `%%mozart --fix` corrects what can be corrected without asking",
    ]
    window.screenshot("mistake")
    notebook.run_to_end(2)
    expect(notebook.page.locator("body")).to_contain_text("An example that runs as it stands")

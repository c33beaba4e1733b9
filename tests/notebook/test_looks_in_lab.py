"""Saved outputs and details of a batch in a real JupyterLab: trusted and not, light and dark, with hostile text."""

from __future__ import annotations

from dataclasses import replace

import nbformat
import pytest
from support.jobs_to_look_at import FAILED, NOW, PAUSED, WAITING, details, error_group, job_state
from support.lab import LabPage, Notebook

from mozart_nb.jupyter.looks.details import batch_html
from mozart_nb.jupyter.looks.picture import StatusMap
from mozart_nb.jupyter.looks.static import rows_to_keep, static_html
from mozart_nb.jupyter.looks.theme import STYLE

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=document.title='hacked'><script>document.title='hacked'</script>"
    ' "><b onmouseover=alert(1)> [click](javascript:alert(1)) \x1b[31mred\x1b[0m \u202egnp.exe $x^2$ and $y^2$ '
)
READ_AS = "<img src=x onerror=document.title='hacked'><script>document.title='hacked'</script>"


def pieces() -> list[str]:
    """Saved outputs of two jobs, and the page of a batch."""
    state = job_state(200, {3: "blocked", 7: "failed", 9: "completed"}, code="E201", message=HOSTILE)
    rows, caption = rows_to_keep(state)
    drawn = StatusMap.of(state).picture()
    jobs = [replace(FAILED, reason=HOSTILE, name=HOSTILE), replace(PAUSED, reason="$4.99 of $5.00 are spent")]
    saved = [static_html(job, drawn, rows, caption, as_of=NOW, errors=[error_group(HOSTILE)]) for job in jobs]
    page = batch_html(details(HOSTILE + "x" * 1_000_000), now=NOW, job_id="a")
    return [*saved, STYLE + page]


def write_outputs(window: LabPage, name: str, outputs: list[str]) -> None:
    """A notebook as somebody else may have saved it: nobody has signed its outputs."""
    cells = [
        nbformat.v4.new_code_cell(
            "job", execution_count=1, outputs=[nbformat.v4.new_output("display_data", {"text/html": html})]
        )
        for html in outputs
    ]
    path = window.lab.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def check(notebook: Notebook) -> None:
    """Whatever the clothes: the words are there, the picture is, and nothing foreign did anything."""
    for index in (0, 2):
        notebook.wait_for_text(index, READ_AS)
    notebook.wait_for_text(0, "E501 authentication or permission failure")
    notebook.wait_for_text(1, "$4.99 of $5.00")
    notebook.wait_for_text(2, "javascript:alert(1)")
    area = notebook.output(0)
    assert "gnp.exe" in area.inner_text()
    assert area.locator("img").count() == 1
    assert area.locator("img").evaluate("image => image.complete && image.naturalWidth") == 700
    assert "Map of 200 batches: 1 failed" in (area.locator("img").get_attribute("alt") or "")
    for forbidden in ("a", "script", "mjx-container", "[onerror]", "[onmouseover]"):
        assert notebook.page.locator(f".jp-Cell-outputArea {forbidden}").count() == 0
    assert notebook.page.title() != "hacked"


def test_a_saved_output_is_read_in_a_notebook_that_nobody_trusts(window: LabPage) -> None:
    write_outputs(window, "looks/untrusted.ipynb", pieces())
    notebook = window.open("looks/untrusted.ipynb", with_kernel=False)
    notebook.wait_for_text(2, "Batch 12")
    assert not notebook.is_trusted()
    check(notebook)
    window.screenshot("untrusted")


def test_a_saved_output_wears_its_clothes_in_light_and_dark(window: LabPage) -> None:
    for index, html in enumerate(pieces()):
        (window.lab.folder / f"{index}.html").write_text(html, encoding="utf-8")
    show = "from IPython.display import HTML; HTML(open('../{}.html', encoding='utf-8').read())"
    window.lab.write_notebook("looks/trusted.ipynb", [show.format(index) for index in range(3)])
    notebook = window.open("looks/trusted.ipynb")
    for index in range(3):
        notebook.run_to_end(index)
    check(notebook)
    seen = {}
    for dark in (False, True):
        window.use_theme(dark=dark)
        window.screenshot(f"looks-{'dark' if dark else 'light'}")
        seen[dark] = {
            name: style_of(notebook, name) for name in (".mozart-look", ".mozart-table td:nth-child(3)", ".mozart-text")
        }
    for name in seen[False]:
        assert seen[False][name]["color"] != seen[True][name]["color"]
    assert seen[False][".mozart-table td:nth-child(3)"]["text-align"] == "left"
    assert seen[False][".mozart-text"]["background-color"] != "rgba(0, 0, 0, 0)"
    assert seen[True][".mozart-text"]["background-color"] != seen[False][".mozart-text"]["background-color"]
    bar = notebook.output(1).get_by_role("progressbar")
    assert bar.get_attribute("aria-valuenow") == "62"
    assert bar.evaluate("bar => bar.offsetHeight") == 8
    assert notebook.output(1).get_by_role("rowheader").count() >= 2


def test_texts_of_a_batch_do_not_widen_the_notebook(window: LabPage) -> None:
    html = STYLE + batch_html(details("x" * 1_000_000), now=NOW) + static_html(WAITING, as_of=NOW)
    window.lab.write_notebook("looks/wide.ipynb", [f"from IPython.display import HTML; HTML({html!r})"])
    notebook = window.open("looks/wide.ipynb")
    notebook.run_to_end(0)
    notebook.wait_for_text(0, "characters left out")
    widths = notebook.output(0).evaluate("area => [area.scrollWidth, area.clientWidth]")
    assert widths[0] <= widths[1] + 1


def style_of(notebook: Notebook, selector: str) -> dict[str, str]:
    """How the first such element is drawn."""
    found = notebook.page.locator(f".jp-Cell-outputArea {selector}").first
    names = ["color", "background-color", "text-align"]
    return dict(
        found.evaluate("(one, names) => names.map(name => [name, getComputedStyle(one).getPropertyValue(name)])", names)
    )

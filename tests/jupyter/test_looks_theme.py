"""Colours, symbols and the style sheet: seen by everybody, in light and dark, and nobody else's business."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import get_args

import pytest
from support.diagnoses_to_look_at import ailing
from support.html_pages import Page
from support.jobs_to_look_at import ALL, NOW, RUNNING, details, error_group

from mozart_nb.consumers.progress import ShownStatus
from mozart_nb.engine.state import BatchStatus
from mozart_nb.jupyter.looks.details import batch_html, log_html
from mozart_nb.jupyter.looks.diagnosis import diagnosis_html
from mozart_nb.jupyter.looks.errors import errors_html
from mozart_nb.jupyter.looks.head import announcement, badge, head
from mozart_nb.jupyter.looks.picture import ORDER, StatusMap, picture_html
from mozart_nb.jupyter.looks.static import static_html
from mozart_nb.jupyter.looks.table import BatchRow, table
from mozart_nb.jupyter.looks.theme import CSS, LOOKS, STYLE, look_of, mark

STATUSES = sorted({*get_args(BatchStatus), *get_args(ShownStatus)})
PAPERS = ["#ffffff", "#111111", "#1e1e1e"]
"""Backgrounds of JupyterLab light and dark, and of VS Code dark."""


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_a_colour_that_stands_out(status: str, paper: str) -> None:
    assert contrast(LOOKS[status].colour, paper) >= 3.0


@pytest.mark.parametrize("ink", ["ink", "faint"])
def test_words_can_be_read_in_light_and_dark(ink: str) -> None:
    papers = re.findall(r"--mozart-paper:(#\w{6})", CSS)
    inks = re.findall(rf"--mozart-{ink}:(#\w{{6}})", CSS)
    tints = re.findall(r"--mozart-tint:(#\w{6})", CSS)
    assert len(papers) == len(inks) == len(tints) >= 4
    for paper, colour, tint in zip(papers, inks, tints, strict=True):
        assert contrast(colour, paper) >= 4.5
        assert contrast(colour, tint) >= 4.5


def test_symbols_tell_the_statuses_of_batches_apart() -> None:
    assert len({LOOKS[status].symbol for status in ORDER}) == len(ORDER)


def test_a_status_of_a_newer_version_is_shown_by_its_word() -> None:
    assert look_of("dreaming").symbol
    assert Page(badge("dreaming")).text.endswith("dreaming")


@pytest.mark.parametrize("status", STATUSES)
def test_a_symbol_never_stands_without_its_word(status: str) -> None:
    page = Page(badge(status))
    assert page.text == f"{LOOKS[status].symbol} {status}"
    assert Page(mark(status)).tags("b")[0]["aria-hidden"] == "true"


def every_piece() -> list[str]:
    row = BatchRow(1, 1, 5, "failed", 1, code="E201", message="m")
    return [
        *(head(job, notes=["a note"], busy_seconds=2.0) for job in ALL),
        announcement(RUNNING),
        picture_html(StatusMap(10).picture()),
        table([row], "one", selected=1),
        batch_html(details(), now=NOW),
        log_html(details().log, number=1),
        errors_html([error_group()]),
        diagnosis_html(ailing()),
        static_html(RUNNING, StatusMap(10).picture(), [row], "one", as_of=NOW),
    ]


def test_every_class_is_ours_and_every_rule_has_something_to_dress() -> None:
    used = {name for html in every_piece() for name in Page(html).classes()}
    dressed = set(re.findall(r"\.(mozart-[\w-]+)", CSS))
    for_formulas = {"mathjax_ignore", "tex2jax_ignore"}
    assert {name for name in used if not name.startswith("mozart-")} == for_formulas
    statuses = {f"mozart-is-{status}" for status in STATUSES} | {"mozart-is-other"}
    assert dressed - used <= statuses
    assert used - dressed - for_formulas <= {
        "mozart-errors",
        "mozart-rows",
        "mozart-is-other",
        "mozart-log-text",
        "mozart-log-raw",
    }


def test_no_rule_touches_anything_but_our_own() -> None:
    flat = re.sub(r"@media[^{]*\{", "", CSS)
    selectors = [one.strip() for group in re.findall(r"([^{}]+)\{[^{}]*\}", flat) for one in group.split(",")]
    assert len(selectors) > 50
    for selector in selectors:
        assert "mozart-" in selector.split(">")[0], selector


def test_the_style_sheet_is_whole_small_and_asks_nobody_for_anything() -> None:
    assert CSS.count("{") == CSS.count("}")
    assert len(STYLE) < 8_000
    assert "url(" not in CSS
    assert "@import" not in CSS
    assert "<" not in CSS


def test_colours_come_through_the_notebooks_own_variables_first() -> None:
    assert "var(--jp-layout-color0," in CSS
    assert "var(--jp-content-font-color1," in CSS
    assert "@media (prefers-color-scheme:dark)" in CSS
    themes = [CSS.index(f'[data-jp-theme-light="{light}"]') for light in ("true", "false")]
    assert all(one < other for one, other in pairwise([CSS.index("@media (prefers-color-scheme"), *themes]))

"""The map of batches: one small picture that says how every batch stands."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.html_pages import Page
from support.jobs_to_look_at import job_state
from support.pictures import Drawing, read_png

from mozart_nb.engine.state import BatchStatus
from mozart_nb.jupyter.looks.picture import ORDER, Grid, StatusMap, grid_for, picture_html
from mozart_nb.jupyter.looks.theme import LOOKS

SIZES = [1, 2, 12, 20, 21, 100, 101, 200, 500, 501, 4_000, 10_000, 25_000, 25_001, 100_000, 1_000_000]


def colour_of(status: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(LOOKS[status].colour[1:]))


def colours_of_cell(drawing: Drawing, grid: Grid, cell: int) -> set[tuple[int, ...]]:
    """Colours that are seen in a cell."""
    top, left = cell // grid.columns * grid.pitch, cell % grid.columns * grid.pitch
    cells = (row[left : left + grid.pitch] for row in drawing.pixels[top : top + grid.pitch])
    return {pixel[:3] for row in cells for pixel in row if pixel[3]}


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(ORDER), min_size=1, max_size=130))
def test_every_cell_has_the_colour_of_its_batch_and_nothing_else(statuses: list[str]) -> None:
    drawn = StatusMap(len(statuses), dict(enumerate(statuses, start=1))).picture()
    drawing = read_png(drawn.png)
    assert (drawing.width, drawing.height) == (drawn.grid.width, drawn.grid.height)
    for cell in range(drawn.grid.rows * drawn.grid.columns):
        wanted = {colour_of(statuses[cell])} if cell < len(statuses) else set()
        assert colours_of_cell(drawing, drawn.grid, cell) == wanted


@pytest.mark.parametrize("total", SIZES)
def test_the_picture_fits_into_a_notebook_at_every_size(total: int) -> None:
    grid = grid_for(total)
    assert grid.width <= 800
    assert grid.height <= 500
    assert grid.pitch >= 4
    assert grid.columns * grid.rows >= grid.cells >= total / grid.per_cell
    assert grid.columns * (grid.rows - 1) < grid.cells


def test_batches_share_a_cell_only_when_there_is_no_room_for_each() -> None:
    assert [grid_for(total).per_cell for total in (10, 10_000, 25_000)] == [1, 1, 1]
    assert [grid_for(total).per_cell for total in (25_001, 100_000, 1_000_000)] == [2, 5, 50]


@pytest.mark.parametrize("total", SIZES)
def test_a_place_in_the_picture_leads_to_its_batches(total: int) -> None:
    grid = grid_for(total)
    for number in {1, 2, total // 2 + 1, total - 1, total} & set(range(1, total + 1)):
        cell = (number - 1) // grid.per_cell
        x = (cell % grid.columns + 0.5) / grid.columns
        y = (cell // grid.columns + 0.5) / grid.rows
        assert number in grid.batches_at(x, y)
        assert grid.cell_at(x, y) == grid.batches_at(x, y)[0]


@pytest.mark.parametrize("place", [(-0.1, 0.5), (0.5, -0.1), (1.0, 0.5), (0.5, 1.0), (0.99, 0.99)])
def test_a_place_without_a_batch_leads_nowhere(place: tuple[float, float]) -> None:
    grid = grid_for(26)
    assert grid.cell_at(*place) == 0
    assert not grid.batches_at(*place)
    assert grid_for(0).cell_at(0.5, 0.5) == 0


def test_a_shared_cell_shows_the_most_telling_status_and_the_words_say_so() -> None:
    drawn = StatusMap(100_000)
    drawn.fill(1, 50_000, "completed")
    drawn.set(7, "failed")
    drawn.set(12, "running")
    picture = drawn.picture()
    drawing = read_png(picture.png)
    cells = [colours_of_cell(drawing, picture.grid, cell) for cell in (0, 1, 2, 10_000)]
    assert cells == [{colour_of(status)} for status in ("completed", "failed", "running", "pending")]
    assert picture.alt == (
        "Map of 100,000 batches: 1 failed, 1 running, 49,998 completed, 50,000 pending;"
        " a cell stands for 5 batches and shows the most telling of their statuses"
    )
    drawn.set(7, "completed")
    assert "failed" not in drawn.picture().alt


changes = st.tuples(st.integers(-2, 60), st.integers(-2, 60), st.sampled_from([*ORDER, "unheard of"]))


@settings(deadline=None, max_examples=40)
@given(st.lists(changes, max_size=30))
def test_changes_one_by_one_lead_to_the_picture_of_their_outcome(steps: list[tuple[int, int, str]]) -> None:
    changed, outcome = StatusMap(50), dict.fromkeys(range(1, 51), "pending")
    for first, last, status in steps:
        changed.fill(first, last, status)
        for number in range(max(1, first), min(50, last) + 1):
            outcome[number] = status if status in ORDER else "pending"
        changed.set(last, status)
        if 1 <= last <= 50:
            outcome[last] = status if status in ORDER else "pending"
        assert changed.counts() == StatusMap(50, outcome).counts()
    assert changed.picture() == StatusMap(50, outcome).picture()


def test_the_map_of_a_job_is_drawn_from_its_state() -> None:
    state = job_state(20, {1: "completed", 2: "failed", 15: "running"})
    state.job.skipped = [(3, 5)]
    assert StatusMap.of(state).counts() == {"failed": 1, "running": 1, "completed": 1, "skipped": 3, "pending": 14}


def test_nothing_is_drawn_again_before_something_changes() -> None:
    drawn = StatusMap(10)
    first = drawn.picture()
    drawn.set(3, "pending")
    assert drawn.picture() is first
    drawn.set(3, "running")
    assert drawn.picture() is not first


def test_every_status_of_a_batch_is_drawn_and_no_two_alike() -> None:
    assert set(ORDER) == set(get_args(BatchStatus))
    for total in (8, 10_000):  # the biggest and the smallest cells
        drawn = StatusMap(total, dict(enumerate(ORDER, start=1))).picture()
        drawing, pitch = read_png(drawn.png), drawn.grid.pitch
        cells = {
            tuple(tuple(row[cell * pitch : (cell + 1) * pitch]) for row in drawing.pixels[:pitch]) for cell in range(8)
        }
        assert len(cells) == 8


def test_shapes_tell_problems_apart_without_colours() -> None:
    drawn = StatusMap(8, dict(enumerate(ORDER, start=1))).picture()
    drawing, pitch = read_png(drawn.png), drawn.grid.pitch
    shape = {
        status: tuple(
            tuple(pixel[3] > 0 for pixel in row[cell * pitch : (cell + 1) * pitch]) for row in drawing.pixels[:pitch]
        )
        for cell, status in enumerate(ORDER)
    }
    assert len({shape[status] for status in ("completed", "failed", "blocked", "running", "skipped", "cancelled")}) == 6


def test_ten_thousand_batches_are_a_few_kilobytes_and_milliseconds() -> None:
    drawn = StatusMap(10_000)
    drawn.fill(1, 6_000, "completed")
    drawn.update((number, "failed") for number in range(7, 6_000, 91))
    drawn.update((number, "skipped") for number in range(3, 6_000, 203))
    drawn.fill(6_001, 6_064, "running")
    times = []
    for number in range(6_100, 6_120):
        drawn.set(number, "running")
        began = time.process_time()
        picture = drawn.picture()
        times.append(time.process_time() - began)
    assert len(picture.png) < 6_000
    assert min(times) < 0.005


def test_a_change_costs_the_same_in_a_large_job() -> None:
    drawn = StatusMap(1_000_000)
    began = time.process_time()
    drawn.update((number, "completed") for number in range(1, 20_001))
    assert time.process_time() - began < 1.0


def test_the_picture_says_in_words_and_data_what_it_shows() -> None:
    drawn = StatusMap(200, {1: "completed", 2: "failed"}).picture()
    page = Page(picture_html(drawn, 'onclick="go()" tabindex="0"', selected=2))
    (image,) = page.tags("img")
    assert image["alt"] == "Map of 200 batches: 1 failed, 1 completed, 198 pending; batch 2 is selected"
    assert (image["data-columns"], image["data-rows"], image["data-per-cell"], image["data-total"]) == (
        *("50", "4"),
        *("1", "200"),
    )
    assert image["onclick"] == "go()"
    assert (image["width"], image["height"]) == ("700", "56")
    assert b64decode((image["src"] or "").removeprefix("data:image/png;base64,")) == drawn.png


def test_an_empty_job_has_an_empty_picture() -> None:
    drawn = StatusMap(0).picture()
    assert drawn.alt == "Map of batches: there are none"
    assert read_png(drawn.png).pixels == [[(0, 0, 0, 0)] * drawn.grid.width]

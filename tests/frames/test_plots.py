"""Pictures of jobs: they are drawn for jobs of every size, quickly, and can be read in every theme."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from support.engine import OK, Rules, World, failed, refused

from mozart_nb import events as ev
from mozart_nb.engine.fold import fold
from mozart_nb.engine.state import JobState
from mozart_nb.errors import MisuseError
from mozart_nb.frames import _pictures as pictures
from mozart_nb.frames import plot
from mozart_nb.frames.plots import KINDS
from mozart_nb.frames.spans import Band, spans_of

each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def world() -> World:
    """Retries, a rate limit, a completion, a batch that fails for good, and a second run that goes on with it."""
    timed = msgspec.structs.replace(OK, duration=6.0)
    outcomes = {
        1: [failed(), timed],
        2: [refused(retry_after=25), timed],
        3: [(timed, Rules(2, 1)), (timed, Rules(3))],
        4: [failed()] * 9,
    }
    sections: dict[str, Any] = {"retry": {"max_retries": 1}, "parallel": {"fail_fast": False}}
    world = World(batches=6, outcomes=outcomes, seconds=6, **sections)
    world.run()
    world.run()
    return world


def texts(figure: Figure) -> str:
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))  # type: ignore[attr-defined]  # they are texts


@each_kind
def test_every_kind_of_picture_is_drawn(kind: str, world: World) -> None:
    figure = plot(kind, world.state, world.store.durable)
    assert figure._repr_png_()[0].startswith(b"\x89PNG")  # type: ignore[attr-defined]  # a figure for notebooks
    assert "job" in texts(figure)


@each_kind
def test_a_job_without_anything_says_so(kind: str) -> None:
    figure = plot(kind, JobState(), [])
    assert figure._repr_png_()[0].startswith(b"\x89PNG")  # type: ignore[attr-defined]
    assert any(
        word in texts(figure) for word in ("no attempts", "no session", "nothing was paid", "no errors", "no run")
    )


def test_a_timeline_tells_how_attempts_ended_or_what_kind_they_are(world: World) -> None:
    events = world.store.durable
    by_result, by_mode = plot("timeline", world.state, events), plot("timeline", world.state, events, by="mode")
    for label in ("passed (5)", "failed (6)", "rate limited (1)", "rate limit ("):
        assert label in texts(by_result)
    for label in ("first (7)", "retry (4)", "completion (1)"):
        assert label in texts(by_mode)


def test_errors_name_codes_and_whether_they_were_mended(world: World) -> None:
    written = texts(plot("errors", world.state, world.store.durable))
    assert "E003  service temporarily unavailable" in written
    assert "mended by a later attempt" in written
    assert "not mended" in written


def test_costs_say_when_they_are_not_all() -> None:
    silent = msgspec.structs.replace(OK, cost_usd=None)
    world = World(batches=3, outcomes={2: [silent]})
    world.run()
    assert "1 session did not say what they cost" in texts(plot("costs", world.state, world.store.durable))


def test_what_does_not_exist_is_refused_with_what_was_meant() -> None:
    with pytest.raises(MisuseError, match="no kind of picture `timelines`") as caught:
        plot("timelines", JobState(), [])
    assert caught.value.hint == "did you mean `timeline`?"
    with pytest.raises(MisuseError, match="no way to colour attempts `status`"):
        plot("timeline", JobState(), [], by="status")


# --- times ------------------------------------------------------------------------------------------------------------


def test_bands_last_from_their_beginning_to_their_end() -> None:
    events = [
        ev.LimitHit(at=10, code="E101", until=40, wait_seconds=30, source="retry-after", number=1),
        ev.LimitHit(at=12, code="E101", until=42, wait_seconds=30, source="retry-after", number=1),
        ev.LimitCleared(at=40),
        ev.BreakerOpened(at=50, until=80, failures=5),
        ev.BreakerHalfOpen(at=80),
        ev.BreakerClosed(at=85),
        ev.JobPaused(at=90),
        ev.JobResumed(at=200, run_id="r"),
        ev.LimitHit(at=210, code="E101", until=300, wait_seconds=90, source="retry-after", number=2),
        ev.JobNotice(at=220, message=""),
    ]
    assert spans_of(events).bands == [
        Band("rate limit", 10, 40),
        Band("circuit breaker", 50, 80),
        Band("not running", 90, 200),
        Band("rate limit", 210, 220),
    ]


def test_a_crash_is_a_time_in_which_nothing_ran() -> None:
    events = [
        ev.BatchStarted(at=10, batch=1, attempt=1),
        ev.JobResumed(at=70, run_id="r", crashed=True),
        ev.SessionAbandoned(at=71, batch=1, attempt=1, reason="gone"),
        ev.BatchStarted(at=72, batch=1, attempt=2),
        ev.JobNotice(at=75, message=""),
    ]
    spans = spans_of(events)
    assert spans.bands == [Band("not running", 10, 70)]
    assert [spans.end_of(attempt) for attempt in spans.attempts.values()] == [71, 75]


# --- many -------------------------------------------------------------------------------------------------------------


def journal(batches: int) -> Iterator[ev.Event]:
    """Every batch takes a few seconds, every seventh fails first."""
    plan = ev.PlanShape(batches, 1, 1, batches)
    numbers = itertools.count(1)
    yield ev.JobPlanned(seq=next(numbers), at=1.0, job_id="j", name="many", plan=plan, seed=1, config_digest="")
    for batch in range(1, batches + 1):
        is_bad = batch % 7 == 0
        code = "E001" if is_bad else ""
        outcome: Any = "error" if is_bad else "ok"
        yield ev.BatchStarted(seq=next(numbers), at=float(batch), batch=batch, attempt=1)
        yield ev.SessionFinished(
            seq=next(numbers),
            at=batch + 3.0,
            batch=batch,
            attempt=1,
            outcome=outcome,
            code=code,
            duration=3.0 + batch % 11,
            cost_usd=0.001 * (1 + batch % 13),
        )
        if is_bad:
            yield ev.ValidationFailed(seq=next(numbers), at=batch + 3.0, batch=batch, attempt=1, code=code, message="m")
            yield ev.BatchFailed(seq=next(numbers), at=batch + 3.0, batch=batch, code=code)
        else:
            yield ev.ValidationPassed(seq=next(numbers), at=batch + 3.0, batch=batch, attempt=1)
            yield ev.BatchCompleted(seq=next(numbers), at=batch + 3.0, batch=batch)


@each_kind
def test_ten_thousand_attempts_are_drawn_in_a_moment_with_few_artists(kind: str) -> None:
    events = list(journal(10_000))
    state = fold(events)
    started = time.process_time()
    figure = plot(kind, state, events)
    png, shown = figure._repr_png_()  # type: ignore[attr-defined]  # a figure for notebooks
    assert time.process_time() - started < 5
    assert len(png) < 300_000
    assert shown["width"] == 900
    assert len(figure.findobj()) < 700


def test_a_short_attempt_in_a_long_run_can_still_be_seen() -> None:
    events = [
        ev.BatchStarted(at=0.5, batch=1, attempt=1),
        ev.ValidationFailed(at=0.5, batch=1, attempt=1, code="E001", message="m"),
        ev.JobNotice(at=100_000, message=""),
    ]
    figure = plot("timeline", JobState(), events)
    [bars] = [artist for artist in figure.axes[0].collections if isinstance(artist, LineCollection)]
    [[(start, _), (end, _)]] = bars.get_segments()
    assert (end - start) * 86400 > 100


# --- themes and notebooks ---------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance as in WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#111111"], ids=["light", "dark"])
def test_ink_and_colours_stand_out_on_light_and_on_dark(background: str) -> None:
    assert contrast(pictures.INK, background) > 4
    assert min(contrast(colour, background) for colour in pictures.COLOURS.values()) > 3


def test_the_background_is_that_of_the_notebook(world: World) -> None:
    figure = plot("timeline", world.state, world.store.durable)
    assert figure.get_facecolor()[3] == 0
    assert all(axes.get_facecolor()[3] == 0 for axes in figure.axes)


def test_a_notebook_shows_a_figure_that_a_cell_returns(world: World) -> None:
    figure = plot("durations", world.state, world.store.durable)
    data, metadata = DisplayFormatter().format(figure)
    assert data["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"] == {"width": 900, "height": 340}


def test_no_window_can_open_for_pyplot_is_not_even_imported() -> None:
    code = (
        "import sys\n"
        "from mozart_nb.engine.state import JobState\n"
        "from mozart_nb.frames import plot\n"
        "plot('timeline', JobState(), [])._repr_png_()\n"
        "print('matplotlib.pyplot' in sys.modules, 'pandas' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.split() == ["False", "False"]


def test_without_matplotlib_the_message_says_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from mozart_nb.engine.state import JobState\n"
        "from mozart_nb.errors import MisuseError\n"
        "from mozart_nb.frames import plot\n"
        "try: plot('timeline', JobState(), [])\n"
        "except MisuseError as error: print(error.hint)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "pip install 'mozart-nb[plot]'"

"""The two outputs of a dashboard: what is in them, and that they are found again."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.watched import Publisher

from mozart_nb.jupyter.dashboard.outputs import NOTHING, STATIC_CLASS, WIDGET_MIME, Outputs, live_bundle, static_bundle

WIDGET = {WIDGET_MIME: {"model_id": "m1"}, "text/plain": "VBox(children=(HTML(value='<style>…"}


def test_both_are_shown_once_and_updated_in_their_places() -> None:
    publisher = Publisher()
    outputs = Outputs(publisher)
    outputs.refresh(static_bundle("<p>too early</p>", ""))
    assert publisher.outputs == {}

    outputs.show(live_bundle(WIDGET, "reviews"), static_bundle("<p>1 of 2</p>", "1 of 2"))
    outputs.refresh(static_bundle("<p>2 of 2</p>", "2 of 2"))
    outputs.empty_live()
    assert len(publisher.outputs) == 2
    assert publisher.live == NOTHING
    assert publisher.static["text/plain"] == "2 of 2"


def test_where_widgets_cannot_be_shown_the_live_output_shows_nothing_but_says_what_it_was() -> None:
    bundle = live_bundle(WIDGET, "re--views")
    assert bundle[WIDGET_MIME] == {"model_id": "m1"}
    assert bundle["text/plain"] == "live dashboard of job re--views"
    assert bundle["text/html"].startswith("<!--")
    assert bundle["text/html"].endswith("-->")
    assert "--" not in bundle["text/html"][4:-3]


def test_the_static_output_hides_the_place_of_a_widget_that_is_not_there() -> None:
    html = static_bundle(f'<div class="{STATIC_CLASS}">x</div>', "x")["text/html"]
    assert html.startswith("<style>")
    assert ":not(:has(.mozart-live))" in html


def test_without_ipython_nothing_is_published() -> None:
    outputs = Outputs(None)
    outputs.show(NOTHING, NOTHING)
    outputs.refresh(NOTHING)
    outputs.empty_live()


@pytest.mark.parametrize("module", ["dashboard", "questions", "painter", "outputs", "batch_index"])
def test_ipywidgets_is_loaded_only_when_a_dashboard_is_made(module: str) -> None:
    code = (
        f"import sys, mozart_nb.jupyter.dashboard.{module}; print('ipywidgets' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

"""The two outputs that a dashboard has below its cell.

The first shows the live widget as long as there is one and is empty afterwards. The second is static: HTML and text of
the last state, refreshed now and then, so that a notebook that is saved, exported or opened without trust shows how the
job stood, whether or not a browser was there. While the widget is on the screen its style sheet hides the second.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from html import escape
from typing import Any, Final, Protocol

from mozart_nb.hosts.kernel import shell

Bundle = Mapping[str, Any]
"""MIME type → content, as in nbformat's display data."""

WIDGET_MIME: Final = "application/vnd.jupyter.widget-view+json"
LIVE_CLASS: Final = "mozart-live"
STATIC_CLASS: Final = "mozart-static"

_CUT_OFF: Final = "jupyter-widgets-disconnected"
"""The class that JupyterLab gives a widget whose kernel has gone."""

HIDES_STATIC: Final = (
    f".jp-OutputArea-child:has(.{LIVE_CLASS}:not(.{_CUT_OFF})) + .jp-OutputArea-child:has(.{STATIC_CLASS}),"
    f" .jp-OutputArea-child:has(.{LIVE_CLASS}.{_CUT_OFF}):has(+ .jp-OutputArea-child .{STATIC_CLASS})"
    " { display: none; }"
)
"""CSS: of two outputs, one after the other, only the live one is shown; when its kernel has gone, the static one."""

_HIDES_EMPTY: Final = (
    f"<style>.jp-OutputArea-child:not(:has(.{LIVE_CLASS})):has(+ .jp-OutputArea-child .{STATIC_CLASS})"
    " { display: none; }</style>"
)
"""The other way round: the place of the widget is not shown without one (closed, or saved and without a kernel)."""

NOTHING: Final[Bundle] = {"text/html": "", "text/plain": ""}
"""An output that takes no room; one without any content would be reported as unrenderable."""


class Publisher(Protocol):
    """IPython's display publisher, as far as it is used here."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
    ) -> None:
        """Send an output, or a new content for the one with the same `display_id`."""


def here() -> Publisher | None:
    """The publisher of the running cell; None outside of IPython.

    It is kept from the beginning: while another cell captures its output, IPython's publisher is another one.
    """
    found: Publisher | None = getattr(shell(), "display_pub", None)
    return found


class Outputs:
    """Both outputs of one dashboard, found again by their display ids."""

    def __init__(self, publisher: Publisher | None) -> None:
        self._publisher = publisher
        self._live_id, self._static_id = uuid.uuid4().hex, uuid.uuid4().hex
        self._is_shown = False

    @property
    def is_shown(self) -> bool:
        return self._is_shown

    def show(self, live: Bundle, static: Bundle) -> None:
        """Put both below the cell that runs now."""
        self._is_shown = True
        self._publish(live, self._live_id)
        self._publish(static, self._static_id)

    def refresh(self, static: Bundle) -> None:
        """The static output shows this from now on; nothing before `show`."""
        if self._is_shown:
            self._publish(static, self._static_id, update=True)

    def empty_live(self) -> None:
        """Where the widget was is nothing any more."""
        if self._is_shown:
            self._publish(NOTHING, self._live_id, update=True)

    def _publish(self, bundle: Bundle, display_id: str, *, update: bool = False) -> None:
        if self._publisher is not None:
            self._publisher.publish(dict(bundle), {}, transient={"display_id": display_id}, update=update)


def live_bundle(widget_bundle: Bundle, job_id: str) -> Bundle:
    """The live output. Where widgets cannot be shown it says nothing but, as text, what it was: the static one does."""
    plain = f"live dashboard of job {job_id}"
    return {**widget_bundle, "text/plain": plain, "text/html": f"<!-- {escape(plain.replace('--', '-'))} -->"}


def static_bundle(html: str, text: str) -> Bundle:
    """The static output; `html` is an element of the class `STATIC_CLASS`."""
    return {"text/html": _HIDES_EMPTY + html, "text/plain": text}

"""Every address of the web, for tests that walk all of them: a new one is tested by standing in the table of routes."""

from __future__ import annotations

import re

import pytest

from mozart_nb.jupyter.server.base import ApiHandler, MozartHandler
from mozart_nb.jupyter.server.routes import PREFIX, Route, all_routes

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")


def path_of(route: Route, value: str = "nothing") -> str:
    """An address that the route answers to, with `value` in its places; a number where only numbers fit."""
    pattern, _ = route
    filled = re.sub(r"\(\?P<\w+>((?:[^()]|\([^()]*\))*)\)", lambda place: _fits(place[1], value), pattern)
    filled = filled.replace("(?:/.*)?", "/no-such-thing")
    filled = re.sub(r"\(\?:[^()]*\)\?|/\?$", "", filled)
    return PREFIX + filled.replace("\\", "").rstrip("$")


def _fits(regex: str, value: str) -> str:
    return "7" if value == "nothing" and not re.fullmatch(regex, value) else value


def is_api(handler: type[MozartHandler]) -> bool:
    return issubclass(handler, ApiHandler)


def has_places(route: Route) -> bool:
    return "(?P<" in route[0]


def is_streamed(route: Route) -> bool:
    """Whether GET may go on for ever there."""
    return route[0].endswith("/events")


def changing(route: Route) -> list[str]:
    """Methods that may change something there; one that is not answered to where there are none."""
    return [name for name in CHANGING if name in route[1].methods()] or ["POST"]


def named(route: Route) -> str:
    return route[0]


each_route = pytest.mark.parametrize("route", all_routes(), ids=named)
each_place = pytest.mark.parametrize("route", [one for one in all_routes() if has_places(one)], ids=named)

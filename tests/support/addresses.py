"""Every address of the web, for tests that walk all of them: a new one is tested by standing in the table of routes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature

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


def is_streamed(route: Route) -> bool:
    """Whether GET may go on for ever there."""
    return route[0].endswith("/events")


def changing(route: Route) -> list[str]:
    """Methods that may change something there; one that is not answered to where there are none."""
    return [name for name in CHANGING if name in route[1].methods()] or ["POST"]


Check = Callable[..., None]


def each_route(check: Check) -> Check:
    """A test that makes the check for every route, to the end, and says for which it fails."""
    return _over(all_routes(), check)


def each_place(check: Check) -> Check:
    """The same for the routes that have places for ids and numbers."""
    return _over([route for route in all_routes() if "(?P<" in route[0]], check)


def _over(routes: Sequence[Route], check: Check) -> Check:
    # One test, not one per route: with two hundred of them their preparation takes longer than the requests.
    @wraps(check)
    def test(**fixtures: object) -> None:
        failures = {route[0]: error for route in routes if (error := _failure(check, route, fixtures))}
        assert not failures, "\n".join(f"{pattern}: {error}" for pattern, error in failures.items())

    whole = signature(check)
    wanted = [one for one in whole.parameters.values() if one.name != "route"]
    test.__signature__ = whole.replace(parameters=wanted)  # type: ignore[attr-defined]
    return test


def _failure(check: Check, route: Route, fixtures: Mapping[str, object]) -> AssertionError | None:
    try:
        check(route=route, **fixtures)
    except AssertionError as error:
        return error
    return None

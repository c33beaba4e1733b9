"""Who gets in, at every address: by Jupyter Server's rules, and nobody else.

Three servers: Jupyter's with our extension as most people run it, the same with `allow_unauthenticated_access=False`,
and the one of `mozart dashboard`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import pytest
from support.addresses import CHANGING, METHODS, each_route, is_api, path_of
from support.web import Cookies, Kind, Reply, Web, running_web

from mozart_nb.jupyter.server.base import MozartHandler
from mozart_nb.jupyter.server.routes import PREFIX, Route, all_routes

SERVERS: dict[str, tuple[Kind, list[str]]] = {
    "extension": ("extension", []),
    "strict": ("extension", ["--ServerApp.allow_unauthenticated_access=False"]),
    "standalone": ("standalone", []),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    kind, arguments = SERVERS[request.param]
    with running_web(tmp_path_factory.mktemp(request.param), kind, *arguments) as running:
        yield running
        # Whatever was asked for, and however often, the log tells nobody how to get in.
        assert running.token not in running.log


@pytest.fixture(scope="module")
def cookies(server: Web) -> Cookies:
    return server.sign_in()


def test_the_addresses_made_here_are_those_of_the_table() -> None:
    for route in all_routes():
        first = next(one for one in all_routes() if re.fullmatch(PREFIX + one[0], path_of(route)))
        assert first == route, path_of(route)


def assert_kept_out(answer: Reply, handler: type[MozartHandler], method: str) -> None:
    if is_api(handler):
        assert answer.status == (204 if method == "OPTIONS" else 403), (method, answer)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    elif method in ("GET", "HEAD"):
        assert (answer.status, answer.headers["location"].partition("?")[0]) == (302, "/login"), answer
    else:
        assert answer.status == 403, (method, answer)
    if answer.status == 204 or method == "HEAD":
        assert not answer.body


@each_route
def test_without_token_and_with_a_wrong_one_nobody_gets_in_by_any_method(server: Web, route: Route) -> None:
    path, wrong = path_of(route), {"Authorization": "token 0123456789abcdef"}
    for method, headers in product(METHODS, ({}, wrong)):
        answer = server.ask(path, method, headers=headers, signed_in=False, body=b"" if method in CHANGING else None)
        if answer.status != 405:  # no such method, whoever asks
            assert_kept_out(answer, route[1], method)


@each_route
def test_a_cookie_alone_changes_nothing(server: Web, cookies: Cookies, route: Route) -> None:
    for method in CHANGING:
        for token in ("", "2|00000000|00000000000000000000000000000000|1795212866", "x"):
            headers = {"Cookie": cookies.header} | ({"X-XSRFToken": token} if token else {})
            answer = server.ask(path_of(route), method, headers=headers, document={}, signed_in=False)
            assert answer.status == 403, (method, answer)


@each_route
def test_pages_of_other_sites_get_nothing_with_the_users_cookie(server: Web, cookies: Cookies, route: Route) -> None:
    headers = {"Cookie": cookies.header, "X-XSRFToken": cookies.xsrf, "Origin": "http://evil.example"}
    for method in METHODS:
        if method != "OPTIONS":  # which asks what may be asked, and gets no more than that
            answer = server.ask(path_of(route), method, headers=headers, signed_in=False)
            assert answer.status in (403, 404, 405), (method, answer)
            assert "access-control-allow-origin" not in answer.headers


def test_the_origin_is_what_keeps_other_sites_out(server: Web, cookies: Cookies) -> None:
    ours = {"Cookie": cookies.header, "Origin": server.address}
    assert server.ask("/mozart/", headers=ours, signed_in=False).status == 200
    assert server.ask("/mozart/", headers=ours | {"Origin": "null"}, signed_in=False).status == 403
    assert server.ask("/mozart/", headers=ours | {"Origin": "http://127.0.0.1:1"}, signed_in=False).status == 403


@each_route
def test_a_foreign_host_name_is_refused_even_with_the_token(server: Web, route: Route) -> None:
    for method in METHODS:
        assert server.ask(path_of(route), method, headers={"Host": "evil.example"}).status == 403, method


@pytest.mark.parametrize("host", ["evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "8.8.8.8", ""])
def test_only_names_of_this_machine_are_our_own(server: Web, host: str) -> None:
    assert server.ask("/mozart/", headers={"Host": host}).status in (400, 403)
    assert server.ask("/mozart/", headers={"Host": f"localhost:{server.port}"}).status == 200

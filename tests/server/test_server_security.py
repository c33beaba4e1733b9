"""What every address answers and takes in: nothing inline, nothing of other places, nothing without bound."""

from __future__ import annotations

import re
import time
from contextlib import closing, suppress

import psutil
import pytest
from support.addresses import changing, each_place, each_route, is_api, is_streamed, path_of
from support.web import Web

from mozart_nb.jupyter.server.base import BODY_LIMIT_BYTES
from mozart_nb.jupyter.server.routes import Route

HOSTILE = (
    "..",
    "../../../../../../etc/passwd",
    "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fsecret.txt",
    "..%5c..%5csecret.txt",
    "....//secret.txt",
    "%2fetc%2fpasswd",
    "~root",
    "a~..%2f..",
    "a%00b",
    "%ff%fe",
    "%c0%ae%c0%ae%2f",
    "%0d%0aSet-Cookie:%20a=b",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "999999999999999999999999",
    "-1",
    "a" * 5000,
)
"""What stands in for ids, numbers and whatever else an address has places for."""


# --- what is answered -------------------------------------------------------------------------------------------------


@each_route
def test_every_answer_forbids_what_it_does_not_need(web: Web, route: Route) -> None:
    answer = web.ask(path_of(route))
    assert answer.status < 500
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "private" in answer.headers["cache-control"] or "no-store" in answer.headers["cache-control"]
    assert "server" not in answer.headers
    assert web.token not in answer.text
    assert web.token not in str(dict(answer.headers))


@each_route
def test_nothing_on_a_page_is_inline_and_its_scripts_carry_the_mark_of_this_answer(web: Web, route: Route) -> None:
    answer, again = web.ask(path_of(route)), web.ask(path_of(route))
    if "html" not in answer.headers["content-type"]:
        return
    page = answer.text
    found = re.search(r"script-src 'nonce-([^']{20,})'", answer.headers["content-security-policy"])
    assert found is not None
    assert found[1] not in again.text, "the mark must be another one each time"
    for script in re.findall(r"<script\b[^>]*>[^<]*", page):
        assert f'nonce="{found[1]}"' in script
        assert re.search(r'\bsrc="[^"]+"', script)
        assert script.endswith(">"), f"inline: {script}"
    assert "<style" not in page
    assert not re.search(r"\sstyle=", page)
    assert not re.search(r"\son[a-z]+\s*=", page)
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page), "everything comes from here"
    assert "javascript:" not in page


@each_route
def test_head_says_what_get_says_without_the_body(web: Web, route: Route) -> None:
    if is_streamed(route):
        return  # a stream has no end to be counted
    get, head = web.ask(path_of(route)), web.ask(path_of(route), "HEAD")
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@each_place
def test_no_id_leads_out_of_the_jobs(web: Web, route: Route) -> None:
    for value in HOSTILE:
        answer = web.ask(path_of(route, value))
        assert 300 <= answer.status < 500, (value, answer)
        assert "root:" not in answer.text
        assert "the-secret-beside" not in answer.text
        assert "<script>alert" not in answer.text
        assert "a=b" not in answer.cookies


@pytest.mark.parametrize("name", ["../base.py", "..%2fbase.py", "%2e%2e/app.py", "/etc/passwd", "..%5capp.py", ".", ""])
def test_static_files_are_those_of_their_folder(web: Web, name: str) -> None:
    answer = web.ask(f"/static/mozart_nb/{name}", signed_in=False)
    assert answer.status in (302, 400, 403, 404), answer
    assert web.ask("/static/mozart_nb/mozart.css", signed_in=False).status == 200


# --- how much is taken in ---------------------------------------------------------------------------------------------


@each_route
def test_a_body_of_a_gigabyte_is_refused_before_it_is_sent(web: Web, route: Route) -> None:
    for method in changing(route):
        said = {"Content-Length": str(1 << 30), "Content-Type": "application/json"}
        assert web.ask(path_of(route), method, headers=said).status == 413
        assert web.ask(path_of(route), method, headers=said, signed_in=False).status == 403


def test_a_body_that_never_ends_is_cut_off_and_not_kept(web: Web) -> None:
    before = psutil.Process(web.process.pid).memory_info().rss
    head = f"POST /mozart/api/nothing HTTP/1.1\r\nHost: 127.0.0.1:{web.port}\r\nAuthorization: token {web.token}\r\n"
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    sent = 0
    with closing(web.connect()) as line:
        line.sendall(f"{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with suppress(OSError):  # the line is cut
            while sent < 128 << 20:
                line.sendall(chunk)
                sent += len(chunk)
    assert sent < 64 * BODY_LIMIT_BYTES
    assert psutil.Process(web.process.pid).memory_info().rss - before < 32 << 20


@each_route
def test_bodies_that_make_no_sense_are_answered(web: Web, route: Route) -> None:
    as_json = {"Content-Type": "application/json"}
    nonsense = (b"", b"{", b"[" * 200_000, b"\xff\xfe", b'{"a":' * 5000, b"null", b'"text"', b"[]", b"1e999999")
    for method in changing(route):
        for body in nonsense:
            answer = web.ask(path_of(route), method, headers=as_json, body=body)
            assert 400 <= answer.status < 500, (method, body[:20], answer)
            if is_api(route[1]):
                assert answer.headers["content-type"] == "application/problem+json"
        as_form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert 400 <= web.ask(path_of(route), method, headers=as_form, body=b"a=b").status < 500


@pytest.mark.parametrize(
    "lines",
    [
        b"GET /mozart/" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /mozart/ HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"GET /mozart/ HTTP/1.1\r\n\r\n",
        b"GET /mozart/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /mozart/%zz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET http://evil.example/mozart/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200 + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /mozart/api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /mozart/api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"MOZART /mozart/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=lambda lines: repr(lines[:30]),
)
def test_what_is_no_proper_request_gets_no_answer_of_ours(web: Web, lines: bytes) -> None:
    with closing(web.connect()) as line:
        line.settimeout(20)
        line.sendall(lines)
        line.shutdown(1)  # no more comes
        answer = b""
        with suppress(OSError):  # reset is as good as closed
            while received := line.recv(1 << 16):
                answer += received
    status = int(answer[9:12]) if answer else 400
    assert 300 <= status < 500 or status == 405, answer[:200]


def test_two_hundred_slow_clients_keep_nobody_waiting(web: Web) -> None:
    slow = [web.connect() for _ in range(200)]
    try:
        for line in slow:
            line.sendall(b"POST /mozart/api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        began = time.monotonic()
        for _ in range(5):
            assert web.ask("/mozart/api/nothing").status == 404
        assert time.monotonic() - began < 5
    finally:
        for line in slow:
            line.close()

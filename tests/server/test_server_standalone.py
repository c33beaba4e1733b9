"""The server of `mozart dashboard`: what it exposes, how it begins and ends, and what it lets clients hold."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from jupyter_server.serverapp import JUPYTER_SERVICE_HANDLERS, load_handlers
from support.notebook_environment import notebook_environment
from support.web import Web, running_web

PATIENCE_SECONDS = 60.0

JUPYTERS_OWN = sorted(
    {
        re.sub(r"\(.*|\\|\?|\$", "", str(handler[0])).rstrip("/") or "/"
        for modules in JUPYTER_SERVICE_HANDLERS.values()
        for module in modules or []
        for handler in load_handlers(module)
    }
    | {
        "/api",
        "/metrics",
        "/files/notes.txt",
        "/view/notes.txt",
        "/tree",
        "/lab",
        "/terminals/1",
        "/lsp/ws",
        "/nbextensions",
    }
)
"""Where a whole Jupyter Server answers with something."""


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    root = tmp_path_factory.mktemp("standalone")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "notes.txt").write_text("mine")
    with running_web(root, "standalone") as running:
        yield running


@pytest.mark.parametrize("path", JUPYTERS_OWN)
def test_there_are_no_kernels_files_terminals_or_settings(standalone: Web, path: str) -> None:
    assert len(JUPYTERS_OWN) > 25
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = standalone.ask(path, method, body=b"" if method != "GET" else None)
        is_ours = path == "/api/security/csp-report"
        assert answer.status in ((200, 405, 500) if is_ours else (404, 405)), (method, answer)


def test_its_root_leads_to_the_pages(standalone: Web) -> None:
    assert standalone.ask("/").headers["location"].startswith("/mozart")


def test_the_login_form_lets_in_with_the_token_and_nobody_changes_passwords_there(standalone: Web) -> None:
    form = standalone.ask("/login", signed_in=False)
    assert form.status == 200
    assert "new_password" not in form.text
    xsrf = form.cookies["_xsrf"]
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": f"_xsrf={xsrf}"}
    for word, status in (("wrong", 401), (standalone.token, 302)):
        body = f"_xsrf={xsrf}&password={word}".encode()
        assert standalone.ask("/login?next=/mozart", "POST", headers=sent, body=body, signed_in=False).status == status


def test_what_jupyter_itself_renders_there_is_ours_to_look_at_and_never_shows_the_token(standalone: Web) -> None:
    for path, status, heading in (("/login", 200, "Sign in"), ("/logout", 200, "Signed out"), ("/x", 404, "Not Found")):
        for signed_in in (True, False):
            answer = standalone.ask(path, signed_in=signed_in)
            if answer.status == 302:  # there is nothing to sign in for
                continue
            assert (answer.status, f"<h1>{heading}</h1>" in answer.text) == (status, True), path
            assert standalone.token not in answer.text
            assert "<script" not in answer.text
            assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
            assert answer.headers["x-content-type-options"] == "nosniff"
    for link in re.findall(r'(?:href|src)="([^"]+)"', standalone.ask("/login", signed_in=False).text):
        assert standalone.ask(link).status == 200


def test_what_the_user_has_opened_for_lab_stays_shut_here(tmp_path: Path) -> None:
    settings = Path(notebook_environment(tmp_path)["JUPYTER_CONFIG_DIR"]) / "jupyter_server_config.json"
    opened = {"ServerApp": {"allow_origin": "*", "disable_check_xsrf": True, "allow_remote_access": True}}
    settings.write_text(json.dumps({**opened, "IdentityProvider": {"token": ""}}))
    with running_web(tmp_path, "standalone") as web:
        assert web.ask("/mozart/", signed_in=False).status == 302
        assert web.ask("/mozart/", headers={"Host": "evil.example"}).status == 403
        cookie = web.sign_in().header
        assert web.ask("/mozart/api/x", "POST", headers={"Cookie": cookie}, document={}, signed_in=False).status == 403


# --- what clients may hold --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One with few connections, whose clients must not dawdle."""
    root = tmp_path_factory.mktemp("narrow")
    settings = Path(notebook_environment(root)["JUPYTER_CONFIG_DIR"]) / "mozart_dashboard_config.json"
    narrow: dict[str, object] = {"most_connections": 20, "idle_seconds": 0.5, "base_url": "/tools/"}
    narrow["local_hostnames"] = ["localhost", "lab.example"]
    settings.write_text(json.dumps({"DashboardServer": narrow, "MozartApp": {"body_seconds": 0.5}}))
    with running_web(root, "standalone") as running:
        yield running


def test_a_client_that_dawdles_over_its_head_is_cut_off(narrow: Web) -> None:
    with closing(narrow.connect()) as line:
        line.sendall(b"GET /mozart/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        began = time.monotonic()
        assert line.recv(1) == b""
        assert time.monotonic() - began < 10


def test_a_client_that_dawdles_over_its_body_is_cut_off(narrow: Web) -> None:
    head = f"POST {narrow.base}/mozart/api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {narrow.token}\r\n"
    with closing(narrow.connect()) as line:
        line.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        began = time.monotonic()
        assert line.recv(1) == b""
        assert time.monotonic() - began < 10


def test_behind_a_proxy_it_answers_to_the_name_it_was_given_and_to_pages_of_that_name(narrow: Web) -> None:
    proxied = {"Host": "lab.example", "Origin": "https://lab.example", "Cookie": narrow.sign_in("lab.example").header}
    assert narrow.ask("/mozart/", headers=proxied, signed_in=False).status == 200
    assert narrow.ask("/mozart/", headers=proxied | {"Origin": "https://a.example"}, signed_in=False).status == 403
    assert narrow.ask("/mozart/", headers=proxied | {"Host": "a.example"}, signed_in=False).status == 403


def test_below_a_prefix_its_links_keep_to_it(narrow: Web) -> None:
    assert narrow.base == "/tools"
    page = narrow.ask("/mozart/")
    assert page.status == 200
    assert 'href="/tools/mozart/history"' in page.text


def test_there_are_only_so_many_connections_and_they_come_back(narrow: Web) -> None:
    with ExitStack() as held:
        lines = [held.enter_context(closing(narrow.connect())) for _ in range(40)]
        for line in lines:
            line.settimeout(20)
        # Those beyond the limit are closed at once, the others when they have dawdled.
        assert all(_is_closed_at_last(line) for line in lines)
    assert narrow.ask("/mozart/api/nothing").status == 404


def _is_closed_at_last(line: object) -> bool:
    try:
        return line.recv(1) == b""  # type: ignore[attr-defined]
    except ConnectionResetError:
        return True


# --- beginning and end ------------------------------------------------------------------------------------------------


@contextmanager
def started(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as people type it, with a token of its own making."""
    command = [sys.executable, "-m", "mozart_nb", "dashboard", "--no-browser", *arguments]
    process = subprocess.Popen(
        command, env=notebook_environment(root), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_printed_address_opens_the_pages_until_a_signal_ends_them(tmp_path: Path, number: int) -> None:
    with started(tmp_path, "--port", "0") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/mozart\?token=[0-9a-f]{48}", url)
        with urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200
        runtime = Path(notebook_environment(tmp_path)["JUPYTER_RUNTIME_DIR"])
        (info,) = runtime.glob("jpserver-*.json")
        assert info.stat().st_mode & 0o777 == 0o600
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
        said = process.communicate()
        assert url.partition("token=")[2] not in "".join(said)
        assert "Traceback" not in said[1]
        assert not list(runtime.glob("jpserver-*"))


JOB = """
name: watched
workspace: ./workspace
backend: {type: rehearsal}
batch: {size: 1, total_items: 2}
prompt: {template: "Say {{ batch_num }}."}
"""


def test_it_ends_at_once_and_quietly_however_many_watch(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    run = [sys.executable, "-m", "mozart_nb", "run", str(tmp_path / "job.yaml"), "-q"]
    subprocess.run(run, env=notebook_environment(tmp_path), check=True)
    with running_web(tmp_path, "standalone") as web, ExitStack() as watching:
        for _ in range(5):
            line = watching.enter_context(closing(web.connect()))
            head = (
                f"GET /mozart/api/jobs/watched/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {web.token}"
            )
            line.sendall(f"{head}\r\nAccept: text/event-stream\r\n\r\n".encode())
            assert line.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(20) == 0
        assert not re.search(r"Traceback|destroyed|never retrieved|ERROR", web.log), web.log


def test_a_port_that_is_taken_is_said_and_not_swapped_for_another(tmp_path: Path, standalone: Web) -> None:
    with started(tmp_path, "--port", str(urlsplit(standalone.address).port)) as process:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert not out
    assert f"port {standalone.port} is" in err
    assert "Traceback" not in err

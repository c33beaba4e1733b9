"""Real web servers for tests: a Jupyter Server with our extension, and the one of `mozart dashboard`.

Both are processes of their own on loopback, with their own folders. `Web.ask` sends exactly what it is told to, so that
tests can send what no well-behaved client would.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from support.notebook_environment import notebook_environment
from support.processes import end_family

Kind = Literal["extension", "standalone"]

PATIENCE_SECONDS = 60.0
"""How long a server may take to start or to answer; machines that run tests are busy."""


@dataclass(frozen=True)
class Reply:
    """What a server answered; header names are in lower case, of several with one name the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str]

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Cookies:
    """What a browser holds after signing in: the cookie that says who it is, and the token against forged requests."""

    header: str
    xsrf: str


class Web:
    """A server that runs. `address` is its root without a slash at the end; `root` holds all of its folders."""

    def __init__(self, root: Path, kind: Kind, *arguments: str) -> None:
        self.kind = kind
        self.root = root
        self.environ = notebook_environment(root)
        self.folder = root / "notebooks"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.token = uuid.uuid4().hex
        self._log = root / f"{kind}.log"
        self.process = self._start([*arguments])
        try:
            self.address = self._await_address()
        except BaseException:
            self.close()
            raise
        parts = urlsplit(self.address)
        self.host, self.port, self.base = str(parts.hostname), int(parts.port or 0), parts.path

    @property
    def log(self) -> str:
        """All that the server has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    # --- asking -------------------------------------------------------------------------------------------------------

    def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        document: Any = None,
        signed_in: bool = True,
    ) -> Reply:
        """One request for `path` (below the server's base, sent as it is), with the token unless `signed_in` is False.

        `document` is sent as JSON. Redirects are not followed.
        """
        sent = {"Authorization": f"token {self.token}"} if signed_in else {}
        if document is not None:
            body = json.dumps(document).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.putrequest(method, f"{self.base}{path}", skip_host="Host" in sent, skip_accept_encoding=True)
            if body is not None and "Content-Length" not in sent:
                sent["Content-Length"] = str(len(body))
            for name, value in sent.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            return _reply(connection.getresponse())

    def sign_in(self, host: str = "") -> Cookies:
        """The cookies of a browser that opened the server's address with the token; `host` is a name a proxy has."""
        answer = self.ask(f"/mozart?token={self.token}", headers={"Host": host} if host else {}, signed_in=False)
        header = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        return Cookies(header, answer.cookies["_xsrf"])

    def connect(self) -> socket.socket:
        """A bare connection, for what is no proper HTTP."""
        return socket.create_connection((self.host, self.port), timeout=PATIENCE_SECONDS)

    # --- the process --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the server and whatever it started, however it fares."""
        end_family(self.process, PATIENCE_SECONDS)

    def _start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *_COMMANDS[self.kind], *arguments]
        if self.kind == "extension":
            command += ["--ServerApp.allow_root=True", f"--ServerApp.root_dir={self.folder}"]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self.environ, "JUPYTER_TOKEN": self.token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await_address(self) -> str:
        """The server writes a file that says where it listens; then it answers."""
        runtime = Path(self.environ["JUPYTER_RUNTIME_DIR"])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}:\n{self.log}")
            for path in runtime.glob(f"jpserver-{self.process.pid}.json"):
                with contextlib.suppress(ValueError, OSError, http.client.HTTPException):
                    address = str(json.loads(path.read_text(encoding="utf-8"))["url"]).rstrip("/")
                    parts = urlsplit(address)
                    with socket.create_connection((parts.hostname, parts.port or 0), timeout=1):
                        return address
            time.sleep(0.02)
        raise AssertionError(f"waited for the server to start:\n{self.log}")


_COMMANDS: Mapping[Kind, list[str]] = {
    "extension": [
        "jupyter_server",
        "--no-browser",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        "--ServerApp.jpserver_extensions={'mozart_nb': True}",
        # Should the tests be killed, what they started ends by itself.
        "--ServerApp.shutdown_no_activity_timeout=900",
    ],
    "standalone": ["mozart_nb", "dashboard", "--no-browser", "--port", "0"],
}


def _reply(response: http.client.HTTPResponse) -> Reply:
    cookies: dict[str, str] = {}
    for line in response.headers.get_all("Set-Cookie", []):
        cookies.update({name: morsel.coded_value for name, morsel in SimpleCookie(line).items()})
    headers = {name.lower(): value for name, value in response.headers.items()}
    body = response.read()
    if headers.get("content-encoding") == "gzip" and body:
        body = gzip.decompress(body)
    return Reply(response.status, headers, body, cookies)


@contextlib.contextmanager
def running_web(root: Path, kind: Kind, *arguments: str) -> Iterator[Web]:
    """A server of that kind while the block runs; `root` may hold jobs already (see `notebook_environment`)."""
    web = Web(root, kind, *arguments)
    try:
        yield web
    finally:
        web.close()


@pytest.fixture(scope="module", params=["extension", "standalone"])
def web(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Each test that asks for it runs with both servers, one of each per module."""
    with running_web(tmp_path_factory.mktemp(f"web-{request.param}"), request.param) as running:
        yield running

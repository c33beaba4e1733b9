"""The server of `mozart dashboard`: our pages and the sign-in that they need, and nothing else of Jupyter."""

from __future__ import annotations

import ipaddress
import signal
import tempfile
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.auth.logout import LogoutHandler
from jupyter_server.base.handlers import FileFindHandler, RedirectWithParams, Template404, TrailingSlashHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.security.handlers import CSPReportHandler
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from traitlets import Float, Integer
from traitlets.config import Config

from mozart_nb.jupyter.server.app import HERE
from mozart_nb.jupyter.server.base import BODY_LIMIT_BYTES
from mozart_nb.jupyter.server.headers import OF_A_SERVER_OF_OUR_OWN

PORT: Final = 8000
"""Where the earlier tool's dashboard listened, too. The next free one is taken where this is in use."""

HEAD_LIMIT_BYTES: Final = 1 << 16

KEPT: Final = (
    LoginFormHandler,
    LogoutHandler,
    FileFindHandler,
    RedirectWithParams,
    TrailingSlashHandler,
    Template404,
    CSPReportHandler,
)
"""What Jupyter Server itself may answer with here: signing in and out, its static files, reports of our own policy."""


class BoundedServer(HTTPServer):
    """An HTTP server with at most `most_connections` open ones."""

    most_connections = 0

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        if len(self._connections) >= self.most_connections:
            stream.close()
            return
        super().handle_stream(stream, address)


class DashboardServer(ServerApp):
    """A Jupyter Server without kernels, files, terminals and settings.

    What it answers to is a list of what may stay (`KEPT`), so that what a later Jupyter Server adds stays out too. It
    reads `mozart_dashboard_config`, not the user's `jupyter_server_config`: what was opened there, for Lab, stays shut.
    """

    name = "mozart-dashboard"
    description = "Pages and REST API of mozart_nb"
    default_services = ("security",)  # type: ignore[assignment] # the base has a tuple of all there are
    shows_only_our_pages = True

    most_connections = Integer(
        512,
        config=True,
        help="Open at once; what comes on top is closed at once. Each page that is watched live holds one.",
    )
    idle_seconds = Float(
        30.0,
        config=True,
        help="How long a client may take for the head of a request, or until the next one on the same connection.",
    )

    def __init__(self, say: Callable[[str], None] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._say = say or self.log.warning
        self._empty_folder = tempfile.TemporaryDirectory(prefix="mozart-dashboard-")
        self.root_dir = self._empty_folder.name

    def init_webapp(self) -> None:
        """Jupyter Server's own handlers, but for those that stay, in our looks: its error pages show the token."""
        theirs = self.tornado_settings.get("headers", {})
        self.tornado_settings["headers"] = {**OF_A_SERVER_OF_OUR_OWN, **theirs}
        self.extra_template_paths = [str(HERE / "sign_in"), *self.extra_template_paths]
        super().init_webapp()
        rules = self.web_app.wildcard_router.rules
        rules[:] = [rule for rule in rules if rule.target in KEPT]

    def init_httpserver(self) -> None:
        """Find a port, and set our limits. Nothing is bound before the loop runs."""
        super().init_httpserver()
        self._http_server = BoundedServer(
            self.web_app,
            ssl_options=self.ssl_options,
            xheaders=self.trust_xheaders,
            max_body_size=BODY_LIMIT_BYTES,
            max_buffer_size=4 * BODY_LIMIT_BYTES,
            max_header_size=HEAD_LIMIT_BYTES,
            idle_connection_timeout=self.idle_seconds,
            body_timeout=self.idle_seconds,
        )
        self._http_server.most_connections = self.most_connections

    def init_signal(self) -> None:
        """Ctrl-C ends it at once: no job runs here, so there is nothing to ask about."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.stop(from_signal=True)

    def start_app(self) -> None:
        """Nothing is said before it is true: the loop binds the port first, as that was asked of it first."""
        self.io_loop.add_callback(self._be_there)

    def _be_there(self) -> None:
        self.write_server_info_file()
        if self.open_browser:
            self.write_browser_open_file()
            self.launch_browser()
        self._say(self.local_url if is_loopback(self.ip) else self.connect_url)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(*, host: str, port: int | None, open_browser: bool, say: Callable[[str], None]) -> None:
    """Answer until Ctrl-C or SIGTERM. `say` gets the address, with the token, as soon as it is known.

    Without `port` the next free one from 8000 is taken; 0 takes any. Exits with 1 where the one asked for is taken.
    """
    config = Config(
        {
            "ServerApp": {
                "ip": host,
                "port": PORT if port is None else port,
                "port_retries": 50 if port is None else 0,
                "open_browser": open_browser,
                "log_level": "WARN",
            },
            "MozartApp": {"log_level": "WARN"},
            "PasswordIdentityProvider": {"allow_password_change": False},
        }
    )
    server = DashboardServer.instance(say=say, config=config, jpserver_extensions={"mozart_nb": True})
    server.initialize(argv=[], starter_extension="mozart_nb", find_extensions=False)
    server.start()

"""The extension: what Jupyter Server loads, in the user's JupyterLab and in the server of `mozart dashboard`."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined
from jupyter_server.extension.application import ExtensionApp, ExtensionAppJinjaMixin
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado.routing import PathMatches, Rule
from traitlets import Float

from mozart_nb.job.secrets import secrets_of_environment
from mozart_nb.jupyter.server.routes import PREFIX, LateRoutes, all_routes
from mozart_nb.jupyter.server.workers import CHECKERS, CHECKS_WAITING, Workers
from mozart_nb.jupyter.whereabouts import announce, withdraw
from mozart_nb.masking import know

if TYPE_CHECKING:
    from mozart_nb.looking.board import Board

HERE = Path(__file__).parent


class MozartApp(ExtensionAppJinjaMixin, ExtensionApp):
    """Pages and REST API of mozart_nb below `/mozart/`.

    It runs no jobs: it reads what they leave on disk, and asks whoever runs them. Templates and static files are part
    of the package; `/static/mozart_nb/` is public, as all static files of Jupyter Server are.
    """

    name = "mozart_nb"
    description = "Pages and REST API of mozart_nb"
    extension_url = PREFIX
    default_url = PREFIX

    body_seconds = Float(20.0, config=True, help="How long a client may take to send the body of a request.")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.static_paths = [str(HERE / "static")]
        self.template_paths = [str(HERE / "templates")]
        # A name that a template misspells is an error in every test, not an empty place on a page.
        self.jinja2_options = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
        self.workers = Workers()
        self.checkers = Workers(CHECKERS, CHECKS_WAITING)

    @cached_property
    def board(self) -> Board:
        """What the web sees of the user's jobs; one for all who look. A JupyterLab where nobody looks pays nothing."""
        from mozart_nb.looking.board import Board

        return Board()

    @property
    def is_standalone(self) -> bool:
        """Whether this server shows nothing but our pages (`mozart dashboard`)."""
        return bool(getattr(self.serverapp, "shows_only_our_pages", False))

    def initialize_settings(self) -> None:
        """What must never be shown is known before the first page is."""
        know(secrets_of_environment(os.environ))

    def initialize_handlers(self) -> None:
        """Every address of `routes.all_routes`."""
        assert self.serverapp is not None
        base_url = self.serverapp.base_url
        late = LateRoutes(self.serverapp.web_app, base_url)
        where = PathMatches(f"{re.escape(url_path_join(base_url, PREFIX))}(?:/.*)?")
        self.serverapp.web_app.add_handlers(".*$", [Rule(where, late)])  # type: ignore[no-untyped-call]

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """The server answers: import what answers in it, aside, and let its kernels link to the pages."""
        if not self.is_standalone:
            announce(url_path_join(serverapp.base_url, PREFIX))
        try:
            await self.workers.run(all_routes)
        except Exception:
            self.log.exception("the pages of mozart_nb cannot be imported")

    async def stop_extension(self) -> None:
        """End what listens, and let go of the threads."""
        withdraw()
        if "board" in self.__dict__:
            await self.board.close()
        self.workers.close()
        self.checkers.close()

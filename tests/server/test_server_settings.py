"""The extension follows how its Jupyter Server is set up: prefix, authorizer, frames, origins, installation."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.addresses import changing, is_api, path_of
from support.notebook_environment import notebook_environment
from support.web import Web, running_web

from mozart_nb.jupyter.server.api.stream import HEARTBEAT_SECONDS, MOST_STREAMS
from mozart_nb.jupyter.server.app import MozartApp
from mozart_nb.jupyter.server.base import BODY_LIMIT_BYTES
from mozart_nb.jupyter.server.routes import all_routes
from mozart_nb.jupyter.server.standalone import DashboardServer
from mozart_nb.jupyter.server.workers import THREADS, WAITING

ROOT = Path(__file__).parents[2]
PREFIX = "/user/ann@lab.example/"

SETTINGS = """
from jupyter_server.auth import Authorizer

class OnlyLooks(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read" and resource in ("mozart", "csp")

c.ServerApp.authorizer_class = OnlyLooks
c.ServerApp.base_url = "/user/ann@lab.example/"
c.ServerApp.allow_origin = "https://portal.example"
c.ServerApp.tornado_settings = {"headers": {"Content-Security-Policy": "frame-ancestors 'self' https://portal.example"}}
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A server below a prefix, as JupyterHub starts them, where people may look and not touch."""
    root = tmp_path_factory.mktemp("theirs")
    settings = Path(notebook_environment(root)["JUPYTER_CONFIG_DIR"]) / "jupyter_server_config.py"
    settings.write_text(SETTINGS)
    with running_web(root, "extension") as running:
        yield running


def test_every_link_of_a_page_stays_below_the_prefix_and_leads_somewhere(theirs: Web) -> None:
    page = theirs.ask("/mozart/")
    assert page.status == 200
    links = set(re.findall(r'(?:href|src)="(/[^"#]*)', page.text))
    assert len(links) > 4
    for link in links:
        assert link.startswith(PREFIX), link
        assert theirs.ask(link.removeprefix(PREFIX.rstrip("/"))).status == 200, link
    assert theirs.ask("/mozart/", signed_in=False).headers["location"].startswith(f"{PREFIX}login?next=")


def test_who_may_only_look_can_read_everything_and_change_nothing(theirs: Web) -> None:
    assert theirs.ask("/mozart/api/jobs").status == 200
    for route in all_routes():
        for method in changing(route):
            answer = theirs.ask(path_of(route), method, document={})
            assert answer.status == (403 if method in route[1].methods() else 405), (route, method)
            if is_api(route[1]) and answer.status == 403:
                assert "not authorized to write on resource: mozart" in answer.json()["detail"]


def test_who_may_frame_jupyter_may_frame_the_pages_and_nothing_else_changes(theirs: Web) -> None:
    for path in ("/mozart/", "/mozart/api/jobs"):
        policy = theirs.ask(path).headers["content-security-policy"]
        assert "frame-ancestors 'self' https://portal.example" in policy
        assert policy.startswith("default-src 'none'")


def test_the_origin_that_was_allowed_is_let_in_and_no_other(theirs: Web) -> None:
    cookie = {"Cookie": theirs.sign_in().header}
    allowed = theirs.ask("/mozart/api/jobs", headers=cookie | {"Origin": "https://portal.example"}, signed_in=False)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, "https://portal.example")
    other = theirs.ask("/mozart/api/jobs", headers=cookie | {"Origin": "https://other.example"}, signed_in=False)
    assert other.status == 404


def test_kernels_of_the_server_are_told_where_its_pages_begin(theirs: Web) -> None:
    notice = Path(theirs.environ["JUPYTER_RUNTIME_DIR"]) / f"mozart_nb-{theirs.process.pid}.json"
    assert json.loads(notice.read_text())["mozart_url"] == f"{PREFIX}mozart"


def test_every_setting_of_ours_stands_in_the_documentation_with_its_default() -> None:
    page = (ROOT / "docs/server.md").read_text()
    for kind in (DashboardServer, MozartApp):
        own = kind.class_own_traits(config=True)
        ours = {name for name in own if name in vars(kind)} - {"name", "description", "default_url", "extension_url"}
        assert ours
        for name in ours:
            assert f"| `{kind.__name__}.{name}` | `{own[name].default_value}` |" in page


def test_the_limits_in_the_documentation_are_those_of_the_code() -> None:
    page = (ROOT / "docs/server.md").read_text()
    assert f"more than {THREADS + WAITING} requests at once" in page
    assert f"more than {BODY_LIMIT_BYTES >> 20} MiB" in page
    assert f"At most {MOST_STREAMS} clients listen" in page
    assert f"every {HEARTBEAT_SECONDS:.0f} seconds" in page


# --- as it is installed -----------------------------------------------------------------------------------------------


def test_installing_the_package_enables_both_extensions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"jupyter-config": "etc/jupyter", "labextension": "share/jupyter/labextensions/mozart-nb"}
    enabled = json.loads((ROOT / "jupyter-config/jupyter_server_config.d/mozart_nb.json").read_text())
    assert enabled == {"ServerApp": {"jpserver_extensions": {"mozart_nb": True}}}
    package = json.loads((ROOT / "labextension/package.json").read_text())
    assert (package["name"], package["version"]) == ("mozart-nb", project["project"]["version"])
    assert (ROOT / "labextension" / package["jupyterlab"]["_build"]["load"]).is_file()


_PARTS = ("static", "templates", "sign_in")


def test_no_template_or_static_file_is_left_out_of_the_wheel() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("what is built leaves out what git ignores, and there is no repository here")
    server = ROOT / "src/mozart_nb/jupyter/server"
    files = [path for folder in _PARTS for path in (server / folder).rglob("*") if path.is_file()]
    assert len(files) > 10
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ignored.stdout == ""


@pytest.mark.parametrize(
    "statement",
    [
        "import mozart_nb",
        "from mozart_nb import Job",
        "import mozart_nb.hosts.kernel, mozart_nb.jupyter.magics.loading",
        "import mozart_nb.jupyter.dashboard.dashboard",
        "import mozart_nb.cli.commands",
    ],
)
def test_nobody_pays_for_the_server_who_does_not_run_one(statement: str) -> None:
    assert not {"jupyter_server", "tornado"} & imported_by(statement)


def test_the_server_pays_neither_for_frames_nor_for_widgets_nor_for_the_backends() -> None:
    at_start = imported_by("from mozart_nb import _jupyter_server_extension_points as points; points()")
    assert not {"pydantic", "mozart_nb.looking", "mozart_nb.engine"} & at_start
    in_use = imported_by("from mozart_nb.jupyter.server.routes import all_routes; all_routes()")
    assert not {"pandas", "numpy", "ipywidgets", "anthropic", "matplotlib", "IPython"} & in_use


def imported_by(statement: str) -> set[str]:
    """Names of everything that is imported after `statement`, ours down to the second part."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(['.'.join(n.split('.')[:2]) for n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout))
    return names | {name.partition(".")[0] for name in names}

"""A real JupyterLab and a real Chromium, for tests that look at notebooks as people do.

`Lab` is the server, with its own folders and a token; `LabPage` is a browser window on it; `Notebook` is an open
document. Nothing sleeps: whatever takes time is waited for, and what never comes is reported with a screenshot and the
server's log.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request, urlopen

import nbformat
import psutil
from playwright.sync_api import Error, Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout
from support.notebook_environment import notebook_environment
from support.processes import end_family

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
"""How long anything may take before it counts as stuck; machines that run tests are busy."""

SCREENSHOTS = os.environ.get("MOZART_NB_SCREENSHOTS", "")
"""Folder for screenshots that a person wants to see. Read once: tests run without any variable of ours."""

CHROMIUM = os.environ.get("MOZART_NB_CHROMIUM", "")
_USUAL_NAMES = ("chromium", "chromium-browser", "google-chrome")

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    # Pages reach nothing but this machine, whatever they ask for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    # Lab would take cells out of the page while they are off screen.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # Tests save when they mean to.
    "docmanager-extension/plugin": {"autosave": False},
}


def find_chromium() -> str | None:
    """The browser that tests may start: `MOZART_NB_CHROMIUM`, else one of the usual names."""
    candidates = [CHROMIUM] if CHROMIUM else [shutil.which(name) for name in _USUAL_NAMES]
    return next((path for path in candidates if path and os.access(path, os.X_OK)), None)


# --- the server -------------------------------------------------------------------------------------------------------


class Lab:
    """A JupyterLab server of its own on loopback. `folder` holds its notebooks, `environ` what its kernels get."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "notebooks"
        self.folder.mkdir(parents=True)
        self.environ = notebook_environment(root)
        self.token = uuid.uuid4().hex
        self._log = root / "lab.log"
        self._write_settings()
        self._process = self._start()
        try:
            self.url = self._await_url()
        except BaseException:
            self.close()
            raise

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the server's REST API; what it answers, as Python data."""
        request = Request(
            f"{self.url}api/{path}", method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Authorization", f"token {self.token}")
        with urlopen(request, timeout=PATIENCE_SECONDS) as response:
            content = response.read()
        return json.loads(content) if content else None

    def end_sessions(self) -> None:
        """Shut down every kernel, as closing all of them in Lab's sidebar does."""
        for session in self.api("GET", "sessions"):
            self.api("DELETE", f"sessions/{session['id']}")

    def kernel_pid(self, path: str) -> int:
        """The process of the kernel behind a notebook that is open."""
        kernel = next(one["kernel"]["id"] for one in self.api("GET", "sessions") if one["path"] == path)
        for child in psutil.Process(self._process.pid).children(recursive=True):
            if any(kernel in argument for argument in child.cmdline()):
                return int(child.pid)
        raise AssertionError(f"no process of the kernel of {path}")

    def write_notebook(self, name: str, cells: Sequence[str]) -> Path:
        """A notebook of code cells without outputs."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    def close(self) -> None:
        """End the server and whatever it started, however it fares."""
        end_family(self._process, PATIENCE_SECONDS)

    def _write_settings(self) -> None:
        for name, values in _SETTINGS.items():
            path = Path(self.environ["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": "0",
            "ServerApp.allow_root": "True",
            "ServerApp.root_dir": str(self.folder),
            # Should the tests be killed, what they started ends by itself.
            "ServerApp.shutdown_no_activity_timeout": "900",
            "MappingKernelManager.cull_idle_timeout": "600",
            "IdentityProvider.token": self.token,
            "LabApp.expose_app_in_browser": "True",
            "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "LabApp.news_url": "None",
            "TerminalsExtensionApp.enabled": "False",
        }
        command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
        command += [f"--{name}={value}" for name, value in options.items()]
        with self._log.open("wb") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _await_url(self) -> str:
        """The server writes a file that says where it listens; then its API answers."""
        runtime = Path(self.environ["JUPYTER_RUNTIME_DIR"])

        def listening() -> str | None:
            if self._process.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with {self._process.returncode}:\n{self.log}")
            for path in runtime.glob("jpserver-*.json"):
                with contextlib.suppress(ValueError, OSError):
                    self.url = str(json.loads(path.read_text(encoding="utf-8"))["url"])
                    self.api("GET", "status")
                    return self.url
            return None

        return wait_until(listening, lambda: f"JupyterLab to start:\n{self.log}")


def wait_until(claim: Callable[[], T | None], what: Callable[[], str], timeout: float = PATIENCE_SECONDS) -> T:
    """Ask until `claim` is true; for the world outside the browser, which sends no news."""
    deadline = time.monotonic() + timeout
    while not (found := claim()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what()}")
        time.sleep(0.05)
    return found


# --- the browser ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def chromium(home: Path) -> Iterator[Callable[..., Page]]:
    """A headless Chromium; gives a function that opens a window, with options of Playwright's `new_context`."""
    path = find_chromium()
    assert path is not None
    environ = notebook_environment(home)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=_FLAGS, env=environ)
        try:

            def window(**options: Any) -> Page:
                context = browser.new_context(viewport={"width": 1280, "height": 960}, **options)
                context.set_default_timeout(PATIENCE_SECONDS * 1000)
                return context.new_page()

            yield window
        finally:
            browser.close()


class LabPage:
    """A browser window that shows a `Lab`. `problems` are uncaught errors of its scripts."""

    def __init__(self, lab: Lab, page: Page, pictures: Path) -> None:
        self.lab = lab
        self.page = page
        self.problems: list[str] = []
        self._pictures = pictures
        page.on("pageerror", self._note_problem)
        page.goto(f"{lab.url}lab?reset&token={lab.token}", wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp !== undefined")
        self.script("await app.restored; app.shell.collapseLeft()")

    def _note_problem(self, error: Error) -> None:
        # Lab's splash screen takes itself out of the page twice now and then.
        if "'removeChild' on 'Node'" not in error.message:
            self.problems.append(error.stack or error.message)

    def script(self, code: str, argument: Any = None) -> Any:
        """Run JavaScript with `app` (Lab's application) and `argument` at hand."""
        return self.page.evaluate(f"async (argument) => {{ const app = window.jupyterapp; {code} }}", argument)

    def command(self, name: str, **arguments: Any) -> None:
        """Run a command of Lab's registry, to its end."""
        self.script("await app.commands.execute(argument[0], argument[1])", [name, arguments])

    def open(self, path: str, *, with_kernel: bool = True) -> Notebook:
        """Open a notebook and wait until it is drawn and, where wanted, its kernel is there."""
        self.script(
            """
            const widget = await app.commands.execute('docmanager:open', {path: argument[0], factory: 'Notebook'});
            const session = widget.context.sessionContext;
            if (!argument[1]) {  // before the notebook has come from the server, and with it the wish for a kernel
                session.kernelPreference = {...session.kernelPreference, shouldStart: false, canStart: false};
            }
            await widget.context.ready; await widget.revealed;
            if (argument[1]) { await session.ready; }
            """,
            [path, with_kernel],
        )
        return Notebook(self, path)

    def use_theme(self, *, dark: bool) -> None:
        theme = "JupyterLab Dark" if dark else "JupyterLab Light"
        self.command("apputils:change-theme", theme=theme)
        self.page.wait_for_selector(f"body[data-jp-theme-name='{theme}']", state="attached")

    def screenshot(self, name: str, what: Locator | None = None) -> Path:
        """A picture of the window, or of one thing in it, to be kept where `MOZART_NB_SCREENSHOTS` says."""
        if SCREENSHOTS:
            self.page.wait_for_timeout(2000)  # what people look at shows a page that has caught up
        return self._picture(Path(SCREENSHOTS) if SCREENSHOTS else self._pictures, name, what or self.page)

    def evidence(self) -> Path:
        """A picture of what went wrong, in the test's own folder."""
        return self._picture(self._pictures, f"failed-{uuid.uuid4().hex[:8]}", self.page)

    def _picture(self, folder: Path, name: str, what: Locator | Page) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        what.screenshot(path=path)
        return path


class Notebook:
    """One open notebook. Cells are counted from 0; outputs are looked at, never sources."""

    def __init__(self, window: LabPage, path: str) -> None:
        self.window = window
        self.page = window.page
        self.path = path
        self.file = window.lab.folder / path
        self._panel = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    # --- doing ----------------------------------------------------------------------------------------------------

    def run(self, index: int) -> None:
        """Start a cell; it may still run when this returns. By command: a click and a key stroke get lost at times."""
        self._script(
            "notebook.activeCellIndex = argument; notebook.deselectAll(); app.commands.execute('notebook:run-cell')",
            index,
        )

    def run_to_end(self, index: int, timeout: float = PATIENCE_SECONDS) -> None:
        self.run(index)
        self.wait_for_end(index, timeout)

    def interrupt(self) -> None:
        self.window.command("notebook:interrupt-kernel")

    def restart_kernel(self) -> None:
        """Without the question whether one is sure; returns when the new kernel answers."""
        self._script("await panel.sessionContext.session.kernel.restart(); await panel.sessionContext.ready")

    def click(self, index: int, button: str) -> None:
        """Click a button in the outputs of a cell, by what is written on it, as soon as it can be clicked."""
        self.wait_for(lambda: self.button(index, button).click(), f"the button {button!r}", index)

    def save(self) -> None:
        self._script("await panel.context.save()")

    def close(self) -> None:
        """Close the document without saving; its kernel goes on."""
        self._script("panel.context.model.dirty = false; panel.dispose()")

    # --- looking --------------------------------------------------------------------------------------------------

    def scroll_to(self, index: int) -> None:
        """Bring the top of a cell to the top of the window."""
        self.cell(index).evaluate("cell => cell.scrollIntoView({block: 'start'})")

    def cell(self, index: int) -> Locator:
        return self._panel.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """Everything that is shown below a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def button(self, index: int, name: str) -> Locator:
        return self.output(index).get_by_role("button", name=name, exact=True)

    def text(self, index: int) -> str:
        """What a person reads below a cell."""
        return "\n".join(self.output(index).all_inner_texts())

    def is_trusted(self) -> bool:
        return bool(self._script("return panel.content.model.cells.get(0).trusted"))

    # --- waiting --------------------------------------------------------------------------------------------------

    def wait_for_text(self, index: int, text: str, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until `text` can be read below a cell."""
        there = expect(self.output(index))
        said = repr(text)
        self.wait_for(lambda: there.to_contain_text(text, timeout=timeout * 1000, use_inner_text=True), said, index)

    def wait_for_match(self, index: int, pattern: str, timeout: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Wait until something that matches can be read below a cell."""
        compiled = re.compile(pattern)
        there = expect(self.output(index))
        self.wait_for(lambda: there.to_have_text(compiled, timeout=timeout * 1000, use_inner_text=True), pattern, index)
        found = compiled.search(self.text(index))
        assert found is not None, f"{pattern} was there, and is gone: {self.text(index)[:1000]}"
        return found

    def wait_for_end(self, index: int, timeout: float = PATIENCE_SECONDS) -> None:
        """Wait until a cell has its number, which is when its code is over."""
        prompt = self.cell(index).locator(".jp-InputPrompt")
        numbered = re.compile(r"\[\d+\]")
        self.wait_for(
            lambda: expect(prompt).to_have_text(numbered, timeout=timeout * 1000), "the end of the cell", index
        )

    def wait_for(self, expectation: Callable[[], None], what: str, index: int) -> None:
        """Run an expectation of Playwright; a failure says what is there instead, with a picture."""
        try:
            expectation()
        except (AssertionError, PlaywrightTimeout) as error:
            picture = self.window.evidence()
            raise AssertionError(
                f"waited for {what} below cell {index} of {self.path}; there is:\n{self.text(index)[:3000]}\n"
                f"picture: {picture}\nerrors of the page: {self.window.problems}\n"
                f"end of the server's log:\n{self.window.lab.log[-3000:]}"
            ) from error

    def _script(self, code: str, argument: Any = None) -> Any:
        prelude = "const panel = app.shell.currentWidget; const notebook = panel.content;"
        return self.window.script(prelude + code, argument)

"""Drives a real ipykernel as a front-end does, message by message; remembers what it said, when and how long it was.

A `Kernel` is a process of its own. What arrives is kept the way a front-end keeps it: outputs per cell (updated in
place where they have a display id) and the state of every widget.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import psutil
from jupyter_client.connect import write_connection_file
from support.kernel_records import Cell, Gap, Message, Traffic
from support.kernel_wire import PATIENCE_SECONDS, Content, Wire

T = TypeVar("T")

_PROBE = """
import asyncio, contextvars, time
_beats = []
async def _beat(interval=%r):
    while True:
        wall, cpu = time.perf_counter(), time.thread_time()
        await asyncio.sleep(interval)
        _beats.append((time.perf_counter() - wall - interval, time.thread_time() - cpu))
_probe = asyncio.get_running_loop().create_task(_beat(), context=contextvars.Context())
"""


class Kernel:
    """A running kernel. `folder` is where its notebook lies; `close` ends it however it fares."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self.environ = dict(environ)
        self.messages: list[Message] = []
        self.models: dict[str, Content] = {}
        self._cells: dict[str, Cell] = {}
        self._replies: dict[str, Content] = {}
        self._news = threading.Condition()
        # Paths of sockets must be short.
        self._private = Path(tempfile.mkdtemp(prefix="mozart-kernel-"))
        self._log = self._private / "log"
        self._wire: Wire | None = None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    # --- the process ----------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the process wrote to its own terminal."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def cpu_seconds(self) -> float:
        """User and system time of the kernel's process so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def interrupt(self) -> None:
        """As the Stop button: a SIGINT to the kernel's process group."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """As a power cut: the kernel, and nothing it started, is gone at once."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def shut_down(self, *, restart: bool = False, grace_seconds: float = 5.0) -> None:
        """Ask the kernel to go, as a front-end does, and end it after the grace time."""
        assert self._process is not None
        self._send("control", "shutdown_request", {"restart": restart})
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_seconds)
        if self.is_alive:
            self.kill()

    def restart(self) -> None:
        """A new process in place of the old one; widgets and variables are gone, recorded messages stay."""
        if self.is_alive:
            self.shut_down(restart=True)
        self._disconnect()
        self.models.clear()
        self._start()

    def close(self) -> None:
        if self.is_alive:
            self.kill()
        self._disconnect()
        shutil.rmtree(self._private, ignore_errors=True)

    def _start(self) -> None:
        number = len(list(self._private.glob("*.json")))
        path, info = write_connection_file(
            str(self._private / f"{number}.json"),
            transport="ipc",
            ip=str(self._private / f"s{number}"),
            key=uuid.uuid4().hex.encode(),
        )
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", path, "--HistoryManager.hist_file=:memory:"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wire = Wire(info, self._receive)
        self._await_readiness()

    def _await_readiness(self) -> None:
        """A kernel is ready once it answers and is heard on the channel of outputs, which has no memory."""
        since = len(self.messages)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self._send("shell", "kernel_info_request", {})
            with self._news:
                self._news.wait(0.2)
                heard = {message.channel for message in self.messages[since:]}
            if {"shell", "iopub"} <= heard:
                break
            if not self.is_alive or time.monotonic() > deadline:
                raise RuntimeError(f"the kernel did not start:\n{self.log}")

    def _disconnect(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    # --- requests -------------------------------------------------------------------------------------------------

    def execute(self, code: str, **content: Any) -> Cell:
        """Send a cell and return at once; `content` overrides fields of the request."""
        request = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **content,
        }
        with self._news:  # so that the cell is known before its first message
            cell = Cell(self._send("shell", "execute_request", request), code, time.monotonic())
            self._cells[cell.msg_id] = cell
        return cell

    def finish(self, cell: Cell, timeout: float = PATIENCE_SECONDS) -> Cell:
        """Wait until a cell has its reply and the kernel has said all that belongs to it."""
        self.wait_until(lambda: cell.reply and cell.is_idle, timeout, f"the end of {cell.code!r}")
        return cell

    def run(self, code: str, timeout: float = PATIENCE_SECONDS) -> Cell:
        """Run a cell to its end. It may have failed: see `status`."""
        return self.finish(self.execute(code), timeout)

    def value(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, as far as JSON goes."""
        reply = self.ask("shell", "execute_request", _silent({"value": f"__import__('json').dumps({expression})"}))
        value = reply["user_expressions"]["value"]
        assert value["status"] == "ok", value
        return json.loads(ast.literal_eval(value["data"]["text/plain"]))

    def ask(self, channel: str, kind: str, content: Content, timeout: float = PATIENCE_SECONDS) -> Content:
        """Send any request and return the content of its reply."""
        msg_id = self._send(channel, kind, content)
        return self.wait_until(lambda: self._replies.get(msg_id), timeout, f"a reply to {kind}")

    def complete(self, code: str, cursor: int | None = None) -> Content:
        return self.ask("shell", "complete_request", {"code": code, "cursor_pos": _at(code, cursor)})

    def inspect(self, code: str, cursor: int | None = None) -> Content:
        request = {"code": code, "cursor_pos": _at(code, cursor), "detail_level": 0}
        return self.ask("shell", "inspect_request", request)

    def new_subshell(self) -> str:
        """A thread of the kernel that takes messages while the main one is busy, as JupyterLab makes for widgets."""
        return str(self.ask("control", "create_subshell_request", {})["subshell_id"])

    def _send(self, channel: str, kind: str, content: Content, subshell: str | None = None) -> str:
        assert self._wire is not None
        return self._wire.send(channel, kind, content, subshell)

    # --- widgets --------------------------------------------------------------------------------------------------

    def models_with(self, **traits: Any) -> list[str]:
        """Ids of the widgets that have all of these traits by now."""
        return [one for one, state in list(self.models.items()) if traits.items() <= _hashable(state).items()]

    def model(self, timeout: float = PATIENCE_SECONDS, **traits: Any) -> str:
        """The id of the one widget with these traits; waits until there is one."""
        found = self.wait_until(lambda: self.models_with(**traits), timeout, f"a widget with {traits}")
        assert len(found) == 1, f"{len(found)} widgets have {traits}"
        return found[0]

    def tell(self, model: str, data: Content, subshell: str | None = None) -> None:
        """Send a message to a widget, as its view in a browser does."""
        self._send("shell", "comm_msg", {"comm_id": model, "data": data}, subshell)

    def click(self, model: str, subshell: str | None = None) -> None:
        self.tell(model, {"method": "custom", "content": {"event": "click"}}, subshell)

    def change(self, model: str, subshell: str | None = None, **traits: Any) -> None:
        """Set traits of a widget from the side of the browser."""
        self.models[model].update(traits)
        self.tell(model, {"method": "update", "state": traits, "buffer_paths": []}, subshell)

    # --- measurements ---------------------------------------------------------------------------------------------

    def traffic(self, since: float, until: float | None = None) -> Traffic:
        """What was sent to browsers between two moments of the monotonic clock."""
        until = time.monotonic() if until is None else until
        sent = [one for one in list(self.messages) if one.channel == "iopub" and since <= one.at < until]
        kinds = Counter(one.kind for one in sent)
        return Traffic(len(sent), sum(one.size for one in sent), until - since, kinds)

    def watch_loop(self, interval: float = 0.01) -> None:
        """Let a task beat on the kernel's loop from now on; see `gaps`."""
        assert self.run(_PROBE % interval).status == "ok"

    def gaps(self) -> list[Gap]:
        """How late each beat was since `watch_loop` or since this was asked before."""
        beats = self.value("_beats")
        self.run("_beats.clear()")
        return [Gap(*beat) for beat in beats]

    # --- waiting --------------------------------------------------------------------------------------------------

    def wait_until(self, claim: Callable[[], T], timeout: float = PATIENCE_SECONDS, what: str = "it") -> T:
        """Wait for `claim` to be true, looking whenever a message arrives; returns what it returned."""
        deadline = time.monotonic() + timeout
        with self._news:
            while not (found := claim()):
                left = deadline - time.monotonic()
                if left <= 0 or not self.is_alive:
                    raise AssertionError(f"waited {timeout} s for {what}; {self._last_words()}")
                self._news.wait(min(left, 0.05))
            return found

    def _last_words(self) -> str:
        said = "\n".join(f"{one.channel} {one.kind} {str(one.content)[:500]}" for one in self.messages[-6:])
        return f"the kernel is {'alive' if self.is_alive else 'gone'}; it said last:\n{said}\n{self.log[-3000:]}"

    # --- what arrives ---------------------------------------------------------------------------------------------

    def _receive(self, channel: str, message: Content, size: int) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        parent = message["parent_header"].get("msg_id", "")
        with self._news:
            self.messages.append(Message(time.monotonic(), channel, kind, parent, content, size))
            if channel != "iopub":
                self._replies[parent] = content
                self._note_reply(parent, content)
            elif kind.startswith("comm_"):
                self._note_comm(kind, content, message["buffers"])
            else:
                self._note_output(kind, content, self._cells.get(parent))
            self._news.notify_all()

    def _note_reply(self, parent: str, content: Content) -> None:
        if cell := self._cells.get(parent):
            cell.reply, cell.replied_at = content, time.monotonic()

    def _note_output(self, kind: str, content: Content, cell: Cell | None) -> None:
        if kind == "update_display_data":
            for output in self._outputs_called(content["transient"]["display_id"]):
                output.update(data=content["data"], metadata=content["metadata"])
        elif cell is None:
            return
        elif kind == "status":
            cell.is_idle |= content["execution_state"] == "idle"
        elif kind == "clear_output":
            cell.outputs.clear()
        elif kind in ("stream", "display_data", "execute_result", "error"):
            cell.show(content, kind)

    def _outputs_called(self, display_id: str) -> Iterator[Content]:
        for cell in self._cells.values():
            for output in cell.outputs:
                if output.get("transient", {}).get("display_id") == display_id:
                    yield output

    def _note_comm(self, kind: str, content: Content, buffers: list[bytes]) -> None:
        model, data = content["comm_id"], content.get("data", {})
        if kind == "comm_close":
            self.models.pop(model, None)
        elif "state" in data and data.get("method") in (None, "update"):
            state = self.models.setdefault(model, {})
            state.update(data["state"])
            for path, buffer in zip(data.get("buffer_paths", []), buffers, strict=True):
                _put(state, path, bytes(buffer))


def _silent(expressions: Mapping[str, str]) -> Content:
    return {"code": "", "silent": True, "store_history": False, "user_expressions": expressions, "allow_stdin": False}


def _at(code: str, cursor: int | None) -> int:
    return len(code) if cursor is None else cursor


def _hashable(state: Content) -> Content:
    return {name: value for name, value in state.items() if isinstance(value, str | int | float | bool | None)}


def _put(state: Content, path: list[Any], buffer: bytes) -> None:
    *way, last = path
    place: Any = state
    for step in way:
        place = place[step]
    place[last] = buffer

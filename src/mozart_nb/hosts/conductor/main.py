"""Being the conductor: its lock, its socket, its signals, and what it does until somebody stops it.

Signals belong to the process and to nothing that runs in it: SIGTERM and SIGINT stop it (a second one at once), SIGHUP
has it read its settings again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from mozart_nb import __version__
from mozart_nb.checkpoint.index import HOME_VARIABLE, home
from mozart_nb.errors import ConfigError, MisuseError, WorldError
from mozart_nb.hooks import CHAIN_VARIABLE
from mozart_nb.hosts.conductor.asking import adopt_for_ever
from mozart_nb.hosts.conductor.carried import Register
from mozart_nb.hosts.conductor.guarding import Listening, guard
from mozart_nb.hosts.conductor.log import Log
from mozart_nb.hosts.conductor.methods import server_for
from mozart_nb.hosts.conductor.place import Identity, Place, held, place, require_sockets, sign
from mozart_nb.hosts.conductor.pressure import PressureChanged
from mozart_nb.hosts.conductor.process import Process, limits_of
from mozart_nb.hosts.conductor.seats import Granted
from mozart_nb.hosts.conductor.service import Conductor
from mozart_nb.hosts.conductor.settings import ConductorSettings, Read, read_settings
from mozart_nb.hosts.conductor.sharing import Sharing, as_document
from mozart_nb.hosts.loops import host_of, serve_on

GOODBYE_SECONDS: Final = 0.2
"""What was asked just before the end is still answered."""

_STOPS: Final = ("SIGTERM", "SIGINT")


def run_conductor(say: Callable[[str], None], *, where: Place | None = None, echo: bool = True) -> None:
    """Be the conductor of this user until somebody stops it. For a main thread without an event loop.

    `say` is told where it listens, and with `echo` everything it does. Raises `MisuseError` where one runs already,
    `ConfigError`, and `WorldError` where it cannot keep or open what it needs.
    """
    require_sockets()
    found = where or place()
    read = read_settings()
    with held(found) as lock:
        if lock is None:
            identity = found.identity()
            who = f" (pid {identity.pid})" if identity is not None else ""
            raise MisuseError(f"the conductor is running already{who}", hint="`mozart conductor-status` shows it")
        _depend_on_nothing(found)
        path = Path(read.settings.socket).expanduser() if read.settings.socket else found.socket
        if not path.is_absolute():
            raise MisuseError("`socket` in conductor.yaml must be an absolute path")
        listening = Listening(path)
        try:
            sign(lock, Identity(os.getpid(), str(path), time.time(), __version__, socket.gethostname()))
            say(f"the conductor (pid {os.getpid()}) listens at {path}")
            asyncio.run(_serve(found, read, lock, listening, say, echo=echo))
        finally:
            listening.close()


def _depend_on_nothing(found: Place) -> None:
    """On where it was started, and by a hook of which job."""
    if os.environ.get(HOME_VARIABLE):
        os.environ[HOME_VARIABLE] = str(home().absolute())
    os.environ.pop(CHAIN_VARIABLE, None)
    os.chdir(found.folder)


async def _serve(
    where: Place, read: Read, lock: BinaryIO, listening: Listening, say: Callable[[str], None], *, echo: bool
) -> None:
    settings = read.settings
    log = _log(where, settings, say if echo else None)
    host = host_of(asyncio.get_running_loop(), threading.get_ident(), "conductor")
    serve_on(host)
    register = Register(where.carried)
    notices = [*read.warnings, *register.load()]
    turns, machine = limits_of(settings)
    every = settings.monitor_interval_seconds

    def tell(told: Granted | PressureChanged) -> None:
        document = as_document(told)
        log.tell(document.pop("type"), "debug" if isinstance(told, Granted) else "info", **document)

    async with Sharing(turns, machine, tell=tell, every_seconds=every) as sharing:
        host.supplies = sharing.supplies
        conductor = Conductor(host, register, settings, log)
        conductor.prioritise, conductor.forget = sharing.prioritise, sharing.forget
        process = Process(conductor, sharing, log, read)
        server = server_for(process)
        with _signals(process):
            await server.start(listening.socket)
            log.tell("conductor.started", pid=os.getpid(), version=__version__, carries=len(register))
            for notice in notices:
                log.tell("conductor.notice", "warning", message=notice)
            conductor.spawn(conductor.begin_again())
            conductor.spawn(conductor.look_around())
            conductor.spawn(adopt_for_ever(conductor))
            conductor.spawn(guard(process, server, lock, where.lock, listening, say))
            await process.until_stopped()
            log.tell("conductor.stopped", carries=len(register))
            log.close()
            await asyncio.sleep(GOODBYE_SECONDS)
            await server.close()
    serve_on(None)


def _log(where: Place, settings: ConductorSettings, echo: Callable[[str], None] | None) -> Log:
    path = Path(settings.log_file).expanduser() if settings.log_file else where.log
    log = Log(level=settings.log_level, echo=echo)
    try:
        log.write_to(path, max_mb=settings.log_max_mb, backups=settings.log_backups)
    except OSError as error:
        raise WorldError(f"the conductor cannot write its log {path} ({error.strerror})") from error
    return log


@contextlib.contextmanager
def _signals(process: Process) -> Iterator[None]:
    """The conductor's own answers to signals, for as long as it runs."""
    loop = asyncio.get_running_loop()

    async def reload() -> None:
        with contextlib.suppress(ConfigError):  # it is in the log; the settings stay as they are
            await process.reload()

    for name in _STOPS:
        loop.add_signal_handler(getattr(signal, name), process.stop, name)
    loop.add_signal_handler(signal.SIGHUP, lambda: process.conductor.spawn(reload()))
    try:
        yield
    finally:
        for name in (*_STOPS, "SIGHUP"):
            loop.remove_signal_handler(getattr(signal, name))

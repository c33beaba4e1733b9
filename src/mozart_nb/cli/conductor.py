"""The commands about the conductor itself: `start`, `stop`, `restart`, `conductor-status`, `conductor …`."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any, Final

import psutil

from mozart_nb.cli.output import FAILED, OK, Output
from mozart_nb.errors import ConductorAbsentError, ConductorError, WorldError
from mozart_nb.hosts.carriage import carried_at
from mozart_nb.hosts.conductor.client import ConductorClient
from mozart_nb.hosts.conductor.place import Identity, Place, place
from mozart_nb.hosts.conductor.settings import read_settings, settings_file, template
from mozart_nb.hosts.conductor.starting import start as start_in_background
from mozart_nb.words import clock, one_line, plural

KILL_SECONDS: Final = 10.0
SOON_SECONDS: Final = 30.0
"""How long one that works may take to say how it is, on a busy machine."""
LEEWAY_SECONDS: Final = 60.0
"""How long putting things away may take, beyond the time that running sessions have."""


def start(output: Output, *, foreground: bool) -> int:
    """Start the conductor, here or in the background. Raises what keeps it from running."""
    if foreground:
        from mozart_nb.hosts.conductor.main import run_conductor  # only where it runs: it brings the whole engine

        run_conductor(output.say)
        return OK
    where = place()
    if (running := where.identity()) is not None:
        output.say(f"the conductor (pid {running.pid}) is running already")
    else:
        start_in_background(where).close()
    with ConductorClient.connect() as client:
        health = client.call("health")
        if running is None:
            output.say(f"the conductor (pid {health['pid']}) is running; its log is {where.log}")
        _offer(output, client, health)
    if output.json:
        output.document(health)
    return OK


def _offer(output: Output, client: ConductorClient, health: dict[str, Any]) -> None:
    """Jobs that wait for a word, and jobs of dead hosts: a person who is there is asked."""
    held = [one for one in health["carried"] if one["phase"] == "held"]
    if held:
        names = ", ".join(one["job_id"] for one in held)
        if output.can_ask and output.ask(
            f"{plural(len(held), 'job')} of the last conductor ({names}). Go on with them?"
        ):
            client.call("release")
        else:
            output.say(f"held: {names}; `mozart conductor release` has them go on")
    if health["orphans"] and client.call("config")["settings"]["adopt_orphans"] == "ask":
        names = ", ".join(one["job_id"] for one in health["orphans"])
        if output.can_ask and output.ask(
            f"{plural(len(health['orphans']), 'job')} whose host died ({names}). Take them up?"
        ):
            client.call("adopt")
        else:
            output.say(f"their host died: {names}; `mozart conductor adopt` takes them up")


def stop(output: Output, *, force: bool, seconds: float | None) -> int:
    """Stop it, and wait until it is gone. Exit code 1 when none runs."""
    where = place()
    running = where.identity()
    if running is None:
        output.complain("the conductor is not running", "`mozart start` starts it")
        return FAILED
    _kill(where, running) if force else _stop(output, where, running, seconds)
    output.say("the conductor is stopped; what it carried goes on with `mozart start`")
    if output.json:
        output.document({"stopped": running.pid, "forced": force})
    return OK


def _stop(output: Output, where: Place, running: Identity, seconds: float | None) -> None:
    with ConductorClient.connect(answer_seconds=SOON_SECONDS) as client:
        # Its own settings, and not those on disk: they may be wrong by now, and it is to be stopped all the same.
        own: float = client.call("config")["settings"]["shutdown_seconds"]
        patience = LEEWAY_SECONDS + (own if seconds is None else seconds)
        told = client.call("shutdown", **({} if seconds is None else {"seconds": seconds}))
    if told["jobs"]:
        output.say(f"{plural(told['jobs'], 'job')} under way: their sessions finish or go on by themselves")
    if not _is_gone(where, running, patience):
        hint = "`mozart stop --force` ends it; nothing is lost by that"
        raise WorldError(f"the conductor (pid {running.pid}) has not stopped after {patience:.0f} seconds", hint=hint)


def _kill(where: Place, running: Identity) -> None:
    """The lock says that this very process runs, so its number is not that of another one by now."""
    if not running.is_here:
        raise WorldError(f"the conductor runs on another machine, {running.host}", hint="`mozart stop --force` there")
    with contextlib.suppress(ProcessLookupError):
        os.kill(running.pid, signal.SIGKILL)
    if not _is_gone(where, running, KILL_SECONDS):
        raise WorldError(f"the conductor (pid {running.pid}) could not be killed")


def _is_gone(where: Place, running: Identity, seconds: float) -> bool:
    """Whether that conductor has ended within so many seconds; another one may have its place by then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = where.identity()
        if (now is None and not where.is_held()) or (now is not None and now != running):
            with contextlib.suppress(psutil.Error):  # it lets go of its lock a moment before its process ends
                psutil.Process(running.pid).wait(1)
            return True
        time.sleep(0.05)
    return False


def restart(output: Output, *, seconds: float | None) -> int:
    """A new conductor goes on with what the old one carried."""
    where = place()
    read_settings()  # before anything is stopped: with settings that are wrong none would start
    if (running := where.identity()) is not None:
        _stop(output, where, running, seconds)
    return start(output, foreground=False)


# --- what it does -----------------------------------------------------------------------------------------------------


def status(output: Output) -> int:
    """Show what it carries. Exit code 1 when none runs, or it does not answer."""
    try:
        with ConductorClient.connect(answer_seconds=SOON_SECONDS) as client:
            health = client.call("health")
    except (ConductorAbsentError, ConductorError) as error:
        if output.json:
            output.document({"status": "absent", "message": error.message})
        else:
            output.complain(error.message, error.hint)
            _tell_of_jobs_left(output)
        return FAILED
    if output.json:
        output.document(health)
        return OK
    for line in _lines(health):
        output.show(line)
    _show_jobs(output, health)
    for one in health["orphans"]:
        output.show(f"its host died: {one['job_id']} in {one['folder']} (`mozart conductor adopt {one['job_id']}`)")
    return OK


def _tell_of_jobs_left(output: Output) -> None:
    """What a conductor that is not there was carrying, and goes on with once it is."""
    where = place()
    if not where.is_held() and (names := sorted(one.job_id for one in carried_at(where))):
        output.say(f"it was carrying {plural(len(names), 'job')}: {', '.join(names)}")


def _lines(health: dict[str, Any]) -> list[str]:
    seats, pressure, machine = health["seats"], health["pressure"], health["machine"]
    pressed = f"{pressure['level']}{': ' + pressure['why'] if pressure['why'] else ''}"
    return [
        f"conductor  {health['status']}, pid {health['pid']}, for {clock(health['uptime_seconds'])}",
        f"jobs       {', '.join(f'{count} {phase}' for phase, count in health['jobs'].items()) or 'none'}",
        f"sessions   {seats['sessions']} of {seats['most_sessions']} open",
        f"machine    pressure {pressed}; memory {machine['memory_percent']:.0f} % of {machine['memory_mb']:,} MB, "
        f"processor {machine['cpu_percent']:.0f} %, the conductor itself {machine['own_mb']:,} MB",
        f"settings   {health['settings_file']}",
    ]


def _show_jobs(output: Output, health: dict[str, Any]) -> None:
    if not health["carried"]:
        return
    shares = {one["job"]: one for one in health["seats"]["jobs"]}
    rows = []
    for one in health["carried"]:
        share: dict[str, Any] = shares.get(one["key"], {})
        seats = f"{share['open']} (due {share['due']:g})" if share else ""
        asked = f"waits for you: `mozart questions {one['job_id']}`" if one["questions"] else ""
        why = share.get("waits") or asked or one["reason"]
        rows.append([one["job_id"], one["phase"], str(one["priority"]), seats, one_line(why)])
    output.show()
    output.table(["job", "phase", "priority", "sessions", ""], rows, flexible=-1)


# --- settings ---------------------------------------------------------------------------------------------------------


def config(output: Output, *, init: bool) -> int:
    """Show the settings as they stand on disk, or write a file to start from."""
    if init:
        return _init(output)
    read = read_settings()
    if output.json:
        output.document({"file": str(read.file), "exists": read.file.exists(), "settings": read.settings.model_dump()})
        return OK
    output.say(f"{read.file}{'' if read.file.exists() else ' (not there: everything is as usual)'}")
    given = read.settings.model_fields_set
    rows = [[name, _shown(value), "" if name in given else "usual"] for name, value in read.settings]
    output.table(["setting", "value", ""], rows)
    return OK


def _shown(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _init(output: Output) -> int:
    file = settings_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(template())
    except FileExistsError:
        output.complain(f"{file} is there already; nothing was written")
        return FAILED
    except OSError as error:
        raise WorldError(f"{file} cannot be written ({error.strerror})") from error
    output.say(f"wrote {file}")
    return OK


def check(output: Output) -> int:
    """Whether the settings on disk are right. Raises `ConfigError` for those that are not."""
    read = read_settings()
    for warning in read.warnings:
        output.warn(warning)
    output.say(f"{read.file} is right" if read.file.exists() else f"{read.file} is not there: everything is as usual")
    if output.json:
        output.document({"file": str(read.file), "valid": True, "warnings": list(read.warnings)})
    return OK


def reload(output: Output) -> int:
    """Have it read them again. Raises `ConfigError`, and `ConductorAbsentError`."""
    with ConductorClient.connect() as client:
        told = client.call("config", reload=True)
    for warning in told["warnings"]:
        output.warn(warning)
    changed = ", ".join(f"{name} = {value}" for name, value in told["changed"].items())
    output.say(f"changed: {changed}" if changed else "nothing has changed")
    if told["after_restart"]:
        output.say(f"only after `mozart restart`: {', '.join(told['after_restart'])}")
    if output.json:
        output.document(told)
    return OK


# --- jobs that wait for a word ----------------------------------------------------------------------------------------


def release(output: Output) -> int:
    """Held jobs go on."""
    with ConductorClient.connect() as client:
        jobs = client.call("release")
    output.say(f"{plural(len(jobs), 'job')} released: {', '.join(jobs)}" if jobs else "no job is held")
    if output.json:
        output.document({"released": jobs})
    return OK


def adopt(output: Output, jobs: list[str]) -> int:
    """Jobs of dead hosts go on with the conductor. Exit code 1 when one of them cannot."""
    with ConductorClient.connect() as client:
        told = client.call("adopt", job_ids=jobs)
    for one in told:
        output.say(f"{one['job_id']}: {one['decision']}{': ' + one['said'] if one.get('said') else ''}")
    if not told:
        output.say("there is no job whose host died")
    if output.json:
        output.document(told)
    return FAILED if any(one["decision"] == "refused" for one in told) else OK

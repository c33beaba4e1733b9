"""The methods of the conductor, in one table: name, parameters, what it does, and what the earlier tool called it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from mozart_nb.errors import ConductorError, MisuseError
from mozart_nb.hosts.conductor import asking, reading, rpc
from mozart_nb.hosts.conductor import wanted as asked
from mozart_nb.hosts.conductor.process import Process
from mozart_nb.hosts.conductor.server import Server, Stream
from mozart_nb.hosts.conductor.service import Conductor


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `summary` is what it does, in a sentence, and `result` what it returns."""

    name: str
    params: type[asked.Params]
    carry_out: Callable[[Process, Any], Awaitable[Any]]
    summary: str
    result: str
    aliases: tuple[str, ...] = ()


def _of_jobs(carry_out: Callable[[Conductor, Any], Awaitable[Any]]) -> Callable[[Process, Any], Awaitable[Any]]:
    async def run(process: Process, params: Any) -> Any:
        process.conductor.require_open()
        return await carry_out(process.conductor, params)

    return run


def _reading(read: Callable[[Any], Any]) -> Callable[[Process, Any], Awaitable[Any]]:
    async def run(process: Process, params: Any) -> Any:
        return await process.conductor.in_reader(read, params)

    return run


async def _submit(conductor: Conductor, params: asked.Wanted) -> Any:
    return await conductor.submit(params)


async def _release(conductor: Conductor, params: asked.NoParams) -> Any:
    return await conductor.release()


async def _status(process: Process, params: asked.Statuses) -> Any:
    found = await process.conductor.in_reader(reading.status, process.conductor, params)
    if isinstance(found["conductor"], dict):
        layout = await asking.layout_of(process.conductor, params)
        found["conductor"]["waits"] = process.sharing.waits(layout)
    return found


async def _list(process: Process, params: asked.Listed) -> Any:
    return await process.conductor.in_reader(reading.listed, process.conductor, params)


async def _watch(process: Process, params: asked.Watched) -> Stream:
    if not params.job_id:
        return Stream(process.log.watch(params.since_seq))
    layout = await process.conductor.in_reader(process.conductor.locate, params.job_id, params.folder)
    return Stream(reading.watch(process.conductor, layout, params.since_seq))


async def _health(process: Process, params: asked.NoParams) -> Any:
    found = await process.conductor.in_reader(reading.health, process.conductor)
    for one in found["carried"]:
        one["questions"] = reading.open_count(process.conductor, one["key"])
    return {**found, "settings_file": str(process.read.file), **process.sharing.numbers()}


async def _ready(process: Process, params: asked.NoParams) -> Any:
    return reading.ready(process.conductor)


async def _config(process: Process, params: asked.Settings) -> Any:
    reloaded = await process.reload() if params.reload else {}
    return {"file": str(process.read.file), "settings": process.settings.model_dump(), **reloaded}


async def _shutdown(process: Process, params: asked.Shutdown) -> Any:
    process.stop("request", params.seconds)
    return {"said": "the conductor stops", "jobs": len(process.conductor.running)}


_SAID: Final = "`said`: what was done, in a sentence"
_TABLE: Final = (
    Method(
        "submit",
        asked.Wanted,
        _of_jobs(_submit),
        "Runs a job, or goes on with it.",
        "`job_id`, `workspace`, `decision` (`run`, `attach`, `nothing` or `queued`), `said`, `notices`",
        ("job.submit",),
    ),
    Method("status", asked.Statuses, _status, "How a job stands.", "as `mozart status --json`", ("job.status",)),
    Method("list", asked.Listed, _list, "Jobs, the one that did something last first.", "a list", ("job.list",)),
    Method(
        "pause", asked.OfJob, _of_jobs(asking.pause), "No new attempts; running ones finish.", _SAID, ("job.pause",)
    ),
    Method(
        "resume",
        asked.Resumed,
        _of_jobs(asking.resume),
        "Goes on with a job on disk, or with one that is held.",
        "as `submit`",
        ("job.resume",),
    ),
    Method("cancel", asked.OfJob, _of_jobs(asking.cancel), "Ends a job's sessions at once.", _SAID, ("job.cancel",)),
    Method("retry", asked.Retried, _of_jobs(asking.retry), "Tries failed batches again.", _SAID),
    Method(
        "modify",
        asked.Modified,
        _of_jobs(asking.modify),
        "Gives a job a new config; one that runs is paused for it.",
        _SAID,
        ("job.modify",),
    ),
    Method(
        "recover",
        asked.Recovered,
        _of_jobs(asking.recover),
        "Checks the rules of failed batches again, executing nothing.",
        "`recovered` and `still_failed`: numbers of batches",
        ("job.recover",),
    ),
    Method(
        "errors",
        asked.Failures,
        _reading(reading.errors),
        "What failed.",
        "as `mozart errors --json`",
        ("job.errors",),
    ),
    Method(
        "diagnose",
        asked.Diagnosed,
        _reading(reading.diagnose),
        "Why a job is where it is, and what to do.",
        "as `mozart diagnose --json`",
        ("job.diagnose",),
    ),
    Method("history", asked.Past, _reading(reading.history), "Runs, the last one first.", "a list", ("job.history",)),
    Method(
        "watch",
        asked.Watched,
        _watch,
        "Events as they happen: of a job, or without one of the conductor itself.",
        "`subscription`; then notifications `event` with `subscription`, `events` and `is_over`",
    ),
    Method("questions", asked.OfJob, _reading(reading.questions), "What a job asks of a person.", "a list"),
    Method("answer", asked.Answered, _of_jobs(asking.answer), "Answers the open question of a batch.", _SAID),
    Method(
        "rehearse",
        asked.Wanted,
        _of_jobs(lambda conductor, params: conductor.submit(msgspec.structs.replace(params, rehearse=True))),
        "Runs a job with a stand-in that costs nothing, in a scratch folder.",
        "as `submit`",
    ),
    Method(
        "adopt",
        asked.Adopted,
        _of_jobs(asking.adopt_orphans),
        "Takes up jobs whose host died.",
        "for each what `submit` returns; `decision` may be `refused`",
    ),
    Method("release", asked.NoParams, _of_jobs(_release), "Held jobs go on.", "ids of jobs"),
    Method(
        "health",
        asked.NoParams,
        _health,
        "Who the conductor is, what it carries, and what the machine can take.",
        "`status`, `pid`, `jobs`, `carried`, `orphans`, `seats`, `pressure`, `machine` …",
        ("daemon.health", "daemon.status"),
    ),
    Method("ready", asked.NoParams, _ready, "Whether it takes jobs.", "`is_ready`, `pid`", ("daemon.ready",)),
    Method(
        "config",
        asked.Settings,
        _config,
        "Its settings; with `reload` they are read again.",
        "`file`, `settings`, and after a reload `changed`, `after_restart`, `warnings`",
        ("daemon.config",),
    ),
    Method("shutdown", asked.Shutdown, _shutdown, "Lets go of all jobs and ends.", _SAID, ("daemon.shutdown",)),
)

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in _TABLE}
"""Name → method."""

NAMES: Final[Mapping[str, Method]] = {name: method for method in _TABLE for name in (method.name, *method.aliases)}
"""The same with the names that the earlier tool had."""


def server_for(process: Process) -> Server:
    """A server whose calls `process` carries out."""

    async def serve(call: rpc.Call) -> Any:
        method = NAMES.get(call.method)
        if method is None:
            raise ConductorError(f"there is no method `{call.method[:100]}`", number=rpc.METHOD_NOT_FOUND)
        return await method.carry_out(process, params_of(method, call))

    return Server(serve)


def params_of(method: Method, call: rpc.Call) -> asked.Params:
    """The parameters of a call, checked.

    Raises `ConductorError` with the number for invalid parameters.
    """
    given = call.params
    if not isinstance(given, Mapping):
        names = in_order(method.params)
        if len(given) > len(names):
            raise _invalid(f"`{method.name}` takes at most {len(names)} parameters")
        given = dict(zip(names, given, strict=False))
    try:
        return msgspec.convert(given, method.params)
    except (msgspec.ValidationError, MisuseError) as error:
        raise _invalid(str(error)) from error


def in_order(params: type[asked.Params]) -> list[str]:
    """The names of parameters that are given without names: those that are required come first."""
    return [field.name for field in sorted(msgspec.structs.fields(params), key=lambda field: not field.required)]


def _invalid(why: str) -> ConductorError:
    return ConductorError(f"invalid parameters: {why}", number=rpc.INVALID_PARAMS)

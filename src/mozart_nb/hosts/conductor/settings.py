"""`conductor.yaml`: how many jobs and sessions at once, what goes on after a restart, where the socket is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from mozart_nb.checkpoint.index import HOME_VARIABLE, home
from mozart_nb.errors import ConfigError, Problem, UnreadableError
from mozart_nb.job.document import KeyPath, Positions, parse_document
from mozart_nb.job.fields import describe, field_type, keys_of
from mozart_nb.job.report import locate, nearest, show_value
from mozart_nb.job.section import Count, Percent, PositiveCount, PositiveSeconds, Seconds, Section, Whole

FILE_NAME: Final = "conductor.yaml"

Policy = Literal["ask", "auto", "never"]
Priority = Annotated[Whole, Field(ge=1, le=1000)]


class ConductorSettings(Section):
    """The settings of a conductor. All but `socket`, `log_file` and the size of its log change with a reload."""

    max_sessions: PositiveCount = Field(10, description="The most sessions at once, of all jobs together.")
    max_sessions_per_job: PositiveCount | None = Field(
        None, description="The most sessions at once of one job, whatever its own `parallel` says."
    )
    max_jobs: PositiveCount = Field(50, description="The most jobs that run at once; further ones wait in a queue.")
    priority: Priority = Field(100, description="The priority of jobs that name none, 1 to 1000; lower is sooner.")
    resume: Policy = Field(
        "auto", description="Whether a conductor that starts goes on with the jobs that it was carrying."
    )
    adopt_orphans: Policy = Field(
        "ask", description="Whether it takes up jobs whose host died elsewhere, such as those of a killed kernel."
    )
    socket: str | None = Field(None, description="Path of its Unix socket, by default in its own folder.")
    shutdown_seconds: Seconds = Field(
        120.0, description="How long running sessions may take to finish when it stops; then they are ended."
    )
    monitor_interval_seconds: PositiveSeconds = Field(
        5.0, description="Seconds between two looks at memory, processor and disks."
    )
    max_memory_percent: Percent = Field(
        95.0, description="Share of the machine's memory in use from which no further session begins."
    )
    session_memory_mb: PositiveCount = Field(
        300, description="Memory that a session of the `claude` program is expected to take, in MB."
    )
    memory_reserve_mb: Count = Field(512, description="Memory that is left alone when sessions are counted, in MB.")
    min_free_disk_mb: Count = Field(
        200, description="Free space on the disk of a workspace below which no further session begins there, in MB."
    )
    max_processes: PositiveCount = Field(500, description="Processes of its sessions from which no further one begins.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What its log keeps.")
    log_file: str | None = Field(None, description="Path of its log, by default in its own folder.")
    log_max_mb: PositiveCount = Field(10, description="Size of the log from which a new one begins, in MB.")
    log_backups: Count = Field(3, description="How many older logs are kept.")


EARLIER: Final[Mapping[str, str]] = {
    "max_concurrent_jobs": "max_jobs",
    "max_concurrent_sheets": "max_sessions",
    "shutdown_timeout_seconds": "shutdown_seconds",
}
"""Keys of the earlier tool's settings → ours."""

WITHOUT_EFFECT: Final = frozenset(
    "pid_file state_backend_type state_db_path job_timeout_seconds max_job_history default_thinking_method observer"
    " config_file resource_limits".split()
)
"""Keys that the earlier tool had and that have no effect here; each is said once."""

FIXED: Final = ("socket", "log_file", "log_max_mb", "log_backups")
"""What a running conductor does not change."""


@dataclass(frozen=True)
class Read:
    """Settings with what was noticed about their file. `file` need not be there: then everything is as usual."""

    settings: ConductorSettings
    file: Path
    warnings: tuple[str, ...] = ()


def settings_file() -> Path:
    """Where the settings of this user are: in `MOZART_NB_HOME` if that is set, else with the user's configuration."""
    if os.environ.get(HOME_VARIABLE):
        return home() / FILE_NAME
    import platformdirs  # only where it is asked

    return Path(platformdirs.user_config_dir("mozart_nb")) / FILE_NAME


def read_settings(file: Path | None = None) -> Read:
    """The settings as they stand on disk. Raises `ConfigError` with every mistake."""
    path = file or settings_file()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Read(ConductorSettings(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError([Problem(f"the settings cannot be read ({error})", file=str(path))]) from error
    return _read(text, path) if _says_something(text) else Read(ConductorSettings(), path)


def _says_something(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())


def _read(text: str, path: Path) -> Read:
    document = parse_document(text, file=str(path))
    data, problems, warnings = _own_keys(document.data, document.positions, str(path))
    problems = [*document.problems, *problems]
    try:
        settings = ConductorSettings.model_validate(data)
    except ValidationError as error:
        problems += [_problem(one["loc"], one, document.positions, str(path)) for one in error.errors()]
    if problems:
        raise ConfigError(sorted(problems, key=lambda one: (one.line or 0, one.column or 0)))
    return Read(settings, path, tuple(warnings))


def _own_keys(
    data: Mapping[Any, Any], positions: Positions, file: str
) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """The data under our own keys, what is wrong with others, and what has no effect."""
    known = keys_of(ConductorSettings)
    own: dict[str, Any] = {}
    problems, warnings = [], []
    for key, value in data.items():
        name = EARLIER.get(key, key)
        if name == "socket" and isinstance(value, dict):
            name, value = "socket", value.get("path")
        if name in known:
            own[name] = value
        elif key in WITHOUT_EFFECT:
            warnings.append(f"{file}: `{key}` has no effect here")
        else:
            near = nearest(str(key), known)
            problems.append(locate((key,), positions, f"unknown key `{key}`", file=file, near=near, at_key=True))
    if isinstance(level := own.get("log_level"), str):
        own["log_level"] = level.lower()
    return own, problems, warnings


def _problem(path: KeyPath, found: Mapping[str, Any], positions: Positions, file: str) -> Problem:
    field = ConductorSettings.model_fields[str(path[0])]
    allowed = describe(field_type(field))
    value = show_value(found["input"])
    return locate(path[:1], positions, "`{path}` cannot be that", file=file, value=value, allowed=allowed)


def template() -> str:
    """A settings file with every key, its default and what it means, all of it commented out."""
    lines = [
        "# Settings of the conductor. Every key is optional; `mozart conductor reload` has it read them again.",
        "",
    ]
    for name, field in keys_of(ConductorSettings).items():
        default = "null" if field.default is None else f"{field.default}"
        lines += [f"# {field.description}", f"# {name}: {default}", ""]
    return "\n".join(lines)

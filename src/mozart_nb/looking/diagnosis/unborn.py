"""Jobs that never began: what their job file says against it, or what became of their folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import Final

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.errors import ConfigError, MisuseError, MozartError, Problem
from mozart_nb.job.lint import Severity
from mozart_nb.job.load import load_job
from mozart_nb.looking.diagnosis.environment import Surroundings
from mozart_nb.looking.diagnosis.findings import Diagnosis, Environment, NextStep, Trouble
from mozart_nb.plans.checking import check
from mozart_nb.plans.prepared import Prepared, prepare
from mozart_nb.words import clean, one_line, plural

JOB_FILES: Final = (".yaml", ".yml")
_MOST_FILES: Final = 200
_MOST_PROBLEMS: Final = 10
_WIDTH: Final = 300


def file_of(job_id: str, folder: Path) -> Path | None:
    """The job file in `folder` that describes this job; None when there is none, or none that can be read."""
    with contextlib.suppress(OSError):
        files = sorted(path for path in folder.iterdir() if path.suffix in JOB_FILES)[:_MOST_FILES]
        for path in files:
            with contextlib.suppress(MozartError, OSError, UnicodeError):
                if load_job(path).config.job_id == job_id:
                    return path
    return None


def diagnose_file(file: Path, workspace: Path | None = None) -> Diagnosis | Prepared:
    """Why a job file cannot be run; or, when nothing speaks against it, the job that it describes."""
    try:
        loaded = load_job(file)
        errors = [issue for issue in check(loaded, workspace) if issue.severity is Severity.ERROR]
        if errors:
            raise ConfigError([issue.as_problem() for issue in errors])
        prepared = prepare(loaded, workspace=workspace)
    except ConfigError as error:
        return _refused(file, error.problems)
    except MisuseError as error:
        return _refused(file, [Problem(error.message)])
    return prepared


def _refused(file: Path, problems: Sequence[Problem]) -> Diagnosis:
    told = [one_line(str(problem), _WIDTH) for problem in problems]
    first = problems[0]
    where = f"{file} line {first.line}" if first.line else str(file)
    return Diagnosis(
        job_id=file.stem,
        name="",
        status="pending",
        headline=f"{file} cannot be run, and never began: {plural(len(problems), 'mistake')}",
        cause=f"E502 configuration error: {told[0]}",
        first=f"{_mending(first, where)}, then `mozart validate {quote(str(file))}`",
        code="E502",
        meaning="configuration error",
        troubles=tuple(Trouble("job file", text, severity="error") for text in told[1:_MOST_PROBLEMS]),
        next_steps=(
            NextStep(f"mozart validate {quote(str(file))}", "", "every mistake, with its line"),
            NextStep(f"mozart validate {quote(str(file))} --fix", "", "the same, mending what can be mended"),
        ),
        looked_at=time.time(),
    )


def _mending(problem: Problem, where: str) -> str:
    """What to do about the first mistake: a file that is not there may be as right as the name that was given."""
    return f"put the file there, or correct {where}" if "does not exist" in problem.message else f"mend {where}"


def never_began(prepared: Prepared, file: Path | None) -> Diagnosis:
    """A job whose file is right and which has no record yet: what around it would stop it, if anything does."""
    layout, workspace = prepared.layout, prepared.places.workspace
    now = time.time()
    surroundings = Surroundings(layout, prepared.loaded, workspace, is_live=True, is_new=True)
    around = surroundings.environment(now)
    bad = next((fact for fact in around.facts if fact.status == "error"), None)
    run = NextStep(f"mozart run {quote(str(file))}" if file is not None else "%%mozart", "job.start()", "start it")
    rehearse = NextStep(f"{run.command} --rehearse", "", "try it free of charge, in a scratch folder")
    return Diagnosis(
        job_id=layout.job_id,
        name=prepared.loaded.config.name,
        status="pending",
        headline=f"{layout.job_id} never began: there is no record of it in {layout.workspace}",
        total=prepared.plan.count,
        cause=clean(f"{bad.name}: {bad.detail}")
        if bad is not None
        else "it was not started yet, or its start was refused",
        first=f"{bad.hint}, then `{run.command}`" if bad is not None else f"`{run.command}` starts it",
        counts=(("pending", prepared.plan.count),),
        environment=around,
        next_steps=(rehearse, run) if bad is None else (run,),
        looked_at=now,
    )


def without_record(places: Sequence[Layout], was_at: Sequence[Layout]) -> Diagnosis | None:
    """A job of which something is left but no record, or which was known to be somewhere; None for any other."""
    for known in (*places, *was_at):
        with contextlib.suppress(OSError):
            if known.root.is_dir():
                return emptied(known)
    return _gone(was_at[0]) if was_at else None


def emptied(layout: Layout) -> Diagnosis:
    """A job whose journal is empty or not there: nobody knows any more what was done and paid for."""
    left = sorted(path.name for path in layout.root.iterdir())
    return Diagnosis(
        job_id=layout.job_id,
        name="",
        status="unreadable" if "answers.jsonl" in left else "pending",
        headline=f"{layout.job_id} has no record: {layout.root} holds no journal, or an empty one",
        cause=f"its start was cut off before anything was recorded, or its journal was removed ({_listed(left)})",
        first=f"restore {layout.journal} from a backup if it was removed, else start it again: `mozart run JOB.yaml`",
        environment=Environment(workspace=str(layout.workspace), state=str(layout.root)),
        looked_at=time.time(),
    )


def _listed(names: list[str]) -> str:
    return f"left: {', '.join(names[:8])}" if names else "the folder is empty"


def _gone(layout: Layout) -> Diagnosis:
    is_workspace_there = layout.workspace.is_dir()
    what = layout.root if is_workspace_there else layout.workspace
    return Diagnosis(
        job_id=layout.job_id,
        name="",
        status="unreadable",
        headline=f"{layout.job_id} is gone: {what} is not there any more",
        cause=f"{what} was removed or moved, or its disk is not mounted; the job was run there",
        first=f"put {what} back, or name the place it was moved to: `mozart diagnose {layout.job_id} --workspace DIR`; "
        "where nothing is left of it: `mozart run JOB.yaml` begins anew",
        environment=Environment(workspace=str(layout.workspace), state=str(layout.root)),
        looked_at=time.time(),
    )


def candidates(workspace: Path | None) -> Iterator[Path]:
    """Folders in which the file of a job may be."""
    if workspace is not None:
        yield workspace
        yield workspace.parent
    yield Path.cwd()

"""Operations on jobs: the list, one of them, what may be asked of it."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any, Final, cast

from mozart_nb.checkpoint.layout import Layout
from mozart_nb.consumers.rows import iso
from mozart_nb.errors import CheckpointCorruptError, MisuseError
from mozart_nb.hosts.steering import Submission, steer, submit
from mozart_nb.job.load import LoadedJob, load_text
from mozart_nb.jupyter.server.api import models, queries, showing
from mozart_nb.jupyter.server.api.operation import Ask, NotNowError, Reply
from mozart_nb.looking.board import JobWish, Plan
from mozart_nb.looking.board.masks import masked_data
from mozart_nb.masking import masked
from mozart_nb.selection import numbers_in, parse_batches

MOST_LISTED: Final = 1000
"""Batches that a status document lists."""

FILE: Final = "job.yaml"
"""What a job file that was sent is called in messages."""

_CELL: Final = "<cell>"


def list_jobs(ask: Ask[queries.JobsQuery, None]) -> models.JobList:
    query = ask.query
    wish = JobWish(
        statuses=query.status,
        text=query.q,
        sort=query.sort,
        descending=query.order == "desc",
        offset=query.offset,
        limit=query.limit,
    )
    page = ask.board.jobs(wish)
    return models.JobList(
        jobs=[showing.summary(one) for one in page.jobs],
        matching=page.matching,
        total=page.total,
        offset=query.offset,
        limit=query.limit,
        counts=dict(page.counts),
        notices=[masked(notice) for notice in page.notices],
    )


def one_job(ask: Ask[queries.Query, None]) -> models.JobDocument:
    look = ask.board.look(ask.key)
    plan: Plan | None = None
    with contextlib.suppress(CheckpointCorruptError):  # the job can be shown without it
        plan = ask.board.plan(ask.key)
    owner = look.owner
    host = models.Host(host=owner.host, pid=owner.pid, started_at=iso(owner.started_at)) if owner is not None else None
    return models.JobDocument(
        job=showing.summary(showing.summary_of(look)),
        host=host,
        version=look.version,
        record=look.record,
        last_seq=look.job.seq,
        file=plan.file if plan is not None else "",
        config=dict(plan.document) if plan is not None else None,
        text=masked(plan.text) if plan is not None else "",
    )


def status(ask: Ask[queries.StatusQuery, None]) -> dict[str, Any]:
    numbers: list[int] = []
    if ask.query.batches:
        numbers = numbers_in(parse_batches(ask.query.batches, ask.board.look(ask.key).progress.total))
        if len(numbers) > MOST_LISTED:
            raise MisuseError(f"`batches`: {len(numbers)} are asked for", hint=f"at most {MOST_LISTED} at once")
    return cast("dict[str, Any]", masked_data(ask.board.status(ask.key, numbers)))


# --- doing ------------------------------------------------------------------------------------------------------------


def create(ask: Ask[queries.Query, queries.CreateBody]) -> Reply:
    body = ask.body
    folder = folder_of(ask.folder, body.folder)
    require_sound(body, folder)  # with every mistake and where it is, before anything is started
    wish = Submission(
        text=body.config,
        base_dir=folder,
        overrides=body.overrides,
        strict=body.strict,
        rehearse=body.rehearse,
        fresh=body.fresh,
        limit=body.limit,
        batches=body.batches,
        max_concurrent=body.max_concurrent,
        self_healing=body.self_healing,
        escalation=body.escalation,
        yes=body.yes,
        priority=body.priority,
    )
    done = submit(wish)
    layout = Layout(done.workspace, done.job_id)
    ask.board.remember(layout)
    key = ask.board.key_of(layout)
    document = models.Created(
        key=key,
        job_id=done.job_id,
        workspace=str(done.workspace),
        decision=done.decision,
        said=masked(done.said),
        notices=[masked(_about_the_file(notice)) for notice in done.notices],
    )
    is_new = done.decision in ("run", "queued")
    return Reply(document, 201 if is_new else 200, f"api/jobs/{key}")


def _about_the_file(notice: str) -> str:
    """A notice with our name of the job file: a text without one counts as a cell where it is checked."""
    return f"{FILE}{notice.removeprefix(_CELL)}" if notice.startswith(f"{_CELL}:") else notice


def act(ask: Ask[queries.Query, queries.ActionBody]) -> Reply:
    body = ask.body
    layout = ask.board.find(ask.key)
    config = None
    options: dict[str, Any] = {}
    if body.action == "modify":
        if not body.config.strip():
            raise MisuseError("`modify` needs a `config`", hint="send the whole job file", job_id=layout.job_id)
        config, options = _kept(layout, body.config, ask), {"resume": body.resume}
    elif body.config:
        raise MisuseError(f"`{body.action}` takes no `config`", job_id=layout.job_id)
    if body.action == "answer" and (len(body.batches) != 1 or not body.reply):
        raise MisuseError("an answer is a `reply` to the question of one batch", job_id=layout.job_id)
    try:
        done = steer(
            layout,
            body.action,
            by=ask.by,
            batches=body.batches,
            action_text=body.text,
            reply=body.reply,
            config=config,
            options=options,
            attempt=body.attempt,
        )
    except MisuseError as error:
        if type(error) is MisuseError:
            raise NotNowError(error) from error
        raise
    return Reply(models.Done(said=masked(done.said), via=done.via), 202)


def _kept(layout: Layout, text: str, ask: Ask[Any, Any]) -> Path:
    """The new job file on disk, where relative paths in it begin as they do in the present one."""
    plan = ask.board.plan(ask.key)
    place = Path(plan.base_dir) / f".{layout.job_id}.modified.yaml"
    draft = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")  # two may send one at once
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
        draft.replace(place)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise MisuseError(f"{place} cannot be written: {error.strerror}", job_id=layout.job_id) from error
    return place


def require_sound(body: queries.ConfigBody, folder: Path) -> LoadedJob:
    """The job file, loaded. Raises `ConfigError`."""
    return load_text(body.config, base_dir=folder, file_name=FILE, overrides=body.overrides, strict=body.strict)


def folder_of(root: Path, name: str) -> Path:
    """A folder below `root`. Raises `MisuseError` for what is none, or would lead out of it."""
    root = root.resolve()
    try:
        folder = (root / name).resolve()
        is_there = folder.is_dir()
    except (OSError, ValueError):
        folder, is_there = root, False
    if not folder.is_relative_to(root) or not is_there:
        raise MisuseError("`folder` is no folder below the one that the server was started for")
    return folder

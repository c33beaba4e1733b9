"""View-models: what templates are given, made from what the board answers. Plain data; words are made by `words`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mozart_nb.consumers.progress import Progress
from mozart_nb.consumers.rows import BatchView
from mozart_nb.jupyter.looks.picture import ORDER
from mozart_nb.jupyter.looks.table import window_caption
from mozart_nb.jupyter.server.pages.addresses import Query, To, with_query
from mozart_nb.looking.board import BatchPage, BatchWish, JobLook, JobPage, JobWish, Summary
from mozart_nb.words import plural

JOBS_PER_PAGE: Final = 40
ROWS_PER_PAGE: Final = 25

JOB_STATUSES: Final = (
    "running", "waiting", "pausing", "paused", "interrupted", "failed", "completed", "cancelled", "pending",
    "unreadable",
)  # fmt: skip
BATCH_STATUSES: Final = tuple(reversed(ORDER))

_JOB_SORTS: Final = (
    ("updated", "last event"),
    ("created", "newest"),
    ("name", "name"),
    ("cost", "cost"),
    ("failed", "failures"),
    ("percent", "progress"),
)
_RISING: Final = frozenset({"name"})

_CAN_PAUSE: Final = frozenset({"running", "waiting"})
_CAN_RESUME: Final = frozenset({"pausing", "paused", "failed", "interrupted", "cancelled"})
_CAN_CANCEL: Final = frozenset({"running", "waiting", "pausing", "paused", "interrupted"})


@dataclass(frozen=True, slots=True)
class Chip:
    """A filter to choose: `count` things suit it."""

    label: str
    href: str
    count: int = 0
    is_chosen: bool = False
    status: str = ""


@dataclass(frozen=True, slots=True)
class Pager:
    """Which page of how many this is; `back` and `on` are empty at the ends."""

    label: str
    page: int
    pages: int
    back: str = ""
    on: str = ""


def pager_of(label: str, offset: int, size: int, matching: int, path: str, values: Mapping[str, object]) -> Pager:
    """The pager of a list of which `size` things are shown from `offset` on."""
    page, pages = offset // size + 1, max(1, -(-matching // size))

    def at(number: int) -> str:
        return with_query(path, {**values, "page": number if number > 1 else 0})

    return Pager(label, page, pages, at(page - 1) if page > 1 else "", at(page + 1) if page < pages else "")


def offset_of(query: Query, size: int) -> int:
    """Where the page begins that is asked for."""
    return (query.number("page", 1, least=1) - 1) * size


# --- the list of jobs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobCard:
    """One job in the list."""

    name: str
    href: str
    anchor: str
    status: str
    workspace: str
    progress: Progress | None
    updated_at: float
    questions: int
    message: str
    why: str


@dataclass(frozen=True, slots=True)
class HomeView:
    """The list of jobs as it is asked for."""

    jobs: Sequence[JobCard]
    chips: Sequence[Chip]
    pager: Pager
    total: int
    questions: int
    notices: Sequence[str]
    text: str
    statuses: Sequence[str]
    sort: str
    sorts: Sequence[tuple[str, str]] = _JOB_SORTS


def job_wish(query: Query) -> JobWish:
    """What the address asks for."""
    sort = query.one_of("sort", [name for name, _ in _JOB_SORTS], "updated")
    return JobWish(
        statuses=query.texts("status", JOB_STATUSES),
        text=query.text("q"),
        sort=sort,  # type: ignore[arg-type]  # one of the allowed ones
        descending=sort not in _RISING,
        offset=offset_of(query, JOBS_PER_PAGE),
        limit=JOBS_PER_PAGE,
    )


def home_view(page: JobPage, wish: JobWish, to: To) -> HomeView:
    """The list as `board.jobs` answered it."""
    asked = {"q": wish.text, "sort": wish.sort if wish.sort != "updated" else ""}
    chips = [Chip("all", with_query(to.home, asked), page.total, not wish.statuses)]
    for status in JOB_STATUSES:
        many = page.counts.get(status, 0)
        if many or status in wish.statuses:
            href = with_query(to.home, {**asked, "status": status})
            chips.append(Chip(status, href, many, wish.statuses == (status,), status))
    values = {**asked, "status": list(wish.statuses)}
    return HomeView(
        jobs=[_card(one, to) for one in page.jobs],
        chips=chips,
        pager=pager_of("Pages of jobs", wish.offset, wish.limit, page.matching, to.home, values),
        total=page.total,
        questions=sum(one.questions for one in page.jobs),
        notices=page.notices,
        text=wish.text,
        statuses=wish.statuses,
        sort=wish.sort,
    )


def _card(one: Summary, to: To) -> JobCard:
    progress = one.progress
    tells_why = progress is not None and one.status in ("failed", "paused", "pausing")
    return JobCard(
        name=one.name,
        href=to.run(one.key) if one.is_live else to.job(one.key),
        anchor=one.key.replace("~", "-"),
        status=one.status,
        workspace=one.workspace,
        progress=progress,
        updated_at=one.updated_at,
        questions=one.questions,
        message=one.message,
        why=" ".join(part for part in (progress.code, progress.reason) if part) if tells_why and progress else "",
    )


# --- one job ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verb:
    """A button. `asks` is the question before it does anything, `yes` what its answer is called."""

    action: str
    label: str
    hint: str
    kind: str = ""
    asks: str = ""
    yes: str = ""
    batches: Sequence[int] = ()


def verbs_of(progress: Progress, *, then: bool = False) -> list[Verb]:
    """What can be done with a job as it stands; nothing where its past is shown."""
    status, name = progress.status, progress.job_id
    if then:
        return []
    verbs = []
    if status in _CAN_PAUSE:
        verbs.append(Verb("pause", "Pause", "Let running batches finish and begin no more", "primary"))
    if status in _CAN_RESUME or status == "pending":
        label = "Start" if status == "pending" else "Resume"
        verbs.append(Verb("resume", label, "Go on with everything that is not done", "primary"))
    if progress.failed:
        verbs.append(Verb("retry", "Retry failed", "Try all failed batches again"))
    if status in _CAN_CANCEL:
        asks = f"All sessions of “{name}” end at once. What is done stays done, and the job can be resumed later."
        verbs.append(
            Verb("cancel", "Cancel …", "End all sessions at once; asks once more", "danger", asks, "Cancel the job")
        )
    return verbs


@dataclass(frozen=True, slots=True)
class JobView:
    """The head that all pages of a job share, and what its overview says about it."""

    key: str
    job_id: str
    name: str
    description: str
    workspace: str
    progress: Progress
    verbs: Sequence[Verb]
    questions: Sequence[Any] = ()
    about: Sequence[tuple[str, str]] = ()


def job_view(look: JobLook, questions: Sequence[Any] = ()) -> JobView:
    """A job as it stands now."""
    job, progress = look.job, look.progress
    return JobView(
        key=look.key,
        job_id=job.job_id or look.layout.job_id,
        name=job.name or look.layout.job_id,
        description=job.description,
        workspace=str(look.workspace),
        progress=progress,
        verbs=verbs_of(progress),
        questions=questions,
        about=list(_about(look)),
    )


def _about(look: JobLook) -> list[tuple[str, str]]:
    job, owner = look.job, look.owner
    found = [("backend", job.backend)]
    if owner is not None:
        found.append(("run by", f"process {owner.pid} on {owner.host}"))
    if look.config is not None:
        found.append(("rules", plural(len(look.config.validations), "rule") if look.config.validations else "none"))
    return [(label, value) for label, value in found if value]


# --- batches ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A head of the table; `order` is how the rows follow it, empty when they do not."""

    label: str
    href: str = ""
    order: str = ""
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One batch in the table."""

    number: int
    href: str
    items: str
    status: str
    attempts: int
    duration: float
    cost_usd: float
    cost_known: bool
    tokens: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchTable:
    """A part of the batches, as it is asked for. `problem` says what could not be understood."""

    rows: Sequence[Row]
    columns: Sequence[Column]
    chips: Sequence[Chip]
    pager: Pager
    total: int
    caption: str
    text: str = ""
    numbers: str = ""
    keep: Sequence[tuple[str, str]] = ()
    problem: str = ""


_COLUMNS: Final = (
    ("batch", "batch", True), ("items", "", True), ("status", "status", False), ("attempts", "attempts", True),
    ("time", "duration", True), ("cost", "cost", True), ("tokens", "tokens", True), ("code", "code", False),
    ("message", "", False),
)  # fmt: skip
_SORTS: Final = tuple(sort for _, sort, _ in _COLUMNS if sort)


def batch_wish(query: Query) -> BatchWish:
    """What the address asks for; `sort=-cost` is by cost, the highest first."""
    sort = query.text("sort")
    name = sort.removeprefix("-")
    return BatchWish(
        statuses=query.texts("status", BATCH_STATUSES),
        numbers=query.text("numbers"),
        text=query.text("q"),
        sort=name if name in _SORTS else "batch",  # type: ignore[arg-type]  # one of the allowed ones
        descending=sort.startswith("-"),
        offset=offset_of(query, ROWS_PER_PAGE),
        limit=ROWS_PER_PAGE,
    )


def batch_table(page: BatchPage, wish: BatchWish, key: str, to: To, *, problem: str = "", at: int = 0) -> BatchTable:
    """The table as `board.batches` answered it; `at` is the moment of the past that it shows."""
    path = to.run(key)
    sorting = f"{'-' if wish.descending else ''}{wish.sort}"
    asked: dict[str, object] = {
        "at": at,
        "q": wish.text,
        "numbers": "" if problem else wish.numbers,
        "sort": sorting if sorting != "batch" else "",
    }
    values = {**asked, "status": list(wish.statuses)}

    def here(more: Mapping[str, object]) -> str:
        return f"{with_query(path, more)}#batches"

    chips = [Chip("all", here(asked), page.total, not wish.statuses)]
    for status in BATCH_STATUSES:
        many = page.counts.get(status, 0)
        if many or status in wish.statuses:
            chips.append(Chip(status, here({**asked, "status": status}), many, wish.statuses == (status,), status))
    what = " or ".join(wish.statuses)
    if wish.text or asked["numbers"]:
        what = f"{what} that fit".strip()
    return BatchTable(
        rows=[_row(view, key, to) for view in page.batches],
        columns=[_column(one, wish, lambda sort: here({**values, "sort": sort})) for one in _COLUMNS],
        chips=chips,
        pager=pager_of("Pages of batches", wish.offset, wish.limit, page.matching, path, values),
        total=page.total,
        caption=window_caption(wish.offset + 1, len(page.batches), page.matching, what),
        text=wish.text,
        numbers=wish.numbers,
        keep=[(name, str(value)) for name in ("at", "sort") if (value := asked[name])]
        + [("status", status) for status in wish.statuses],
        problem=problem,
    )


def _column(one: tuple[str, str, bool], wish: BatchWish, address: Any) -> Column:
    label, sort, is_number = one
    if not sort:
        return Column(label, is_number=is_number)
    if sort != wish.sort:
        falls_first = is_number and sort != "batch"
        return Column(label, address(f"-{sort}" if falls_first else sort), "", is_number)
    order = "descending" if wish.descending else "ascending"
    return Column(label, address(sort if wish.descending else f"-{sort}"), order, is_number)


def _row(view: BatchView, key: str, to: To) -> Row:
    record, first, last = view.record, view.first_item, view.last_item
    return Row(
        number=view.number,
        href=to.batch(key, view.number),
        items=f"{first}" if first == last else f"{first}–{last}",
        status=view.status,
        attempts=record.attempts,
        duration=record.duration,
        cost_usd=record.cost_usd,
        cost_known=record.cost_known,
        tokens=record.usage.total,
        code=record.code,
        message=record.reason or record.message,
    )

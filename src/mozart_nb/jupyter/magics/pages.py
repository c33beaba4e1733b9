"""Plans, estimates and lists of jobs as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mozart_nb.consumers.progress import Progress
from mozart_nb.plans import words
from mozart_nb.words import Page, one_line, page, roughly

_WIDEST: Final = 60


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns side by side; a cell is one line."""
    cells = [list(heads), *([one_line(cell, _WIDEST) for cell in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(heads))]
    for row in cells:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def plan_page(plan: Mapping[str, Any]) -> Page:
    """What a run would do; `plan` is the document of `plans.outlook.plan_document`."""
    return page(_plan(plan))


def _plan(plan: Mapping[str, Any]) -> Iterator[str]:
    yield ": ".join(words.plan_head(plan))
    yield from (f"  {line}" for line in words.plan_lines(plan))
    yield ""
    batches = words.plan_table(plan)
    yield from table(batches.heads, batches.rows)
    if batches.left:
        yield f"  {batches.left}"
    if "show" in plan:
        prompt, rules = words.prompt_lines(plan["show"])
        yield from ("", f"prompt of batch {plan['show']['batch']}", prompt)
        yield from ("", f"its rules ({len(plan['show']['rules'])})", rules)
    else:
        yield "--show N shows the prompt of batch N"
    yield words.NOTHING_DONE


def estimate_page(estimate: Mapping[str, Any]) -> Page:
    """What a job will cost; `estimate` is the document of `plans.estimating.estimate`."""
    return page(_estimate(estimate))


def _estimate(estimate: Mapping[str, Any]) -> Iterator[str]:
    yield ": ".join(words.estimate_head(estimate))
    yield from (f"  {line}" for line in words.size_lines(estimate))
    yield ""
    ways = words.ways_table(estimate)
    yield from table(ways.heads, ways.rows)
    lines = [*words.remark_lines(estimate), words.limit_line(estimate), *words.warning_lines(estimate)]
    yield from (f"  {line}" for line in lines if line)


def jobs_page(jobs: Iterable[tuple[Progress, str]]) -> Page:
    """A line per job, with where it is known from."""
    rows = [
        (
            progress.job_id,
            progress.status,
            f"{progress.done:,}/{progress.total:,}",
            str(progress.failed or ""),
            place,
        )
        for progress, place in jobs
    ]
    return page(table(("job", "status", "done", "failed", "where"), rows))


def tested_page(rows: Sequence[Mapping[str, Any]]) -> Page:
    """What became of the test messages of `plans.notify_test`."""
    cells = (
        (str(row["channel"]), row["type"], row["status"], row["error"] or f"in {roughly(row['seconds'])}")
        for row in rows
    )
    advice = (f"channel {row['channel']}: {row['next']}" for row in rows if row["next"])
    return page([*table(("channel", "type", "result", ""), cells), *advice])


def sent_page(shown: Sequence[Mapping[str, Any]]) -> Page:
    """What would be sent."""
    return page(f"{one['channel']} {one['type']}: {one['title']} – {one['text']}" for one in shown)

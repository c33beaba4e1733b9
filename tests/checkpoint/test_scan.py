"""Few kinds of events are read out of a long journal without parsing the rest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from support.checkpoints import layout_in, write_history, write_job

from mozart_nb import events as ev
from mozart_nb.checkpoint.follow import read_events
from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.checkpoint.scan import scan
from mozart_nb.errors import UnknownJobError

KINDS = [ev.kind_of(kind) for kind in ev.event_types() if kind not in ev.VOLATILE]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return layout_in(tmp_path)


@pytest.mark.parametrize("seed", range(4))
async def test_a_scan_finds_what_a_whole_reading_finds(
    layout: Layout, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mozart_nb.checkpoint.scan.CHUNK_BYTES", 777)
    rng = random.Random(seed)
    await write_history(layout, rng, 400, segment_bytes=3000)
    everything = list(read_events(layout))
    assert list(scan(layout, KINDS)) == everything
    chosen = set(rng.sample(KINDS, 6))
    since = rng.randrange(len(everything))
    wanted = [event for event in everything if ev.kind_of(event) in chosen and event.seq > since]
    assert list(scan(layout, chosen, since_seq=since)) == wanted


def test_a_kind_can_be_narrowed_down_to_lines_that_hold_some_bytes(layout: Layout) -> None:
    write_job(layout, 5, 300)
    finished = [event for event in read_events(layout) if isinstance(event, ev.SessionFinished)]
    assert 0 < sum(bool(event.code) for event in finished) < len(finished)
    found = list(scan(layout, {"session.finished": b'"code":"', "job.planned": b""}))
    assert [event for event in found if isinstance(event, ev.SessionFinished)] == [e for e in finished if e.code]
    assert isinstance(found[0], ev.JobPlanned)
    assert list(scan(layout, {})) == []


def test_torn_and_damaged_lines_are_passed_over(layout: Layout) -> None:
    write_job(layout, 3, 60)
    everything = list(read_events(layout))
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    lines[10] = lines[10].replace(b"1", b"2", 1)
    layout.segment(1).write_bytes(b"".join(lines)[:-7])
    assert list(scan(layout, KINDS)) == [*everything[:10], *everything[11:-1]]


def test_what_a_later_segment_holds_again_counts_once(layout: Layout) -> None:
    write_job(layout, 4, 50)
    lines = layout.segment(1).read_bytes().splitlines(keepends=True)
    layout.segment(2).write_bytes(b"".join(lines[40:]))
    assert [event.seq for event in scan(layout, KINDS)] == list(range(1, 51))


def test_a_text_that_looks_like_an_event_is_none(layout: Layout) -> None:
    write_job(layout, 6, 30)
    with layout.segment(1).open("ab") as file:
        notice = ev.BatchFailed(seq=31, at=1.0, batch=1, code="E999", message='"event":{"kind":"job.planned"')
        file.write(EVENTS.wrap(ev.encode_event(notice)))
    assert [event.seq for event in scan(layout, {"job.planned"})] == [1]


def test_what_cannot_be_scanned_says_so(layout: Layout) -> None:
    with pytest.raises(UnknownJobError):
        list(scan(layout, {"batch.failed"}))
    write_job(layout, 1, 10)
    with pytest.raises(ValueError, match=r"batch\.burnt"):
        list(scan(layout, {"batch.burnt"}))

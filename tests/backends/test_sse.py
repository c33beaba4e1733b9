from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.backends._sse import SseError, SseEvent, SseFramer

STREAM = (
    'event: a\ndata: {"x": "ü"}\n\n: a comment\n\ndata: one\ndata:two\nid: 7\n\n'
    "event: b\r\ndata: 3\r\n\r\nevent: c\rdata: 4\r\r"
)
EVENTS = [SseEvent("a", '{"x": "ü"}'.encode()), SseEvent("", b"one\ntwo"), SseEvent("b", b"3"), SseEvent("c", b"4")]


def cut(data: bytes, *sizes: int) -> list[SseEvent]:
    framer, events = SseFramer(), []
    for size in sizes:
        events += framer.feed(data[:size])
        data = data[size:]
    return [*events, *framer.feed(data)]


def test_events_are_cut_out_of_a_stream_whatever_ends_its_lines():
    assert cut(STREAM.encode()) == EVENTS


@given(sizes=st.lists(st.integers(0, 12), max_size=40))
def test_a_stream_torn_anywhere_gives_the_same_events(sizes):
    assert cut(STREAM.encode(), *sizes) == EVENTS


def test_a_stream_that_comes_byte_by_byte_gives_the_same_events():
    data = STREAM.encode()
    assert cut(data, *[1] * len(data)) == EVENTS


@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_are_read_without_an_exception(chunks):
    framer = SseFramer()
    for chunk in chunks:
        list(framer.feed(chunk))


def test_a_byte_order_mark_at_the_beginning_does_not_count():
    assert cut(b"\xef\xbb\xbfdata: 1\n\n", 1, 1) == [SseEvent("", b"1")]


def test_an_event_without_its_end_does_not_come():
    assert cut(b"data: 1\n\ndata: 2\n") == [SseEvent("", b"1")]


def test_an_event_without_data_does_not_come_and_names_no_other():
    assert cut(b"event: ping\n\ndata: 1\n\n") == [SseEvent("", b"1")]


def test_a_field_without_a_colon_has_an_empty_value():
    assert cut(b"data\n\n") == [SseEvent("", b"")]


@pytest.mark.parametrize("data", [b"data: " + b"x" * 200, b"data: xxxxxxxxxxxxxxxxxxx\n" * 10])
def test_an_event_longer_than_the_limit_is_refused(data):
    framer = SseFramer(limit=100)
    with pytest.raises(SseError, match="more than 100 bytes"):
        list(framer.feed(data))

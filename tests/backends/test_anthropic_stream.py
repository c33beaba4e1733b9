from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mozart_nb.backends._anthropic_stream import MessageReader, StreamError


def event(kind: str, **data: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data}, ensure_ascii=False)}\n\n"


def said(text: str) -> str:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


START = event(
    "message_start",
    message={"id": "msg_1", "model": "m", "content": [], "usage": {"input_tokens": 12, "output_tokens": 1}},
)
BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
USED = {"output_tokens": 9, "input_tokens": None}
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage=USED) + event("message_stop")


def read(*chunks: str | bytes) -> MessageReader:
    reader = MessageReader()
    for chunk in chunks:
        reader.feed(chunk if isinstance(chunk, bytes) else chunk.encode())
    return reader


def words(reader: MessageReader) -> str:
    return str(reader.message()["content"][0]["text"])


def test_a_stream_becomes_the_message_that_an_unstreamed_reply_would_be():
    reader = read(START, BLOCK, said("an"), said("swer\n"), END)
    assert reader.is_complete
    assert reader.message() == {
        "id": "msg_1",
        "model": "m",
        "content": [{"type": "text", "text": "answer\n"}],
        "stop_reason": "end_turn",
        "stop_details": None,
        "usage": {"input_tokens": 12, "output_tokens": 9},
    }
    assert (reader.size, reader.lines) == (7, 1)


@given(sizes=st.lists(st.integers(1, 30), max_size=60))
def test_a_stream_torn_anywhere_gives_the_same_message(sizes):
    data = (START + event("ping") + BLOCK + said("grün ✓") + END).encode()
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    reader = read(*chunks, data)
    assert reader.is_complete
    assert words(reader) == "grün ✓"


def test_what_is_new_to_us_means_nothing():
    odd = event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "x"})
    reader = read(START, event("weather", sun=True), odd, BLOCK, said("yes"), END)
    assert words(reader) == "yes"


def test_text_that_comes_with_the_start_of_its_block_counts():
    start = event("content_block_start", index=0, content_block={"type": "text", "text": "be"})
    assert words(read(START, start, said("gin"), END)) == "begin"


def test_thinking_is_counted_and_not_read():
    thought = event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hmm"})
    reader = read(START, thought, said("yes"), END)
    assert (reader.thought, words(reader)) == (3, "yes")


def test_an_error_in_the_stream_is_told_and_what_came_before_stays():
    reader = read(START, said("half"), event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert reader.error is not None
    assert (reader.error.type, reader.error.message) == ("overloaded_error", "Overloaded")
    assert (reader.has_begun, reader.is_settled, words(reader)) == (True, False, "half")


def test_an_error_that_says_nothing_is_one_all_the_same():
    reader = read('event: error\ndata: {"detail": 3}\n\n')
    assert reader.error is not None
    assert reader.error.type == "api_error"
    assert not reader.has_begun


def test_an_answer_cut_in_the_middle_of_a_surrogate_pair_is_joined_again():
    halves = [
        f'data: {{"type":"content_block_delta","delta":{{"text":"{half}"}}}}\n\n' for half in ("\\ud83d", "\\ude00")
    ]
    text = words(read(START, *halves, END))
    assert text.encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


def test_nothing_is_read_after_the_end_of_the_message():
    assert words(read(START, said("done"), END, said(" and more"), "data: no JSON\n\n")) == "done"


@pytest.mark.parametrize(
    "data", ['data: {"type": "content_b\n\n', "data: [1, 2]\n\n", 'data: {"type": 3}\n\n', b"data: \xff\xfe\n\n"]
)
def test_what_is_no_event_of_the_api_is_refused_and_what_came_before_stays(data):
    reader = read(START, said("half"))
    with pytest.raises(StreamError, match="cannot be read"):
        reader.feed(data if isinstance(data, bytes) else data.encode())
    assert words(reader) == "half"


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_raise_nothing_but_a_stream_error(chunks):
    try:
        read(*chunks, b"\n\n")
    except StreamError:
        return

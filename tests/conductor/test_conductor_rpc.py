"""JSON-RPC 2.0 without a socket: whatever comes in, calls or errors of the standard come out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonrpcclient import Error, Ok, notification, parse, request

from mozart_nb.hosts.conductor import rpc

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def line_of(message: Any) -> bytes:
    return json.dumps(message).encode()


def codes(message: rpc.Message) -> list[int]:
    return [fault["error"]["code"] for fault in message.faults]


def test_a_request_of_a_public_library_is_a_call():
    [call] = rpc.read(line_of(request("status", params={"job_id": "notes"}, id=7))).calls
    assert (call.method, call.params, call.id, call.is_notification) == ("status", {"job_id": "notes"}, 7, False)


def test_a_notification_of_a_public_library_is_one():
    [call] = rpc.read(line_of(notification("ready"))).calls
    assert call.is_notification
    assert call.params == {}


def test_answers_are_understood_by_a_public_library():
    assert parse(json.loads(rpc.written(rpc.result(3, {"a": 1})))) == Ok({"a": 1}, 3)
    told = parse(json.loads(rpc.written(rpc.fault("x", -32601, "no such method", {"hint": "y"}))))
    assert told == Error(-32601, "no such method", {"hint": "y"}, "x")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", rpc.PARSE_ERROR),
        (b"\xff\xfe\x00", rpc.PARSE_ERROR),
        (b"\x00\x01\x02", rpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":1,"method":"ready"} trailing', rpc.PARSE_ERROR),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"ready"}', rpc.PARSE_ERROR),
        (b"[" * 200_000, rpc.PARSE_ERROR),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, rpc.PARSE_ERROR),
        (b"[]", rpc.INVALID_REQUEST),
        (b"1", rpc.INVALID_REQUEST),
        (b'"ready"', rpc.INVALID_REQUEST),
        (b"null", rpc.INVALID_REQUEST),
        (b"{}", rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"ready"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ready","params":"all"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":"ready","params":null}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"ready"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":true,"method":"ready"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 400 + b',"method":"ready"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 100_000 + b'","method":"ready"}', rpc.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"result":3}', rpc.INVALID_REQUEST),
    ],
)
def test_what_is_no_call_is_answered_with_the_standards_error(message: bytes, code: int):
    read = rpc.read(message)
    assert not read.calls
    assert codes(read) == [code]


def test_what_has_an_id_of_its_own_is_answered_under_it():
    [fault] = rpc.read(b'{"jsonrpc":"2.0","id":"here"}').faults
    assert fault["id"] == "here"


def test_a_batch_is_taken_apart_call_by_call():
    message = rpc.read(line_of([request("ready", id=1), 7, notification("ready"), request("health", id=2)]))
    assert message.is_batch
    assert [call.method for call in message.calls] == ["ready", "ready", "health"]
    assert codes(message) == [rpc.INVALID_REQUEST]


def test_a_batch_of_too_many_calls_is_refused_as_a_whole():
    message = rpc.read(line_of([request("ready", id=n) for n in range(rpc.MOST_IN_BATCH + 1)]))
    assert not message.calls
    assert codes(message) == [rpc.INVALID_REQUEST]


def test_a_line_that_is_too_long_is_dropped_and_the_next_one_is_understood():
    lines = rpc.Lines(longest=10)
    assert list(lines.feed(b"x" * 25)) == []
    assert lines.is_open
    assert list(lines.feed(b"x" * 25 + b"\n" + b"0123456789\n12345678901\nok\n")) == [None, b"0123456789", None, b"ok"]
    assert not lines.is_open
    assert codes(rpc.read(None)) == [rpc.INVALID_REQUEST]


def test_a_line_without_an_end_is_not_kept():
    lines = rpc.Lines(longest=1000)
    for _ in range(1000):
        assert list(lines.feed(b"x" * 999)) == []
    assert sum(map(len, lines._parts)) <= 1000


@given(st.lists(st.binary(max_size=30).filter(lambda part: b"\n" not in part and part.strip()), max_size=8), st.data())
def test_lines_are_the_same_however_they_arrive(parts: list[bytes], data: st.DataObject):
    stream = b"".join(part + b"\n" for part in parts)
    lines, found = rpc.Lines(longest=20), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        found += lines.feed(stream[:cut])
        stream = stream[cut:]
    assert found == [part if len(part) <= 20 else None for part in parts]


@given(st.binary(max_size=200))
def test_no_bytes_upset_the_reader(data: bytes):
    message = rpc.read(data)
    assert message.calls or message.faults


@given(JSON)
def test_no_json_upsets_the_reader(value: Any):
    message = rpc.read(line_of(value))
    assert message.calls or message.faults
    for fault in message.faults:
        assert isinstance(parse(json.loads(rpc.written(fault))), Error)


def test_half_of_a_surrogate_pair_can_be_written():
    assert json.loads(rpc.written(rpc.result(1, "a\ud800b"))) == {"jsonrpc": "2.0", "id": 1, "result": "a\ud800b"}

"""The socket, with a stand-in for what is asked: bounded, for this user alone, and never held up by anybody."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jsonrpcclient import Error, Ok, notification, parse, request

from mozart_nb.errors import ConductorError, JobBusyError, WorldError
from mozart_nb.hosts.conductor import rpc, server
from mozart_nb.hosts.conductor.faults import JOB_ALREADY_RUNNING, RESOURCE_EXHAUSTED
from mozart_nb.hosts.conductor.server import Server, Stream, bound


async def served(call: rpc.Call) -> Any:
    """What there is to be asked here."""
    match call.method:
        case "echo":
            return call.params
        case "slow":
            await asyncio.sleep(1)
        case "busy":
            raise JobBusyError("notes", "host here, pid 7")
        case "broken":
            raise RuntimeError("a mistake of ours")
        case "odd":
            return object()
        case "count":
            return Stream(counting(call.params["to"]))
        case "for_ever":
            return Stream(counting(1 << 40))
        case _:
            raise ConductorError("there is no such method", number=rpc.METHOD_NOT_FOUND)
    return None


async def counting(to: int) -> AsyncIterator[list[int]]:
    for number in range(to):
        yield [number]
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(path: Path, **limits: Any) -> AsyncIterator[Server]:
    listening = bound(path)
    one = Server(served, **limits)
    await one.start(listening)
    try:
        yield one
    finally:
        await one.close()
        listening.close()


async def only(one: Server, connections: int) -> None:
    """Return once there are so few."""
    async with asyncio.timeout(10):
        while one.connections > connections:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


class Talk:
    """A connection of a client that does as it pleases."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, path: Path) -> Talk:
        return cls(*await asyncio.open_unix_connection(str(path), limit=32 << 20))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self) -> Any:
        async with asyncio.timeout(10):
            return json.loads(await self.reader.readline())

    async def ask(self, *messages: Any) -> Any:
        await self.say(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
        return await self.hear()

    async def is_closed(self) -> bool:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                return await self.reader.read() == b""
        return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Short enough for a socket, whatever the test is called.
    return tmp_path_factory.mktemp("s") / "sock"


async def test_a_client_of_a_public_library_is_answered(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        assert parse(await talk.ask(request("echo", params={"a": [1, "ü"]}, id=1))) == Ok({"a": [1, "ü"]}, 1)
        assert parse(await talk.ask(request("echo", params=(1, 2), id="b"))) == Ok([1, 2], "b")
        await talk.close()


async def test_each_kind_of_trouble_has_its_standard_error(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        unknown = parse(await talk.ask(request("nothing", id=1)))
        assert isinstance(unknown, Error)
        assert unknown.code == rpc.METHOD_NOT_FOUND
        busy = parse(await talk.ask(request("busy", id=2)))
        assert isinstance(busy, Error)
        assert (busy.code, busy.data["type"], busy.data["job_id"]) == (JOB_ALREADY_RUNNING, "JobBusyError", "notes")
        for method in ("broken", "odd"):
            broken = parse(await talk.ask(request(method, id=3)))
            assert isinstance(broken, Error)
            assert (broken.code, broken.id) == (rpc.INTERNAL_ERROR, 3)
        await talk.say(b"{nonsense}\n")
        assert parse(await talk.hear()).code == rpc.PARSE_ERROR
        assert parse(await talk.ask(request("echo", params=[1], id=4))) == Ok([1], 4)
        await talk.close()


async def test_a_batch_is_answered_by_one_list_without_its_notifications(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        batch = [request("echo", params=[1], id=1), notification("echo"), request("broken", id=2), 3]
        answers = await talk.ask(batch)
        assert sorted(str(answer["id"]) for answer in answers) == ["1", "2", "None"]
        await talk.say(json.dumps([notification("echo")]).encode() + b"\n")  # answered by nothing at all
        assert parse(await talk.ask(request("echo", params=[2], id=9))) == Ok([2], 9)
        await talk.close()


async def test_a_message_that_is_too_long_is_refused_and_the_connection_goes_on(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        await talk.say(b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["')
        for _ in range(40):
            await talk.say(b"x" * 65_536)
        await talk.say(b'"]}\n')
        refused = parse(await talk.hear())
        assert isinstance(refused, Error)
        assert refused.code == rpc.INVALID_REQUEST
        assert parse(await talk.ask(request("echo", params=[1], id=2))) == Ok([1], 2)
        await talk.close()


async def test_a_call_that_takes_long_holds_up_nobody(path: Path):
    async with serving(path):
        slow, quick = await Talk.to(path), await Talk.to(path)
        await slow.say(json.dumps(request("slow", id=1)).encode() + b"\n")
        assert parse(await quick.ask(request("echo", params=[1], id=1))) == Ok([1], 1)
        assert parse(await slow.ask(request("echo", params=[2], id=2))) == Ok([2], 2)
        await slow.close()
        await quick.close()


async def test_more_connections_than_there_may_be_are_told_so_and_closed(path: Path):
    async with serving(path, most_connections=5) as one:
        talks = [await Talk.to(path) for _ in range(5)]
        for number, talk in enumerate(talks):
            await talk.say(json.dumps(request("slow", id=-number)).encode() + b"\n")
            await talk.ask(request("echo", params=[], id=number))
        more = [await Talk.to(path) for _ in range(20)]
        for talk in more:
            told = parse(await talk.hear())
            assert isinstance(told, Error)
            assert told.code == RESOURCE_EXHAUSTED
            assert await talk.is_closed()
            await talk.close()
        assert one.connections == 5
        await talks[0].close()
        await only(one, 4)
        last = await Talk.to(path)
        assert parse(await last.ask(request("echo", params=[1], id=1))) == Ok([1], 1)
        for talk in (*talks[1:], last):
            await talk.close()


async def test_those_that_only_sit_there_make_room_for_who_has_something_to_ask(path: Path):
    async with serving(path, most_connections=3):
        busy = await Talk.to(path)
        await busy.say(json.dumps(request("slow", id=1)).encode() + b"\n")
        await busy.ask(request("echo", params=[], id=2))
        sitting = [await Talk.to(path) for _ in range(10)]
        for talk in sitting:
            with contextlib.suppress(ConnectionError):  # the first of them have had to go by now
                await talk.say(b'{"half')
        new = await Talk.to(path)
        assert parse(await new.ask(request("echo", params=[1], id=1))) == Ok([1], 1)
        assert parse(await busy.ask(request("echo", params=[2], id=3))) == Ok([2], 3)
        assert await sitting[0].is_closed()
        for talk in (busy, new, *sitting):
            await talk.close()


async def test_who_takes_too_long_over_a_line_is_left(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "LINE_SECONDS", 0.3)
    async with serving(path) as one:
        talk = await Talk.to(path)
        with contextlib.suppress(ConnectionError):
            for letter in b'{"jsonrpc":':  # bytes keep coming, but the line never ends
                await talk.say(bytes([letter]))
                await asyncio.sleep(0.05)
        assert await talk.is_closed()
        await only(one, 0)
        await talk.close()


async def test_who_says_nothing_for_long_is_left(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.1)
    async with serving(path) as one:
        talk = await Talk.to(path)
        assert await talk.is_closed()
        await only(one, 0)
        await talk.close()


async def test_who_asks_for_much_and_reads_nothing_is_left(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "UNREAD_SECONDS", 0.2)
    async with serving(path) as one:
        deaf = socket.socket(socket.AF_UNIX)  # no stream: that would read by itself
        deaf.connect(str(path))
        deaf.sendall(json.dumps(request("for_ever", id=1)).encode() + b"\n")
        other = await Talk.to(path)
        assert parse(await other.ask(request("echo", params=[1], id=1))) == Ok([1], 1)
        await only(one, 1)
        await other.close()
        deaf.close()


async def test_a_stream_follows_its_answer_and_says_when_it_is_over(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        answer = parse(await talk.ask(request("count", params={"to": 3}, id=1)))
        assert answer == Ok({"subscription": 1}, 1)
        told = [await talk.hear() for _ in range(4)]
        assert [one["method"] for one in told] == ["event"] * 4
        assert [one["params"]["events"] for one in told] == [[0], [1], [2], []]
        assert [one["params"]["is_over"] for one in told] == [False, False, False, True]
        await talk.close()


async def test_a_connection_has_a_bounded_number_of_streams(path: Path):
    async with serving(path):
        talk = await Talk.to(path)
        await talk.say(b"".join(json.dumps(request("for_ever", id=n)).encode() + b"\n" for n in range(30)))
        refused = 0
        while refused < 30 - server.MOST_WATCHES:
            told = await talk.hear()
            if "error" in told:
                assert told["error"]["code"] == RESOURCE_EXHAUSTED
                refused += 1
        await talk.close()


async def test_calls_come_no_faster_than_they_may(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server, "MOST_PER_SECOND", 20)
    async with serving(path):
        talk = await Talk.to(path)
        began = asyncio.get_running_loop().time()
        await talk.say(b"".join(json.dumps(request("echo", params=[], id=n)).encode() + b"\n" for n in range(25)))
        numbers = sorted([(await talk.hear())["id"] for _ in range(25)])
        assert numbers == list(range(25))
        assert asyncio.get_running_loop().time() - began > 0.5
        await talk.close()


async def test_closing_ends_connections_and_what_is_under_way(path: Path):
    async with serving(path) as one:
        talk = await Talk.to(path)
        await talk.say(json.dumps(request("slow", id=1)).encode() + b"\n")
        await talk.ask(request("echo", params=[], id=2))
        await one.close()
        assert await talk.is_closed()
        await talk.close()


# --- the socket's place -----------------------------------------------------------------------------------------------


def test_the_socket_is_for_this_user_alone(path: Path):
    with bound(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_a_dead_conductor_left_is_replaced(path: Path):
    bound(path).close()
    assert path.exists()
    with bound(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_link_at_the_sockets_place_is_refused_and_left_alone(path: Path):
    target = path.with_name("precious")
    target.write_text("kept")
    path.symlink_to(target)
    with pytest.raises(WorldError, match="is not a socket of this user"):
        bound(path)
    assert target.read_text() == "kept"
    assert path.is_symlink()


def test_a_file_at_the_sockets_place_is_refused_and_left_alone(path: Path):
    path.write_text("kept")
    with pytest.raises(WorldError, match="is not a socket of this user"):
        bound(path)
    assert path.read_text() == "kept"


def test_a_folder_that_others_can_write_to_is_no_place_for_the_socket(path: Path):
    path.parent.chmod(0o777)
    with pytest.raises(WorldError, match="others than this user can write"):
        bound(path)


def test_a_path_that_is_too_long_for_a_socket_is_said_so(path: Path):
    with pytest.raises(WorldError, match="longer than 103 bytes"):
        bound(path.parent / ("x" * 120))

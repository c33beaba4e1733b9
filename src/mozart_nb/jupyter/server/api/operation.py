"""One operation of the API as data: where it is, what it takes, what it answers; and the handler that carries it out.

The table of all of them (`table.RESOURCES`) makes the routes, the OpenAPI document and the page that explains it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, TypeVar

import msgspec
from jupyter_server.utils import url_path_join

from mozart_nb.errors import MozartError, UnknownJobError
from mozart_nb.jupyter.server.api.params import ParameterError, read_query
from mozart_nb.jupyter.server.api.queries import Query
from mozart_nb.jupyter.server.base import ApiHandler, MozartHandler, Refusal
from mozart_nb.jupyter.server.problems import phrase, problem_of
from mozart_nb.looking.board import Board

Q = TypeVar("Q")
B = TypeVar("B")

_PARAMETER = re.compile(r"\{(\w+)\}")
LARGEST_NUMBER: Final = 10**15
"""That an address may hold; plans and journals have fewer of anything."""


@dataclass(frozen=True)
class Ask(Generic[Q, B]):
    """What an operation is asked. `key` and `number` come from the address, empty and 0 where it has none.

    `folder` is where relative paths of job files begin; `by` names the person in journals.
    """

    board: Board
    query: Q
    body: B
    key: str = ""
    number: int = 0
    folder: Path = Path()
    by: str = ""


@dataclass(frozen=True)
class Reply:
    """An answer with a status of its own. `location` is an address below `/mozart`."""

    document: Any
    status: int = 200
    location: str = ""


class NotNowError(Exception):
    """What is asked makes sense, but not as the job stands: 409."""

    def __init__(self, reason: MozartError) -> None:
        super().__init__(reason.message)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Operation:
    """`carry_out` blocks and runs in a thread; `stream` takes its place where the client accepts an event stream.

    What `checks` job files has threads of its own: a pattern of files that never ends holds up no page.
    """

    id: str
    summary: str
    description: str = ""
    answer: type[msgspec.Struct]
    carry_out: Callable[[Ask[Any, Any]], Any]
    query: type[Query] = Query
    body: type[msgspec.Struct] | None = None
    statuses: tuple[int, ...] = (200,)
    fails: tuple[int, ...] = ()
    stream: Callable[[OperationHandler, Ask[Any, Any]], Awaitable[None]] | None = None
    checks: bool = False


@dataclass(frozen=True)
class Resource:
    """An address below `/mozart`, `{key}` and `{number}` standing for what varies, and what it answers to."""

    path: str
    tag: str
    operations: Mapping[str, Operation]

    @property
    def pattern(self) -> str:
        """The same as a regular expression."""
        return _PARAMETER.sub(r"(?P<\1>[^/]+)", self.path)

    @property
    def parameters(self) -> list[str]:
        """Names of what varies, in their order."""
        return _PARAMETER.findall(self.path)

    @property
    def handler(self) -> type[MozartHandler]:
        """The class that answers there."""
        methods = {method.lower(): _METHODS[method] for method in self.operations}
        name = "".join(part.strip("{}").title() for part in re.split(r"[/._]", self.path)) + "Handler"
        return type(name, (OperationHandler,), {**methods, "operations": self.operations, "__doc__": self.path})


class OperationHandler(ApiHandler):
    """Carries out the operations of one resource."""

    operations: ClassVar[Mapping[str, Operation]] = {}

    async def carry_out(self) -> None:
        """Read what is asked, do it in a thread, send what comes of it."""
        operation = self.operations["GET" if self.request.method == "HEAD" else self.request.method or ""]
        ask = self._ask(operation)
        if operation.stream is not None and _wants_stream(self.request.headers.get("Accept", "")):
            await operation.stream(self, ask)
            return
        try:
            workers = self.app.checkers if operation.checks else self.app.workers
            reply, encoded = await workers.run(_answered, operation, ask)
        except NotNowError as error:
            found = problem_of(error.reason)
            raise Refusal(msgspec.structs.replace(found, status=409, title=phrase(409))) from error
        if operation.stream is not None:
            self.add_header("Vary", "Accept")
        if reply.location:
            self.set_header("Location", url_path_join(self.base_url, "mozart", reply.location))
        self.set_status(reply.status)
        self.finish(encoded)

    async def finish_stream(self) -> None:
        """End an answer that was sent piece by piece, with the type that it has."""
        await MozartHandler.finish(self)

    @cached_property
    def client_gone(self) -> asyncio.Future[None]:
        """Done once the client has closed the connection."""
        return asyncio.get_running_loop().create_future()

    def on_connection_close(self) -> None:
        """Whoever streams to this client stops."""
        super().on_connection_close()
        if "client_gone" in self.__dict__ and not self.client_gone.done():
            self.client_gone.set_result(None)

    def _ask(self, operation: Operation) -> Ask[Any, Any]:
        try:
            query = read_query(self.request.query_arguments, operation.query)
        except ParameterError as error:
            self.refuse(400, f"The query cannot be understood: {error}")
        return Ask(
            self.board,
            query,
            self.json_body(operation.body) if operation.body is not None else None,
            key=self.path_kwargs.get("key", ""),
            number=self._number(),
            folder=self._folder(),
            by=self._by(),
        )

    def _number(self) -> int:
        """The number in the address; what is none, or too large for any plan, is nothing that exists."""
        text = self.path_kwargs.get("number")
        if text is None:
            return 0
        if not re.fullmatch(r"\d{1,16}", text, re.ASCII) or int(text) > LARGEST_NUMBER:
            self.refuse(404, "There is nothing with this number.")
        return int(text)

    def _folder(self) -> Path:
        server = self.app.serverapp
        return Path.cwd() if self.app.is_standalone or server is None else Path(server.root_dir)

    def _by(self) -> str:
        name = getattr(self.current_user, "display_name", "") or getattr(self.current_user, "username", "")
        return f"{name} (web)" if name and not self.token_authenticated else "the web pages"


def _answered(operation: Operation, ask: Ask[Any, Any]) -> tuple[Reply, bytes]:
    """In a thread: also encoding a large answer takes its time."""
    try:
        found = operation.carry_out(ask)
    except IndexError:
        raise UnknownJobError(
            f"this job has no batch {ask.number}", hint="the list of batches has all of them"
        ) from None
    reply = found if isinstance(found, Reply) else Reply(found)
    return reply, msgspec.json.encode(reply.document)


def _wants_stream(accept: str) -> bool:
    return any(part.partition(";")[0].strip().lower() == "text/event-stream" for part in accept.split(","))


def _method() -> Callable[[OperationHandler], Awaitable[None]]:
    async def method(self: OperationHandler, **path: str) -> None:
        await self.carry_out()

    return method


_METHODS: Final[Mapping[str, Any]] = {"GET": _method(), "POST": _method()}

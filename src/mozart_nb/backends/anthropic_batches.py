"""The Message Batches API as a backend: half the price, answers within a day, up to 100,000 requests at once.

Jobs hand their requests in by the thousand (`engine.ports.Remote`). Replies are read as bytes and in slices, in a
thread: a file of 100,000 results must not hold up the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, NoReturn
from urllib.parse import quote

import msgspec

from mozart_nb.backends import _anthropic_parcels as parcels
from mozart_nb.backends._anthropic_client import LazyClient, access_of
from mozart_nb.backends._anthropic_failures import result_of_broken_reply, result_of_exception
from mozart_nb.backends._anthropic_files import AttachmentError, file_blocks
from mozart_nb.backends._anthropic_health import facts_of, health_of, health_of_failure, schema_support
from mozart_nb.backends._anthropic_messages import SAMPLING_HEADERS, message_params, model_of
from mozart_nb.backends._anthropic_outcome import Price, result_of_error
from mozart_nb.backends._offload import in_thread
from mozart_nb.engine.ports import (
    Clock,
    Continuation,
    Health,
    RemoteBatch,
    RemoteError,
    RemoteResult,
    Report,
    SessionRequest,
    SessionResult,
)
from mozart_nb.job.backends import DEFAULT_API_MODEL

CHECK_SECONDS: Final = 10.0
CALL_SECONDS: Final = 60.0
"""Longest silence in a call that carries little."""

PAGE: Final = 100
SLICE: Final = 200
"""Results that are read in one go: about five milliseconds of work."""

_LINES: Final = "application/binary"  # what the SDK asks for as well

_TEMPERATURE: Final = b'"temperature":'  # a key: in a text of JSON its quotation marks would be escaped

_UNCERTAIN: Final = (408, 409)
"""Statuses below 500 after which nobody knows whether something was done."""


class AnthropicBatchesBackend:
    """Implements `engine.ports.Remote`, and `engine.ports.Backend` for a request on its own.

    `options` is the job's `backend` section, `environ` where the key is looked for. Belongs to one event loop; `close`
    when the job is done.
    """

    name = "anthropic_batches"
    family = "anthropic"
    continues_by: Continuation = "messages"
    outlives_host = True
    is_free = False
    most_requests = parcels.MOST_REQUESTS
    most_bytes = parcels.MOST_BYTES

    def __init__(self, clock: Clock, *, environ: Mapping[str, str], options: Mapping[str, Any], price: Price) -> None:
        self._clock = clock
        self._options = options
        self._price = price
        self._access = access_of(options, environ)
        self._client = LazyClient(self._access, environ)
        self._takes_schema: dict[str, bool] = {}
        self._any_request = _stand_in(options)

    # --- engine.ports.Backend -----------------------------------------------------------------------------------------

    async def run(self, request: SessionRequest, report: Report) -> SessionResult:
        """One request in a remote batch of its own, waited for. Jobs do not come here: they hand theirs in together."""
        document = await self.encode("request", request)
        if isinstance(document, SessionResult):
            return document
        await report.opened(request.session_id)
        try:
            made = await self.create([document])
            try:
                return await self._awaited(made)
            except asyncio.CancelledError:
                await asyncio.shield(self.cancel(made.id))
                raise
        except RemoteError as error:
            return error.result

    async def _awaited(self, made: RemoteBatch) -> SessionResult:
        while not (await self.look(made.id)).is_over:
            await self._clock.sleep(1.0)
        async with aclosing(self.results(made.id)) as parts:
            async for part in parts:
                return part[0].result
        return result_of_broken_reply("the remote batch ended without a result", {})

    async def check(self) -> Health:
        """Whether key, model and address work: asks for the model's description, which is free."""
        model = self._options.get("model") or DEFAULT_API_MODEL
        facts = facts_of(self._access, model)
        if self._access.fault:
            code = "E502" if self._access.fault_kind == "arguments" else "E501"
            return Health(False, code, self._access.fault, facts)
        try:
            document = await self._call("get", f"/v1/models/{quote(model, safe='')}", seconds=CHECK_SECONDS)
        except RemoteError as error:
            return health_of_failure(error.result, model, facts)
        if (support := schema_support(document)) is not None:
            self._takes_schema.setdefault(model, support)
        return health_of(document, model, facts)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    # --- engine.ports.Remote ------------------------------------------------------------------------------------------

    async def encode(self, custom_id: str, request: SessionRequest) -> bytes | SessionResult:
        """The request as it will be sent, attachments included; a failed session when one cannot be read."""
        if self._access.fault:
            return result_of_error(None, self._access.fault_kind, self._access.fault)
        try:
            files = await in_thread(file_blocks, request.attachments) if request.attachments else []
        except AttachmentError as error:
            return result_of_error(None, error.kind, str(error))
        takes_schema = self._takes_schema.get(model_of(request))
        params = message_params(request, file_blocks=files, is_structured=takes_schema)
        return parcels.entry(custom_id, params)

    async def create(self, documents: Sequence[bytes]) -> RemoteBatch:
        """Hand in encoded requests as one batch. Never tried twice."""
        body = await asyncio.to_thread(parcels.body, documents)
        version = SAMPLING_HEADERS if any(_TEMPERATURE in document for document in documents) else {}
        return self._shown(await self._call("post", parcels.PATH, content=body, seconds=None, headers=version))

    async def look(self, remote_id: str) -> RemoteBatch:
        """How a batch is doing."""
        return self._shown(await self._call("get", f"{parcels.PATH}/{remote_id}"))

    async def newest(self) -> AsyncGenerator[RemoteBatch, None]:
        """Every batch of the workspace that the key belongs to, the newest first."""
        after = ""
        while True:
            query = {"limit": PAGE, "after_id": after} if after else {"limit": PAGE}
            document = await self._call("get", parcels.PATH, query=query)
            try:
                page, after = parcels.page_shown(document)
            except (msgspec.MsgspecError, ValueError) as error:
                self._no_sense(error)
            for one in page:
                yield one
            if not after:
                return

    async def results(self, remote_id: str) -> AsyncGenerator[Sequence[RemoteResult], None]:
        """The results of a batch that is over, some hundred at a time."""
        rest, lines = b"", []
        try:
            async with self._reply(
                "get", f"{parcels.PATH}/{remote_id}/results", seconds=None, accept=_LINES
            ) as response:
                async for chunk in response.aiter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    lines += whole
                    while len(lines) >= SLICE:
                        yield await self._read(lines[:SLICE])
                        del lines[:SLICE]
        except RemoteError:
            raise
        except Exception as error:
            self._fail(error)
        if rest:
            lines.append(rest)
        if lines:
            yield await self._read(lines)

    async def cancel(self, remote_id: str) -> None:
        """Ask the service to process no more of a batch."""
        await self._call("post", f"{parcels.PATH}/{remote_id}/cancel", content=b"")

    # --- calls --------------------------------------------------------------------------------------------------------

    async def _read(self, lines: Sequence[bytes]) -> list[RemoteResult]:
        return await asyncio.to_thread(parcels.results_in, list(lines), self._any_request, self._price)

    def _shown(self, document: bytes) -> RemoteBatch:
        try:
            batch, archived_at = parcels.batch_shown(document)
        except (msgspec.MsgspecError, ValueError) as error:
            self._no_sense(error)
        if archived_at:
            text = f"the results of {batch.id} were archived on {archived_at[:10]}"
            raise RemoteError(result_of_error(404, "not_found_error", text), is_refusal=True, is_gone=True)
        return batch

    async def _call(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = CALL_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of a reply. `seconds` None: as long as the client waits. Raises `RemoteError`."""
        try:
            reply = self._reply(method, path, content=content, query=query, seconds=seconds, headers=headers)
            async with reply as response:
                body: bytes = await response.aread()
                return body
        except Exception as error:
            self._fail(error)

    @asynccontextmanager
    async def _reply(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        query: Mapping[str, Any] | None = None,
        seconds: float | None = CALL_SECONDS,
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Any]:
        """The reply with its body unread. Raises whatever the SDK and its transport raise."""
        client = await self._client.get()
        from anthropic import AsyncStream

        options: dict[str, Any] = {"headers": {"accept": accept, **(headers or {})}}
        if query:
            options["params"] = query
        if seconds is not None:
            options["timeout"] = seconds
        if content is not None:
            options["headers"]["content-type"] = "application/json"
        how: dict[str, Any] = {"cast_to": object, "options": options, "stream": True, "stream_cls": AsyncStream[object]}
        if method == "post":
            stream = await client.post(path, content=content, **how)
        else:
            stream = await client.get(path, **how)
        try:
            yield stream.response
        finally:
            await stream.response.aclose()

    def _no_sense(self, error: Exception) -> NoReturn:
        """A reply of another form than documented: whether anything was done is unknown."""
        raise RemoteError(result_of_broken_reply(f"the reply makes no sense: {error}", {}), is_refusal=False) from error

    def _fail(self, error: Exception) -> NoReturn:
        """Tell what went wrong, and whether the service certainly did nothing."""
        result = result_of_exception(error, self._access, has_begun=True, wall=self._clock.wall())
        text = self._access.without_secret(result.error_text)
        result = msgspec.structs.replace(result, error_text=text, stderr_tail=text)
        status = result.api_status
        refused = status is not None and 400 <= status < 500 and status not in _UNCERTAIN
        never_sent = status is None and result.cost_usd == 0.0
        is_gone = status == 404 and result.error_kind == "not_found_error"
        raise RemoteError(result, is_refusal=refused or never_sent, is_gone=is_gone) from error


def _stand_in(options: Mapping[str, Any]) -> SessionRequest:
    """What results are read with: the requests themselves are long gone by then."""
    return SessionRequest(
        job_id="",
        batch=0,
        attempt=0,
        mode="first",
        prompt="",
        session_id="",
        marker="",
        log="",
        working_directory="",
        workspace="",
        timeout_seconds=0.0,
        capture_bytes=int(options.get("max_output_capture_bytes") or 10240),
        options=options,
    )

"""Finding a parcel again of which nobody knows whether the service has it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from mozart_nb.engine.parcels import is_in, key_of
from mozart_nb.engine.ports import Remote, RemoteBatch, RemoteError
from mozart_nb.engine.state import JobState


class Search:
    """Looks for one parcel among the remote batches of the account.

    A remote batch does not show whose requests it holds before it is over; then its first result tells.
    `has_candidates`: at the last look there were some that may hold the parcel and are not over yet.
    """

    def __init__(self, remote: Remote, state: JobState, number: int, slack_seconds: float) -> None:
        self.has_candidates = True
        self._remote = remote
        self._state = state
        self._sought = state.job.remotes[number]
        self._slack = slack_seconds
        self._strangers: set[str] = set()

    async def look(self) -> RemoteBatch | None:
        """The remote batch that holds the parcel, if it is over by now. Raises `RemoteError`."""
        waits = False
        async with aclosing(self._candidates()) as candidates:
            async for candidate in candidates:
                if not candidate.is_over:
                    waits = True
                elif await self._is_ours(candidate):
                    return candidate
                else:
                    self._strangers.add(candidate.id)
        self.has_candidates = waits
        return None

    async def _candidates(self) -> AsyncGenerator[RemoteBatch, None]:
        """Remote batches of the right size that nobody here knows, made since the parcel was sent."""
        async with aclosing(self._remote.newest()) as newest:
            async for one in newest:
                if one.created_at < self._sought.sent_at - self._slack:
                    return
                known = {remote.remote_id for remote in self._state.job.remotes.values()} | self._strangers
                if one.requests == self._sought.requests and one.id not in known:
                    yield one

    async def _is_ours(self, candidate: RemoteBatch) -> bool:
        try:
            async with aclosing(self._remote.results(candidate.id)) as parts:
                async for part in parts:
                    for first in part:
                        key = key_of(self._state.job.seed, first.custom_id)
                        return key is not None and is_in(key, self._sought.entries)
        except RemoteError as error:
            if not error.is_gone:
                raise
        return False

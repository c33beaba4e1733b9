"""How far a chain of jobs has come: handed from job to job in an environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from mozart_nb.errors import MisuseError
from mozart_nb.job.outputs import ConcertConfig

CHAIN_VARIABLE: Final = "MOZART_NB_CHAIN"
"""Holds `{"jobs": [ids so far], "limit": hops}` in whatever a hook starts; other programs need not touch it."""

WITHOUT_CONCERT: Final = 1
"""How far a chain goes that no job of it has allowed with `concert.enabled`: the next job runs, and that is it."""


class _Wire(msgspec.Struct, frozen=True, omit_defaults=True):
    jobs: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True)
class Chain:
    """The jobs that led to the present one, the first of them first, without it.

    `limit` is how many jobs may follow the first one: the smallest `max_chain_depth` on the way. None: no job of the
    chain has said.
    """

    jobs: tuple[str, ...] = ()
    limit: int | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Chain:
        """The chain this process is part of. Raises `MisuseError` for a value that is none of ours."""
        text = environ.get(CHAIN_VARIABLE, "")
        if not text:
            return cls()
        try:
            wire = msgspec.json.decode(text, type=_Wire)
        except msgspec.DecodeError as error:
            # Taking it for the start of a new chain would let a chain without end begin here.
            raise MisuseError(
                f"the environment variable {CHAIN_VARIABLE} cannot be read: {error}", hint=f"unset {CHAIN_VARIABLE}"
            ) from error
        return cls(wire.jobs, wire.limit)

    def through(self, job_id: str, concert: ConcertConfig) -> Chain:
        """The chain as the next job sees it, started by `job_id`."""
        limits = [self.limit, concert.max_chain_depth if concert.enabled else None]
        return Chain((*self.jobs, job_id), min((limit for limit in limits if limit is not None), default=None))

    @property
    def is_too_long(self) -> bool:
        """Whether the next job would be one too many."""
        return len(self.jobs) > (WITHOUT_CONCERT if self.limit is None else self.limit)

    @property
    def refusal(self) -> str:
        """Why the next job is not started."""
        so_far = " → ".join(self.jobs[-6:])
        if len(self.jobs) > 6:
            so_far = f"… → {so_far}"
        if self.limit is None:
            return f"the chain {so_far} ends here; `concert.enabled: true` allows longer ones"
        return f"the chain {so_far} ends here: `concert.max_chain_depth` is {self.limit}"

    def environ(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with this chain in it."""
        return {**base, CHAIN_VARIABLE: msgspec.json.encode(_Wire(self.jobs, self.limit)).decode()}

"""Asks the API how many tokens prompts have: free of charge, with the job's own key and address."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from mozart_nb.backends._anthropic_client import LazyClient, access_of

AT_ONCE: Final = 5
SECONDS: Final = 20.0
"""How long all counts together may take."""


class Counts(NamedTuple):
    """Tokens of each prompt in order. When `fault` says why they could not be counted, there are none."""

    tokens: Sequence[int] = ()
    fault: str = ""


async def count_tokens(
    options: Mapping[str, Any], environ: Mapping[str, str], prompts: Sequence[tuple[str, str]]
) -> Counts:
    """Count `prompts`, each with its model, and the system prompt of `options` with each; never raises.

    `options` is the job's `backend` section. Nothing is sent without a key.
    """
    access = access_of(options, environ)
    if access.fault:
        return Counts(fault=access.fault)
    lazy = LazyClient(access, environ)
    try:
        async with asyncio.timeout(SECONDS):
            return Counts(await _count(lazy, options.get("system") or "", prompts))
    except TimeoutError:
        return Counts(fault=f"{access.address} did not count tokens within {SECONDS:.0f} seconds")
    except Exception as error:  # whatever the SDK raises: an estimate does without
        return Counts(fault=access.without_secret(f"{access.address} did not count tokens: {error}"))
    finally:
        await lazy.close()


async def _count(lazy: LazyClient, system: str, prompts: Sequence[tuple[str, str]]) -> list[int]:
    client = await lazy.get()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(model: str, prompt: str) -> int:
        more: dict[str, Any] = {"system": system} if system else {}
        async with places:
            counted = await client.messages.count_tokens(
                model=model, messages=[{"role": "user", "content": prompt}], **more
            )
        return counted.input_tokens

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(model, prompt)) for model, prompt in prompts]
    return [task.result() for task in tasks]

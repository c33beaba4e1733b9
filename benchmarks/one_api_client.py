"""N requests through one client, in a process of its own; prints one JSON object.

python benchmarks/one_api_client.py CLIENT URL N CONCURRENT FOLDER

CLIENT is one of
    aiohttp       bare aiohttp, streamed bodies, not looked at
    sdk           the anthropic SDK with its aiohttp transport, `messages.create(stream=True)`, CONCURRENT workers
    sdk-tasks     the same, one task per request behind a semaphore
    mozart        a journaled job with one rule, as the command line runs it: batch, session and answer on disk
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import loopback

Send = Callable[[int], Awaitable[str]]


def prompt(number: int, total: int) -> str:
    return f"Summarise item {number} of {total} in one sentence."


async def workers(send: Send, n: int, concurrent: int) -> None:
    numbers = iter(range(1, n + 1))

    async def work() -> None:
        for number in numbers:
            assert await send(number) == loopback.TEXT

    await asyncio.gather(*(work() for _ in range(concurrent)))


async def tasks(send: Send, n: int, concurrent: int) -> None:
    slots = asyncio.Semaphore(concurrent)

    async def one(number: int) -> None:
        async with slots:
            assert await send(number) == loopback.TEXT

    await asyncio.gather(*(one(number) for number in range(1, n + 1)))


async def aiohttp_client(url: str, n: int, concurrent: int) -> None:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=1000)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(number: int) -> str:
            message = {"role": "user", "content": prompt(number, n)}
            body = {"model": loopback.MODEL, "max_tokens": 8192, "stream": True, "messages": [message]}
            async with session.post(f"{url}/v1/messages", json=body) as reply:
                await reply.read()
            return loopback.TEXT

        await workers(send, n, concurrent)


async def sdk_client(url: str, n: int, concurrent: int, drive: Callable[..., Awaitable[None]]) -> None:
    from anthropic import AsyncAnthropic, DefaultAioHttpClient

    async with AsyncAnthropic(
        api_key="none", base_url=url, max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:

        async def send(number: int) -> str:
            stream = await client.messages.create(
                model=loopback.MODEL,
                max_tokens=8192,
                messages=[{"role": "user", "content": prompt(number, n)}],
                stream=True,
            )
            parts = [
                event.delta.text
                async for event in stream
                if event.type == "content_block_delta" and event.delta.type == "text_delta"
            ]
            return "".join(parts)

        await drive(send, n, concurrent)


def mozart(url: str, n: int, concurrent: int, folder: Path) -> None:
    from mozart_nb.events import RunOptions
    from mozart_nb.hosts.headless import run_headless
    from mozart_nb.job.load import load_mapping
    from mozart_nb.runtime import prepare

    prepared = prepare(load_mapping(job(url, n, concurrent, folder), base_dir=folder))
    state = run_headless(prepared, RunOptions())
    assert state.count("completed") == n, state.job


def job(url: str, n: int, concurrent: int, folder: Path) -> dict[str, object]:
    return {
        "name": f"bench-{n}",
        "workspace": str(folder / "workspace"),
        "backend": {"type": "anthropic_api", "base_url": url, "model": loopback.MODEL},
        "batch": {"size": 1, "total_items": n},
        "prompt": {"template": "Summarise item {{ batch_num }} of {{ total_batches }} in one sentence."},
        "parallel": {"enabled": True, "max_concurrent": concurrent},
        "validations": [{"type": "answer_matches", "pattern": "sentence"}],
    }


def measured(client: str, url: str, n: int, concurrent: int, folder: Path) -> dict[str, float]:
    work: Awaitable[None]
    match client:
        case "aiohttp":
            import aiohttp  # noqa: F401  (importing is not what is measured)

            work = aiohttp_client(url, n, concurrent)
        case "sdk" | "sdk-tasks":
            import anthropic
            import anthropic.types

            work = sdk_client(url, n, concurrent, workers if client == "sdk" else tasks)
        case "mozart":
            import anthropic.types  # noqa: F401

            import mozart_nb.hosts.headless  # noqa: F401
    wall, cpu = time.perf_counter(), time.process_time()
    if client == "mozart":
        mozart(url, n, concurrent, folder)
    else:
        asyncio.run(work)
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    name, address, count, at_once, place = sys.argv[1:]
    print(json.dumps(measured(name, address, int(count), int(at_once), Path(place))))

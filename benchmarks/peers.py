"""N prompts through another tool, in the tool's own environment: `PYTHON benchmarks/peers.py PEER URL N`.

Run by `api.py` where an environment is named. Each asks the same prompts at a concurrency of 64, keeps what it keeps by
default, and is told not to phone home.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

MODEL = "claude-sonnet-4-5-20250929"  # one that all of them know


def prompts(n: int) -> list[str]:
    return [f"Summarise item {number} in one sentence." for number in range(1, n + 1)]


def curator(url: str, n: int) -> None:
    os.environ |= {"TELEMETRY_ENABLED": "0", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "CURATOR_VIEWER": "0"}
    package = importlib.util.find_spec("litellm")
    assert package is not None
    assert package.origin is not None
    # Its tokenizer downloads a file, of which litellm brings a copy.
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(package.origin).parent / "litellm_core_utils" / "tokenizers")
    from bespokelabs import curator as tool

    limits = {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10, "max_concurrent_requests": 64}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CURATOR_CACHE_DIR"] = folder
        model = tool.LLM(model_name=MODEL, backend="anthropic", backend_params={"base_url": f"{url}/v1", **limits})
        answers = model(prompts(n))
        assert len(getattr(answers, "dataset", answers)) == n


def inspect_ai(url: str, n: int) -> None:
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.solver import generate

    samples = [Sample(input=prompt, id=number) for number, prompt in enumerate(prompts(n))]
    with tempfile.TemporaryDirectory() as folder:
        task = Task(dataset=MemoryDataset(samples), solver=generate())
        model = f"anthropic/{MODEL}"
        [log] = evaluate(task, model=model, max_connections=64, log_dir=folder, display="none", model_base_url=url)
        assert log.status == "success", log.error


def async_batch_llm(url: str, n: int) -> None:
    from anthropic import AsyncAnthropic, DefaultAioHttpClient
    from async_batch_llm import LLMWorkItem, ParallelBatchProcessor, ProcessorConfig
    from async_batch_llm.llm_strategies import LLMCallStrategy

    async def run() -> None:
        async with AsyncAnthropic(base_url=url, max_retries=0, http_client=DefaultAioHttpClient()) as client:

            class Ask(LLMCallStrategy[str]):
                async def execute(self, prompt, attempt, timeout, state=None):  # type: ignore[no-untyped-def]
                    reply = await client.messages.create(
                        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": prompt}]
                    )
                    usage = {"input_tokens": reply.usage.input_tokens, "output_tokens": reply.usage.output_tokens}
                    return reply.content[0].text, {**usage, "total_tokens": sum(usage.values())}

            processor = ParallelBatchProcessor(config=ProcessorConfig(max_workers=64))
            for number, prompt in enumerate(prompts(n)):
                await processor.add_work(LLMWorkItem(item_id=str(number), strategy=Ask(), prompt=prompt))
            result = await processor.process_all()
            assert result.succeeded == n

    asyncio.run(run())


if __name__ == "__main__":
    peer, address, count = sys.argv[1:]
    {"curator": curator, "inspect_ai": inspect_ai, "async-batch-llm": async_batch_llm}[peer](address, int(count))

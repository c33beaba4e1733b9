"""What a batch was sent, or what it would be sent: from the session's own file, or composed anew.

A session's prompt is journaled as a hash only; sessions that are processes keep it in a file beside their output. Where
there is no file the prompt is composed anew, and the hash tells whether it came out as it was sent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from mozart_nb.checkpoint.follow import answer_reader
from mozart_nb.engine.compose import next_prompt
from mozart_nb.engine.ids import prompt_hash
from mozart_nb.engine.state import BatchState
from mozart_nb.errors import MozartError
from mozart_nb.looking.details.attempts import AttemptDetails
from mozart_nb.looking.details.facts import Facts
from mozart_nb.parts import contract_for
from mozart_nb.plans.prepared import Prepared
from mozart_nb.plans.previews import Preview

PromptSource = Literal["sent", "composed", "unknown"]

LARGEST_PROMPT: Final = 4 << 20
"""Bytes of a prompt's file that are read."""


@dataclass(frozen=True, slots=True)
class FoundPrompt:
    """`sent` is exactly what the attempt named in `note` sent, `composed` what would be sent."""

    text: str = ""
    source: PromptSource = "unknown"
    note: str = ""


def find_prompt(prepared: Prepared, facts: Facts, attempts: Sequence[AttemptDetails]) -> FoundPrompt:
    """The prompt of a batch. Blocks."""
    sent = _from_file(prepared, facts)
    if sent is not None:
        return sent
    try:
        original = facts.record.edited or Preview(prepared, facts.hints).prompt(
            facts.number, _earlier_outputs(prepared, facts)
        )
    except (MozartError, IndexError) as error:
        said = error.message if isinstance(error, MozartError) else "the plan has no such batch any more"
        return FoundPrompt("", "unknown", f"it cannot be composed: {said}")
    return _recognized(prepared, original, attempts) or _composed(prepared, facts, original)


def _from_file(prepared: Prepared, facts: Facts) -> FoundPrompt | None:
    """What the last session that is a process was given."""
    attempt = facts.record.attempts
    if not attempt:
        return None
    path = Path(f"{prepared.layout.log_stem(facts.number, attempt)}.prompt")
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_PROMPT).decode("utf-8", "replace")
    except OSError:
        return None
    return FoundPrompt(text, "sent", f"as attempt {attempt} sent it")


def _earlier_outputs(prepared: Prepared, facts: Facts) -> dict[int, str]:
    """The end of what earlier batches answered, where the prompt may quote that."""
    policy = prepared.loaded.config.cross_batch
    if not policy.auto_capture_stdout:
        return {}
    first = max(1, facts.number - policy.lookback_batches) if policy.lookback_batches else 1
    outputs = {}
    with answer_reader(prepared.layout) as read:
        for number, at, size in facts.earlier:
            if number >= first:
                with contextlib.suppress(MozartError):
                    outputs[number] = read(at, size).text[-policy.max_output_chars :]
    return outputs


def _recognized(prepared: Prepared, original: str, attempts: Sequence[AttemptDetails]) -> FoundPrompt | None:
    """The prompt of the last attempt, or else of an earlier one, if it can be composed as it was sent."""
    if not attempts:
        return None
    last = attempts[-1]
    for text in (original, *_asked_again(prepared, original, attempts)):
        if prompt_hash(text) == last.prompt_hash:
            return FoundPrompt(text, "sent", f"as attempt {last.attempt} sent it")
    same = [attempt.attempt for attempt in attempts if attempt.prompt_hash == prompt_hash(original)]
    if not same:
        return None
    said = f"as attempt {same[-1]} sent it; what attempt {last.attempt} sent also named what was missing"
    return FoundPrompt(original, "sent", said)


def _asked_again(prepared: Prepared, original: str, attempts: Sequence[AttemptDetails]) -> Iterator[str]:
    """What the last attempt may have sent, by what the one before it had come to."""
    if len(attempts) < 2:
        return
    before, last = attempts[-2:]
    most = prepared.loaded.config.retry.max_completion_attempts
    has_form = contract_for(prepared).wants_data
    results = next((attempt.results for attempt in reversed(attempts[:-1]) if attempt.results), ())
    for completions in range(1, most + 1) if last.mode == "completion" else (0,):
        batch = BatchState(
            0,
            mode=last.mode,
            completions=completions,
            code=before.code,
            message=before.message,
            validation_details=results,
        )
        for continues in (True, False):
            yield next_prompt(batch, original, continues=continues, has_form=has_form, most=most)


def _composed(prepared: Prepared, facts: Facts, original: str) -> FoundPrompt:
    """What would be sent next, or what would be sent if it had not been sent yet."""
    config = prepared.loaded.config
    record, text = facts.record, original
    if facts.status in ("failed", "cancelled"):
        record = msgspec.structs.replace(record, mode="retry")  # which is how a resume begins it
    if facts.status in ("pending", "waiting", "failed", "cancelled", "blocked") and record.attempts:
        most = config.retry.max_completion_attempts
        text = next_prompt(record, original, continues=False, has_form=contract_for(prepared).wants_data, most=most)
    notes = [f"as its next attempt would send it ({record.mode})" if text != original else ""]
    if config.cross_batch.capture_files:
        notes.append("without the files of earlier batches")
    return FoundPrompt(text, "composed", ", ".join(filter(None, notes)))

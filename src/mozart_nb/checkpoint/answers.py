"""`answers.jsonl`: one checksummed line per finished attempt, referred to by offset and size."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from mozart_nb.checkpoint.files import Files
from mozart_nb.checkpoint.frames import ANSWERS
from mozart_nb.checkpoint.journal import CHUNK_BYTES, corrupt, too_new
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.events import Answer

encode_answer = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Answer).decode


@dataclass(slots=True)
class ScannedAnswers:
    """Whole answers in file order, and how many bytes of an unfinished line follow them."""

    answers: list[Answer] = field(default_factory=list)
    excess: int = 0


def read_answer(layout: Layout, files: Files, offset: int, size: int) -> Answer:
    """The answer whose line begins at `offset` and takes `size` bytes, its newline included.

    Raises `CheckpointCorruptError` when no whole answer stands there.
    """
    try:
        line = files.read(layout.answers, offset, size)
    except FileNotFoundError:
        line = b""
    return answer_in(layout, line, offset, size)


def answer_in(layout: Layout, line: bytes, offset: int, size: int) -> Answer:
    """The answer of a line that was read at `offset` and should take `size` bytes. Raises as `read_answer`."""
    document = ANSWERS.unwrap(line[:-1]) if len(line) == size and line.endswith(b"\n") else None
    if document is None:
        raise corrupt(layout, f"{layout.answers} holds no answer at byte {offset}")
    return _located(layout, document, offset, size)


def scan_answers(layout: Layout, files: Files, offset: int) -> ScannedAnswers:
    """The answers from `offset` to the end, each with its place filled in.

    Raises `CheckpointCorruptError` for a damaged line that is not the last one.
    """
    found = ScannedAnswers()
    rest, start = b"", offset
    try:
        while chunk := files.read(layout.answers, start + len(rest), CHUNK_BYTES):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                _add(found, layout, line, start)
                start += len(line) + 1
    except FileNotFoundError:
        return found
    if rest:
        _refuse_after_damage(found, layout, start)
    found.excess += len(rest)
    return found


def _add(found: ScannedAnswers, layout: Layout, line: bytes, start: int) -> None:
    _refuse_after_damage(found, layout, start)
    document = ANSWERS.unwrap(line)
    if document is None:
        found.excess = len(line) + 1
    else:
        found.answers.append(_located(layout, document, start, len(line) + 1))


def _refuse_after_damage(found: ScannedAnswers, layout: Layout, start: int) -> None:
    if found.excess:
        raise corrupt(layout, f"{layout.answers} is damaged before byte {start}")


def _located(layout: Layout, document: bytes, offset: int, size: int) -> Answer:
    try:
        answer = _decode(document)
    except (msgspec.DecodeError, ValueError) as error:
        raise too_new(layout, f"{layout.answers}: unknown form of answer at byte {offset} ({error})") from error
    finished = msgspec.structs.replace(answer.finished, answer_at=offset, answer_size=size)
    return msgspec.structs.replace(answer, finished=finished)

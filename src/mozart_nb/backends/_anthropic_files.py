"""Attachments as content blocks. What a file is, its content says: names lie about types.

Sources: https://platform.claude.com/docs/en/build-with-claude/vision and …/pdf-support; the size of a whole request is
limited to 32 MB (…/docs/en/api/errors, `request_too_large`).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

REQUEST_BYTES: Final = 32 * 1024 * 1024
"""What one request may hold, attachments in base64 included."""

_IMAGES: Final = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"))


class AttachmentError(Exception):
    """A file cannot go along. `kind` is the word for `SessionResult.error_kind`."""

    def __init__(self, message: str, kind: str = "attachment") -> None:
        super().__init__(message)
        self.kind = kind


def file_blocks(paths: Sequence[str], limit: int = REQUEST_BYTES) -> list[dict[str, Any]]:
    """The content blocks of the files at `paths`, in that order. Reads files: for a thread.

    Raises `AttachmentError` for what is missing, cannot be read, is empty, is no image, PDF or text, or is too large
    (all together over `limit` bytes as they are sent).
    """
    blocks: list[dict[str, Any]] = []
    total = 0
    for path in paths:
        data = _read(path, limit)
        total += len(data) * 4 // 3
        if total > limit:
            raise AttachmentError(f"the attachments up to {path} are more than {limit:,} bytes", "attachment_too_large")
        blocks += _blocks(Path(path).name, path, data)
    return blocks


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)  # never more of a huge file than it takes to refuse it
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AttachmentError(f"the attachment {path} cannot be read: {why}") from error
    if not data:
        raise AttachmentError(f"the attachment {path} is empty")
    return data


def _blocks(name: str, path: str, data: bytes) -> Iterator[dict[str, Any]]:
    if image := _image_type(data):
        yield {"type": "text", "text": f"{name}:"}
        yield {"type": "image", "source": _encoded(image, data)}
    elif data.startswith(b"%PDF-"):
        yield {"type": "document", "source": _encoded("application/pdf", data), "title": name}
    else:
        text = {"type": "text", "media_type": "text/plain", "data": _text(path, data)}
        yield {"type": "document", "source": text, "title": name}


def _image_type(data: bytes) -> str:
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in _IMAGES if data.startswith(start)), "")


def _encoded(media_type: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode("ascii")}


def _text(path: str, data: bytes) -> str:
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        kinds = "a PNG, JPEG, GIF or WebP image, a PDF or a text in UTF-8 or UTF-16"
        raise AttachmentError(f"the attachment {path} is not {kinds}")
    return text

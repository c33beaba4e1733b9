"""What makes two requests the same: the content hash by which accepted answers are kept.

A hash covers everything that can change an answer, and nothing that cannot:

| part | what it is |
|---|---|
| `family` | the backends that ask the same service (`anthropic`); the API and its message batches share answers |
| `base_url` | the address of the service, "" for the usual one |
| `model` … `stop_sequences` | `OPTIONS`: the parameters of the backend's section, where they are set |
| `prompt` | the first message as it is rendered, without what retries and completion attempts add to it |
| `attachments` | a digest per file, in order (`attachment_digest`) |
| `schema` | the JSON Schema of the answer |

Names and order of the parts are part of the format: a change of either makes every answer asked for anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import PurePath
from typing import Any, Final

import msgspec

VERSION: Final = "mozart-request-1"
"""Begins every hashed text."""

OPTIONS: Final = (
    "model",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "system",
    "thinking",
)
"""Keys of a `backend` section that shape an answer. Unset ones (None) count as absent, so new keys change no hash."""

USUAL_ADDRESS: Final = "https://api.anthropic.com"

_DIGEST_BYTES = 16
_encode = msgspec.json.Encoder(order="sorted").encode


class Identity:
    """The part of a content hash that the requests of a job share, hashed once.

    `options` may be a whole `backend` section as plain data: time limits, names of variables that hold keys, caching
    and the like are left out of it.
    """

    __slots__ = ("_begun",)

    def __init__(
        self,
        *,
        family: str,
        base_url: str = "",
        options: Mapping[str, Any],
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        shaping = {name: options[name] for name in OPTIONS if options.get(name) is not None}
        self._begun = blake2b(digest_size=_DIGEST_BYTES)
        constant = (VERSION, family, _address(base_url), shaping, schema)
        self._begun.update(_sized(_encode(constant)))

    def of(self, prompt: str, attachments: Sequence[str] = ()) -> str:
        """The content hash of one request: 32 hexadecimal digits. `attachments` are digests, in order."""
        hashed = self._begun.copy()
        hashed.update(_sized(prompt.encode(errors="surrogatepass")))
        hashed.update(_sized(_encode(attachments)))
        return hashed.hexdigest()


def content_hash(
    *,
    family: str,
    base_url: str = "",
    model: str,
    options: Mapping[str, Any],
    prompt: str,
    attachments: Sequence[str] = (),
    schema: Mapping[str, Any] | None = None,
) -> str:
    """The content hash of a single request; `Identity` is for many."""
    whole = {**options, "model": model}
    return Identity(family=family, base_url=base_url, options=whole, schema=schema).of(prompt, attachments)


def attachment_digest(path: str, content: bytes) -> str:
    """What stands for an attached file: its content, and the suffix that says what kind of file it is."""
    return f"{blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()}{PurePath(path).suffix.lower()}"


def _address(base_url: str) -> str:
    """One address, with and without its last slash; the usual one counts as unset."""
    address = base_url.strip().rstrip("/")
    return "" if address == USUAL_ADDRESS else address


def _sized(part: bytes) -> bytes:
    """Parts carry their length, so that no two sequences of parts read the same."""
    return b"%d:%b" % (len(part), part)

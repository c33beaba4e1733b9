"""Names for sessions and processes that nobody else uses, and what stands for a prompt."""

from __future__ import annotations

import hashlib
import os
from random import Random, SystemRandom

# Asking the system for chance costs more than everything else about a name: once per process is enough.
_source = Random(SystemRandom().getrandbits(256))


def _begin_anew() -> None:
    _source.seed(SystemRandom().getrandbits(256))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)  # or a child would give out the names that its parent does


def new_marker() -> str:
    """32 hexadecimal digits of chance."""
    return f"{_source.getrandbits(128):032x}"


def new_session_id() -> str:
    """A random UUID (version 4, RFC 9562)."""
    digits = new_marker()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def prompt_hash(prompt: str) -> str:
    """What stands for a prompt in the journal: 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(prompt.encode(errors="replace")).hexdigest()[:16]

"""How many tokens a text has, and how long an answer is to be expected: without asking anybody.

Anthropic gives about 3.5 characters per token for English. Text of many signs and digits (code, JSON, tables) has
shorter tokens, most other scripts have shorter ones still, and the models since Claude 4.7 count about 30 % more for
the same text. What comes out is within `ERROR` for most texts. The API's own count is free: `mozart estimate` asks for
it on a sample where a key is at hand.
"""

from __future__ import annotations

import re
from typing import Final

from mozart_nb.job.prices import has_newer_tokenizer

ERROR: Final = 0.3
"""How far (as a part of it) an estimate may be off."""

NEWER_FACTOR: Final = 1.3
"""Tokens of the models since Claude 4.7 for one token of those before."""

OUTPUT_SHARE: Final = 0.25
OUTPUT_LEAST: Final = 250
"""Without history an answer is taken for a quarter of its prompt, and for at least so many tokens."""

_CHARACTERS_PER_TOKEN: Final = 4.0
_SIGNS_PER_TOKEN: Final = 2.0
_OTHER_LETTERS_PER_TOKEN: Final = 2.0

_SIGNS: Final = str.maketrans("", "", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~0123456789\n\t")
_IDEOGRAPHS: Final = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00010000-\U0010ffff]")
_OTHERS: Final = re.compile(r"[^\x00-\x7f]")


def estimate_tokens(text: str, model: str = "") -> int:
    """Tokens of `text` for `model`, estimated; without a model, for those before Claude 4.7."""
    letters = len(text.translate(_SIGNS))
    signs = len(text) - letters
    ideographs = others = 0
    if not text.isascii():
        ideographs = len(_IDEOGRAPHS.findall(text))
        others = len(_OTHERS.findall(text)) - ideographs
        letters -= ideographs + others
    tokens = letters / _CHARACTERS_PER_TOKEN + signs / _SIGNS_PER_TOKEN + others / _OTHER_LETTERS_PER_TOKEN + ideographs
    factor = NEWER_FACTOR if model and has_newer_tokenizer(model) else 1.0
    return round(tokens * factor + 0.49)


def expected_output(prompt_tokens: int, max_tokens: int) -> int:
    """Tokens an answer is expected to have when nothing is known of earlier ones."""
    return min(max_tokens, max(OUTPUT_LEAST, round(prompt_tokens * OUTPUT_SHARE)))

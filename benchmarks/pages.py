"""Figures in pages of the documentation, between two markers."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"


def put_between(page: Path, figures: str, begin: str, end: str) -> None:
    """Put `figures` into the page, in place of what stands between two markers."""
    whole = f"{begin}\n{figures}\n{end}"
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: whole, page.read_text(), flags=re.DOTALL))

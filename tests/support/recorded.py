"""Sessions of the real `claude` 2.1.197, recorded against a server on loopback, and the code each one must get.

`recorded.jsonl.gz`: one session per line (the long lists of the first output line are left out). `expected.tsv`: one
line per session with its code; `ok` for success, `*` for a session in text format, which says nothing that could be
relied on and is never used: any failure will do.
"""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "data" / "claude_cases"


@dataclass(frozen=True, slots=True)
class Recording:
    case: str
    format: str
    exit_code: int | None
    stdout: bytes
    stderr: str
    wants_data: bool
    continues: bool
    spawn_error: str


@cache
def recordings() -> dict[str, Recording]:
    with gzip.open(_FOLDER / "recorded.jsonl.gz", "rt", encoding="utf-8") as file:
        return {row["case"]: _recording(row) for row in map(json.loads, file)}


@cache
def expectations() -> dict[str, str]:
    with open(_FOLDER / "expected.tsv", encoding="utf-8", newline="") as file:
        return {row["case"]: row["code"] for row in csv.DictReader(file, delimiter="\t")}


def _recording(row: dict[str, Any]) -> Recording:
    return Recording(
        case=row["case"],
        format=row["format"],
        exit_code=row["exit_code"],
        stdout=row["stdout"].encode(),
        stderr=row["stderr"],
        wants_data=row.get("schema", False),
        continues=row.get("continues", False),
        spawn_error=row.get("spawn_error", ""),
    )

"""The notebook guide says what is so: its cells run, its options, verbs, methods and settings exist."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pydantic
import pytest

import mozart_nb
from mozart_nb.job_handle import Job
from mozart_nb.jupyter.magics.lines import parse_cell, parse_verb, split_line
from mozart_nb.jupyter.magics.options import CELL, VERBS
from mozart_nb.jupyter.magics.settings import Settings, trait_names

GUIDE = (Path(__file__).parent.parent.parent / "docs" / "notebook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```text\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
CELLS = [block for block in BLOCKS if block.startswith("%%mozart")]
SPANS = [
    span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", GUIDE, flags=re.M | re.S))
]


class Verdict(pydantic.BaseModel):
    mood: str
    stars: int


NOTEBOOK = {
    "Verdict": Verdict,
    "reviews": pd.DataFrame({"text": ["Boils in no time.", "The lid fell off."]}, index=["R1", "R2"]),
}


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.partition("\n")[0])
async def test_a_cell_of_the_guide_runs_and_completes(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOZART_NB_HOME", str(tmp_path / "home"))
    first, _, body = cell.partition("\n")
    wish = parse_cell(split_line(first.removeprefix("%%mozart")))
    items = NOTEBOOK[wish.items] if wish.items else None
    job = Job.from_text(body, base_dir=tmp_path, items=items, namespace=NOTEBOOK, strict=True)
    await job.start()
    assert job.status == "completed"
    if items is not None:
        assert list(items.join(job.answers()).index) == ["R1", "R2"]


def lines_with_magics() -> list[str]:
    return [line for block in BLOCKS for line in block.splitlines() if line.startswith("%mozart")] + [
        span for span in SPANS if re.match(r"%%?mozart [\w-]", span)
    ]


@pytest.mark.parametrize("line", lines_with_magics())
def test_a_line_of_the_guide_can_be_typed(line: str) -> None:
    magic, _, rest = line.partition(" ")
    words = split_line(rest).words
    if magic == "%%mozart":
        parse_cell(split_line(rest))
    elif words[0] != "VERB" and not words[0].startswith("-"):
        parse_verb(words[0], words[1:])


def test_every_option_that_the_guide_names_exists() -> None:
    known = {name for verb in [CELL, *VERBS.values()] for option in verb.options for name in option.names}
    named = {word for span in SPANS for word in re.findall(r"(?<![\w-])--?[a-z][\w-]*", span)}
    assert named - known - {"--help"} == set()


def test_every_method_that_the_guide_names_exists() -> None:
    named = set(re.findall(r"\b(?:job|verdicts|short|long)\.(\w+)", GUIDE)) - {"yaml"}
    assert {name for name in named if not hasattr(Job, name)} == set()
    assert all(hasattr(mozart_nb, name) for name in re.findall(r"mozart_nb\.(\w+)\(", GUIDE))


def test_the_table_of_settings_is_complete_and_has_the_defaults() -> None:
    table = GUIDE.partition("| setting |")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| *`?(\w*)`? *\|", table, re.MULTILINE))
    settings = Settings()
    defaults = {name: str(getattr(settings, name)) for name in trait_names()}
    assert rows == {name: value.lower() if value in ("True", "False") else value for name, value in defaults.items()}

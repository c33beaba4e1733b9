"""Notebooks that nobody looks at: executed by nbclient, papermill, nbconvert and nbval."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from support.notebook_cells import LOAD, mozart_cell, rehearsed

LIMIT_SECONDS = 120
CONFIG = Path(__file__).parents[1] / "nbval.cfg"

NBCLIENT = """
import nbformat, sys
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=60).execute()
nbformat.write(notebook, sys.argv[2])
"""

EXECUTE = {
    "nbclient": ["-c", NBCLIENT, "IN", "OUT"],
    "papermill": ["-m", "papermill", "--no-progress-bar", "IN", "OUT"],
    "nbconvert": ["-m", "nbconvert", "--to", "notebook", "--execute", "--output", "OUT", "IN"],
}


def write_notebook(path: Path, cells: Sequence[str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, path)
    return path


def python(*arguments: str, folder: Path, environ: Mapping[str, str]) -> str:
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
    return done.stdout


def execute(program: str, cells: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Path:
    """Run a notebook in a folder of its own, from top to bottom; the file that has its outputs."""
    before, after = write_notebook(folder / program / "in.ipynb", cells), folder / program / "out.ipynb"
    arguments = [{"IN": before.name, "OUT": after.name}.get(word, word) for word in EXECUTE[program]]
    python(*arguments, folder=after.parent, environ=environ)
    return after


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    """What stands below each cell, without what differs from run to run."""
    rules = configparser.ConfigParser(interpolation=None)
    rules.read(CONFIG, encoding="utf-8")
    return [
        [_sanitised(output, rules) for output in cell.outputs]
        for cell in nbformat.read(path, 4).cells
        if cell.cell_type == "code"
    ]


def _sanitised(output: Mapping[str, Any], rules: configparser.ConfigParser) -> dict[str, Any]:
    texts = dict(output.get("data", {})) or {"text": output.get("text", output.get("evalue", ""))}
    texts.pop("application/vnd.jupyter.widget-view+json", None)
    for mime, text in texts.items():
        for name in rules.sections():
            text = re.sub(rules[name]["regex"], rules[name].get("replace", ""), str(text))
        texts[mime] = text
    return {"type": output["output_type"], **texts}


def test_the_same_notebook_has_the_same_final_output_wherever_it_is_executed(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    script = {"script": {7: [{"crash": None}]}}
    cells = [
        LOAD,
        mozart_cell(rehearsed("everywhere", 12, latency=0.1, rehearsal=script), "--wait --no-raise"),
        "# NBVAL_CHECK_OUTPUT\nprint(job.status, job.progress().done)",
        "# NBVAL_CHECK_OUTPUT\njob.batches()[['status', 'attempts']].tail(7)",
        "# NBVAL_CHECK_OUTPUT\njob.errors()[['batch', 'code']]",
    ]
    given = {program: execute(program, cells, tmp_path, environ) for program in EXECUTE}
    assert not any("mozartHeard" in path.read_text(encoding="utf-8") for path in given.values())  # nobody to be told
    by_nbclient = outputs(given["nbclient"])
    assert any("11" in text for text in by_nbclient[1][-1].values())
    assert by_nbclient[2][0]["text"] == "failed 11\n"
    assert [outputs(path) for path in given.values()] == [by_nbclient] * len(given)

    nbval = ["-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", "--nbval-lax", "--nbval-current-env"]
    again = tmp_path / "nbval" / "out.ipynb"
    again.parent.mkdir()
    again.write_bytes(given["nbclient"].read_bytes())
    said = python(*nbval, f"--nbval-sanitize-with={CONFIG}", again.name, folder=again.parent, environ=environ)
    assert "5 passed" in said


def test_a_job_nobody_waits_for_neither_hangs_the_run_of_a_notebook_nor_loses_its_last_state(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    cells = [
        LOAD,
        mozart_cell(rehearsed("unattended", 200, latency=1.0, at_once=2)),
        mozart_cell(rehearsed("attended", 10, latency=0.1, at_once=2), "-o short"),
        "print((await short).status)",
    ]
    unattended, attended, waited = outputs(execute("nbclient", cells, tmp_path, environ))[1:]
    last = "\n".join(output["text/html"] for output in unattended if "text/html" in output)
    assert "unattended" in last
    assert "200" in last
    assert waited[0]["text"] == "completed\n"
    assert any("completed" in output.get("text/html", "") for output in attended)
    shown = python("-m", "mozart_nb", "status", "unattended", "--json", folder=tmp_path / "nbclient", environ=environ)
    assert '"interrupted"' in shown

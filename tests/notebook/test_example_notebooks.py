"""The notebooks of `examples/` run from top to bottom, as nbval runs them, in an environment that has nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
LIMIT_SECONDS = 200.0

NBVAL = (
    # Cells marked `# NBVAL_CHECK_OUTPUT` must give what is saved; all others must not fail.
    "--nbval-lax",
    # The name of the kernel that a notebook was saved with means nothing here.
    "--nbval-current-env",
    "--nbval-cell-timeout=120",
    f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval.cfg'}",
)


def test_the_example_notebooks_run_offline(tmp_path: Path, environ: dict[str, str]) -> None:
    examples = tmp_path / "examples"
    # Notebooks leave workspaces beside themselves; they may use the files of other examples.
    shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("*workspace*", ".ipynb_checkpoints"))
    command = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "-p", "no:cacheprovider", *NBVAL]
    folder = examples / "notebooks"
    assert NOTEBOOKS
    command += [notebook.name for notebook in NOTEBOOKS]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]

"""A host in a process of its own, made to be killed: runs a job, or goes on with it, until it settles.

    python tests/support/host.py JOB.yaml

Prints `running` once everything is imported and the job is about to be opened, and how it settled at the end. A job
that exists is taken up from what was frozen when it was planned, as `resume` does. Exit codes are the command line's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mozart_nb import runtime
from mozart_nb.cli.output import exit_code_for, exit_code_of
from mozart_nb.errors import MozartError
from mozart_nb.events import RunOptions
from mozart_nb.hosts.headless import run_headless
from mozart_nb.job.load import load_job


def main(job_file: Path) -> int:
    prepared = runtime.prepare(load_job(job_file))
    print("running", flush=True)
    try:
        if prepared.layout.exists:
            prepared = runtime.opened(prepared.layout)
        state = run_headless(prepared, RunOptions())
    except MozartError as error:
        print(f"{type(error).__name__}: {error.message}\n{error.hint}", flush=True)
        return exit_code_for(error)
    print(f"{state.status}: {state.job.reason}", flush=True)
    return exit_code_of(state.status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Two jobs of 500 batches each in a storm: everything an API can do wrong, and hosts killed every few seconds.

    python benchmarks/chaos.py                  a thousand batches (about ten minutes)
    python benchmarks/chaos.py --batches 50     smaller

A server on 127.0.0.1 refuses, breaks off, garbles and stalls two replies in five; both hosts are killed with SIGKILL
again and again. Whole runs write their figures into docs/reliability.md. What counts as a problem: `support.chaos`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from kill9 import PAGE, plain_environment  # noqa: E402  # after the path is set
from pages import put_between  # noqa: E402
from support.chaos import Outcome, Storm, rage  # noqa: E402
from support.raw_journal import of_kind, read_rows  # noqa: E402

BEGIN, END = "<!-- chaos figures: begin -->", "<!-- chaos figures: end -->"
LIVES = (5.0, 9.0)
"""How long a host lives, in seconds; starting takes it about one."""


def table(outcome: Outcome) -> str:
    storm = outcome.storm
    rows = [read_rows(layout) for layout in outcome.layouts]
    retries = sum(len(of_kind(journal, "batch.retrying")) for journal in rows)
    waits = sum(len({row["number"] for row in of_kind(journal, "limit.hit")}) for journal in rows)
    paid = sum(map(len, storm.served.values()))
    problems = outcome.problems()
    lines = [
        ("batches, all with their right answer" if not problems else "batches", f"{len(outcome.items):,}"),
        ("replies of the server", f"{sum(storm.replies.values()):,}"),
        ("… refused by a limit that names its end", f"{storm.replies['limit']}"),
        ("… refused by a limit that does not", f"{storm.replies['unnamed_limit']}"),
        ("… overloaded", f"{storm.replies['overload']}"),
        ("… cut, garbled, stalled", ", ".join(str(storm.replies[kind]) for kind in ("cut", "malformed", "silent"))),
        ("hosts killed", f"{len(outcome.kills)}"),
        ("answers paid for again, because their host died meanwhile", f"{paid - len(storm.served)}"),
        ("answers paid for again without that", f"{sum('was paid' in problem for problem in problems)}"),
        ("waits for limits, by both jobs", f"{waits}"),
        ("retries, none of them used by a limit", f"{retries}"),
        ("requests during a limit that were not on their way already", f"{len(storm.intruders)}"),
        ("wall time", f"{outcome.seconds:.0f} s"),
    ]
    return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in lines)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=500, help="batches of each of the two jobs")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mozart-chaos-") as name:
        folder = Path(name)
        for variable in [one for one in os.environ if one.startswith(("ANTHROPIC_", "CLAUDE", "MOZART_"))]:
            del os.environ[variable]
        os.environ.update(plain_environment(folder))
        outcome = rage(Storm(given.seed), folder / "jobs", jobs=2, batches=given.batches, seed=given.seed, lives=LIVES)
        figures = table(outcome)
        problems = outcome.problems()
    print(figures)
    if problems:
        sys.exit("\n".join(problems[:50]))
    if given.batches == 500:
        put_between(PAGE, figures, BEGIN, END)


if __name__ == "__main__":
    main()

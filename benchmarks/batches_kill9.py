"""100,000 rows through the Message Batches API of a loopback server, the host killed five times at random moments.

    python benchmarks/batches_kill9.py                   100,000 rows, 5 kills (about five minutes)
    python benchmarks/batches_kill9.py --rows 10000      fewer rows

The server counts what was submitted. Runs of full size write their figures into docs/reliability.md. Linux only: memory
is read from /proc.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support.batches_kill9 import Ordeal, after, at, serving  # noqa: E402  # after the path is set
from support.kill9 import Moment  # noqa: E402

PAGE = HERE.parent / "docs" / "reliability.md"
BEGIN, END = "<!-- batches figures: begin -->", "<!-- batches figures: end -->"
FULL_SIZE = 100_000


def any_moment(rng: random.Random, rows: int) -> Moment:
    """Any time of a host's life; or amid the sending of a parcel; or just after the service has taken one."""
    draw = rng.random()
    if draw < 0.4:
        return after("remote.submitting", rng.uniform(0, 1.2))
    if draw < 0.6:
        return after("remote.submitted", rng.uniform(0, 1.0))
    return at(rng.uniform(1.0, 2.0 + rows / 5000))


def environment(folder: Path) -> dict[str, str]:
    """Nothing of this user's: hosts keep to `folder` and know no key but one for the loopback server."""
    own = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    homes = {"HOME": str(folder / "home"), "MOZART_NB_HOME": str(folder / "mozart")}
    for place in homes.values():
        Path(place).mkdir(parents=True, exist_ok=True)
    return {**own, **homes, "LANG": "C.UTF-8", "LOOPBACK_KEY": "sk-loopback"}


def table(ordeal: Ordeal) -> Iterator[str]:
    rows = ordeal.journal
    kinds = Counter(row["kind"] for row in rows)
    adopted = sum(row["kind"] == "remote.submitted" and bool(row.get("adopted")) for row in rows)
    problems = ordeal.problems()
    yield "| | |"
    yield "|---|---:|"
    yield f"| rows, hosts killed with SIGKILL | {ordeal.rows:,}, {ordeal.kills} |"
    yield f"| remote batches, requests at the server | {ordeal.books['batches']}, {ordeal.books['requests']:,} |"
    yield f"| parcels in doubt after a kill: found at the service, never arrived | {adopted}, {kinds['remote.lost']} |"
    yield f"| requests prepared and not sent when a host died, prepared anew | {kinds['session.abandoned']:,} |"
    yield f"| expired and failed requests, sent again by policy | {kinds['batch.retrying']:,} |"
    yield f"| events journaled | {len(rows):,} |"
    yield f"| wall time of all hosts together | {ordeal.seconds:.0f} s |"
    yield f"| **highest memory of a host** | {ordeal.peak_kib / 1024:.0f} MB |"
    yield f"| **requests submitted twice, counted at the server** | {len(ordeal.books['sent_twice'])} |"
    yield f"| **rows without their answer** | {sum('has no answer' in problem for problem in problems)} |"
    yield f"| **other disagreements of journal and server** | {len(problems)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=FULL_SIZE)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    arguments = ("--processing", "2", "12", "--create", "1", "--expired", "0.005", "--errored", "0.005")
    with tempfile.TemporaryDirectory(prefix="mozart-batches-") as name, serving(*arguments) as url:
        folder = Path(name)
        ordeal = Ordeal(folder / "job", asked.rows, url, environment(folder))
        ordeal.run([any_moment(rng, asked.rows) for _ in range(asked.kills)])
        lines = list(table(ordeal))
        problems = ordeal.problems()
        if ordeal.kills < asked.kills:
            problems.append(
                f"the job was over after {ordeal.kills} kills: the machine is faster than the moments drawn"
            )
    machine = f"Measured on {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    text = "\n".join([f"{machine}, seed {asked.seed}.", "", *lines])
    print(text, flush=True)
    if problems:
        sys.exit("\n".join(problems[:20]))
    if asked.rows >= FULL_SIZE and asked.kills >= 5 and PAGE.exists():
        figures = f"{BEGIN}\n{text}\n{END}"
        PAGE.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: figures, PAGE.read_text(), flags=re.DOTALL))


if __name__ == "__main__":
    main()

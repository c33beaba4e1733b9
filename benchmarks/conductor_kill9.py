"""Ten jobs of 200 rehearsed batches on one conductor, which is killed with SIGKILL at 20 random moments.

    python benchmarks/conductor_kill9.py                       all of it (about two minutes)
    python benchmarks/conductor_kill9.py --jobs 3 --kills 5    smaller
    python benchmarks/conductor_kill9.py --seed 2              other moments

Each time it is started again at once and goes on with what it carried. After every kill and at the end the journals and
answers of all jobs are read (`support.kill9_conductor`): nothing may be lost, repeated or changed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from kill9 import plain_environment  # noqa: E402  # after the path is set
from support.conductor import Conductor  # noqa: E402
from support.kill9_conductor import Storm, jobs_in, kill_again_and_again  # noqa: E402

SETTINGS = "max_sessions: 40\n"
LIVES = (0.3, 3.0)
LATENCY_SECONDS = 0.6


def table(storm: Storm, seconds: float) -> str:
    begun = sorted(storm.begun_seconds)
    lines = [
        ("conductors killed", f"{storm.kills}"),
        ("jobs that they carried at that moment", f"{min(storm.carried_at_kill)} to {max(storm.carried_at_kill)}"),
        ("batches", f"{sum(one.job.total for one in storm.series):,}"),
        ("events in the journals", f"{storm.events:,}"),
        ("attempts that a kill took away, and that were done again", f"{storm.count('session.abandoned'):,}"),
        ("jobs that five deaths in a row had paused", f"{storm.asked_again}"),
        ("batches lost", f"{sum(len(one.tally.lost) for one in storm.series)}"),
        ("batches or sessions repeated", f"{sum(len(one.tally.repeated) for one in storm.series)}"),
        ("mistakes in journals and answers", f"{sum(len(one.tally.journal_errors) for one in storm.series)}"),
        ("processes left behind", f"{sum(len(one.tally.left_running) for one in storm.series)}"),
        ("from start to first answer, median and longest", f"{begun[len(begun) // 2]:.1f} s, {begun[-1]:.1f} s"),
        ("wall time", f"{seconds:.0f} s"),
    ]
    return "\n".join(["| | |", "|---|---:|", *(f"| {name} | {value} |" for name, value in lines)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--batches", type=int, default=200, help="batches of each job")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mozart-storm-") as name:
        folder = Path(name)
        conductor = Conductor(plain_environment(folder))
        (folder / "mozart" / "conductor.yaml").write_text(SETTINGS)
        began = time.monotonic()
        try:
            jobs = jobs_in(folder / "jobs", given.jobs, given.batches, LATENCY_SECONDS)
            rng = random.Random(given.seed)
            storm = kill_again_and_again(conductor, jobs, rng, kills=given.kills, lives=LIVES)
        finally:
            conductor.close()
        print(table(storm, time.monotonic() - began))
    if storm.problems:
        sys.exit("\n".join(storm.problems[:50]))


if __name__ == "__main__":
    main()

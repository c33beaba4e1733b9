"""Processes that write into one log file and are killed while they do. A program.

    python log_killers.py FILE ROUNDS SEED

Each round forks two writers into the same file, with rotations all the time, and kills both with SIGKILL at a moment of
chance. Prints a JSON list: the last number each writer knew to be written.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from mozart_nb.consumers.log.packing import Packer
from mozart_nb.consumers.log.rotating import RotatingFile

LINES_AT_ONCE = 7


def line(writer: int, number: int) -> bytes:
    return b'{"writer":%d,"number":%d,"text":"%b"}\n' % (writer, number, b"x" * (number % 50))


def write(file: Path, writer: int, out: int) -> None:
    packer = Packer(file, lambda error: os._exit(3))
    log = RotatingFile(file, limit=1_500, keep=100_000, rotated=packer.start)
    number = 0
    while True:
        lines = bytearray(b"".join(line(writer, number + n) for n in range(1, LINES_AT_ONCE + 1)))
        log.write(lines)
        number += LINES_AT_ONCE
        os.write(out, b"%d\n" % number)


def main(file: Path, rounds: int, seed: int) -> list[int]:
    rng = random.Random(seed)
    known: list[int] = []
    for _ in range(rounds):
        readers, children = [], []
        for _ in range(2):
            reader, out = os.pipe()
            child = os.fork()
            if not child:
                write(file, len(known) + len(children), out)
            os.close(out)
            readers.append(reader)
            children.append(child)
        time.sleep(rng.uniform(0.005, 0.05))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for reader in readers:
            with os.fdopen(reader) as told:
                known.append(max((int(text) for text in told if text.endswith("\n")), default=0))
    return known


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))

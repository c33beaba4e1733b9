"""How much the machine can take: from figures to a level, and from that to what sessions may begin.

Nothing is ever ended here, and no job is refused: what is too much begins later. Levels rise when two samples in a row
say so and fall when the figures have been clearly better for a while, so that work comes and goes in no waves. What is
not known counts as well: a machine whose figures cannot be read is not one that is full.

Pure: samples and their times are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from mozart_nb.hosts.conductor.seats import Restraint

MB: Final = 1 << 20

Level = Literal["none", "low", "medium", "high", "critical"]
LEVELS: Final[tuple[Level, ...]] = ("none", "low", "medium", "high", "critical")

BELOW_MOST_PERCENT: Final = (25.0, 15.0, 7.0, 0.0)
"""From so far below `memory_percent` on memory in use counts as low, medium, high, critical."""

CPU_PERCENT: Final = (90.0, 98.0)
"""From so much on the processors count as low, medium; busy processors are slow and break nothing."""

PROCESSES_PERCENT: Final = (60.0, 80.0, 90.0, 100.0)
"""From so much of `MachineLimits.processes` on they count as low, medium, high, critical."""

SPACING_SECONDS: Final[Mapping[Level, float]] = {"none": 0, "low": 1, "medium": 5, "high": 30, "critical": 30}
"""Between two sessions that start a process."""

LIGHT_SPACING_SECONDS: Final[Mapping[Level, float]] = {"none": 0, "low": 0, "medium": 0, "high": 1, "critical": 5}
"""Between two sessions that start none."""

RISES_AFTER: Final = 2
"""Samples in a row."""

FALLS_AFTER_SECONDS: Final = 30.0
CLEARLY_PERCENT: Final = 3.0
"""A figure counts as better when it is so far below its threshold."""

CPU_FADING: Final = 0.7
"""Weight of the past in what counts as the load of the processors: a short burst is none."""

GROWN_SECONDS: Final = 20.0
"""A session's memory is known once it has lived for so long."""

FEWEST_MEASURED: Final = 3
LIKELY_MB: Final = (50, 4096)
"""A session is never taken to need less, or more, whatever was measured."""


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """What sessions may take of the machine. Sizes in bytes; `memory_percent` of all memory in use is too much."""

    memory_percent: float = 95.0
    session_bytes: int = 300 * MB
    reserve_bytes: int = 512 * MB
    min_free_disk_bytes: int = 200 * MB
    processes: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The machine at one moment (`at`: any clock, seconds). Sizes in bytes; 0 where a figure is not known.

    `sessions` is the memory of every session that has processes, whoever started it, by marker; `free` the free disk by
    job; `fault` says why nothing could be read.
    """

    at: float
    memory_total: int = 0
    memory_available: int = 0
    cpu_percent: float = 0.0
    processes: int = 0
    own_bytes: int = 0
    sessions: Mapping[str, int] = field(default_factory=dict)
    free: Mapping[str, int] = field(default_factory=dict)
    fault: str = ""

    @property
    def memory_percent(self) -> float:
        """Memory in use, of all there is."""
        return 100.0 * (1 - self.memory_available / self.memory_total) if self.memory_total else 0.0


class PressureChanged(msgspec.Struct, frozen=True, kw_only=True, tag="pressure"):
    """The machine can take more or less than before; told, not journaled."""

    level: Level
    before: Level
    why: str = ""
    memory_percent: float = 0.0
    cpu_percent: float = 0.0
    processes: int = 0


class LikelyMemory:
    """What a session is likely to need: as configured, until enough of them have been seen."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._most: dict[str, int] = {}
        self._measured: list[int] = []

    def see(self, sample: Sample) -> None:
        """These sessions have processes now."""
        for marker in [marker for marker in self._since if marker not in sample.sessions]:
            if sample.at - self._since.pop(marker) >= GROWN_SECONDS:
                self._measured = [*self._measured[-19:], self._most[marker]]
            del self._most[marker]
        for marker, size in sample.sessions.items():
            self._since.setdefault(marker, sample.at)
            self._most[marker] = max(size, self._most.get(marker, 0))

    def likely(self, configured: int, now: float) -> int:
        """Bytes: the mean of the most that the last sessions took, those that are still running among them."""
        grown = [self._most[marker] for marker, since in self._since.items() if now - since >= GROWN_SECONDS]
        known = [*self._measured, *grown]
        if len(known) < FEWEST_MEASURED:
            return configured
        return min(max(sum(known) // len(known), LIKELY_MB[0] * MB), LIKELY_MB[1] * MB)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from a sample. `session_bytes` is what a session is likely to need."""

    level: Level
    why: str
    restraint: Restraint
    session_bytes: int


class Pressure:
    """Judges samples, one after the other."""

    def __init__(self, limits: MachineLimits) -> None:
        self.limits = limits
        self.level: Level = "none"
        self.memory = LikelyMemory()
        self._cpu = 0.0
        self._higher = 0
        self._better_since: float | None = None
        self._why = ""

    def judge(self, sample: Sample, open_processes: int) -> Verdict:
        """What the machine allows now, with so many sessions of ours open that have a process each."""
        if sample.fault:
            return self._verdict(sample, None)
        self.memory.see(sample)
        self._cpu = CPU_FADING * self._cpu + (1 - CPU_FADING) * sample.cpu_percent
        self._move(sample)
        return self._verdict(sample, self._most_processes(sample, open_processes))

    # --- the level ----------------------------------------------------------------------------------------------------

    def _move(self, sample: Sample) -> None:
        """Up after two samples in a row, down after a while in which even stricter thresholds were kept."""
        now, why = self._measure(sample, 0.0)
        strictly, _ = self._measure(sample, CLEARLY_PERCENT)
        current = LEVELS.index(self.level)
        self._higher = self._higher + 1 if now > current else 0
        if strictly >= current:
            self._better_since = None
        elif self._better_since is None:
            self._better_since = sample.at
        if self._higher >= RISES_AFTER:
            self.level, self._why, self._higher = LEVELS[now], why, 0
        elif self._better_since is not None and sample.at - self._better_since >= FALLS_AFTER_SECONDS:
            self.level, self._why, self._better_since = LEVELS[strictly], why, None
        elif now == current:
            self._why = why

    def _measure(self, sample: Sample, margin: float) -> tuple[int, str]:
        """The highest level that any figure reaches, and which figure that is."""
        limits = self.limits
        memory = [limits.memory_percent - below for below in BELOW_MOST_PERCENT]
        share = 100.0 * sample.processes / limits.processes
        found = [
            (
                _reached(sample.memory_percent + margin, memory),
                f"{sample.memory_percent:.0f} % of its memory is in use",
            ),
            (_reached(share + margin, PROCESSES_PERCENT), f"{sample.processes} of {limits.processes} processes run"),
            (_reached(self._cpu + margin, CPU_PERCENT), f"its processors are {self._cpu:.0f} % busy"),
        ]
        level, why = max(found, key=lambda one: one[0])
        return level, why if level else ""

    # --- what follows -------------------------------------------------------------------------------------------------

    def _most_processes(self, sample: Sample, open_processes: int) -> int | None:
        """How many sessions with a process there is memory for, at least one."""
        if not sample.memory_total:
            return None
        each = self.memory.likely(self.limits.session_bytes, sample.at)
        growing = sum(max(0, each - size) for size in sample.sessions.values())
        growing += each * max(0, open_processes - len(sample.sessions))
        spare = sample.memory_available - self.limits.reserve_bytes - growing
        return max(1, open_processes + spare // each)

    def _verdict(self, sample: Sample, processes: int | None) -> Verdict:
        restraint = Restraint(
            spacing_seconds=SPACING_SECONDS[self.level],
            light_spacing_seconds=LIGHT_SPACING_SECONDS[self.level],
            processes=processes,
            is_full=self.level == "critical",
            why=self._why or "there is no memory for one more process",
            held=self._held(sample.free),
        )
        return Verdict(self.level, self._why, restraint, self.memory.likely(self.limits.session_bytes, sample.at))

    def _held(self, free: Mapping[str, int]) -> dict[str, str]:
        least = self.limits.min_free_disk_bytes
        return {
            job: f"{size // MB} MB are free, {least // MB} MB must be" for job, size in free.items() if size < least
        }


def _reached(figure: float, thresholds: Iterable[float]) -> int:
    """How many of the rising thresholds a figure reaches."""
    return sum(figure >= threshold for threshold in thresholds)

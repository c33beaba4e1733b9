"""How a measure is distributed, in bounded memory: counts in buckets whose limits grow by 2 %.

Distributions of parts can be added, and nothing is lost by it: the buckets are the same everywhere. A percentile read
off them is at most 1 % away from the exact one, which no suggestion needs to know better.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

GROWTH: Final = 1.02
_LOG: Final = math.log(GROWTH)
_MIDDLE: Final = 2 / (1 + GROWTH)  # from the upper limit of a bucket to the value that is 1 % away from both limits


class Distribution(msgspec.Struct, omit_defaults=True):
    """Counts by bucket; bucket b holds values in (GROWTH^(b-1), GROWTH^b]. Values up to 0 are counted in `zeros`."""

    count: int = 0
    zeros: int = 0
    total: float = 0.0
    largest: float = 0.0
    buckets: dict[int, int] = msgspec.field(default_factory=dict)

    def add(self, value: float) -> None:
        self.count += 1
        if value <= 0 or not math.isfinite(value):
            self.zeros += 1
            return
        self.total += value
        if value > self.largest:
            self.largest = value
        bucket = math.ceil(math.log(value) / _LOG)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def __add__(self, other: Distribution) -> Distribution:
        buckets = dict(self.buckets)
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        return Distribution(
            self.count + other.count,
            self.zeros + other.zeros,
            self.total + other.total,
            max(self.largest, other.largest),
            buckets,
        )

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """The value that `percent` of all values do not exceed, to 1 %; 0 when there is none."""
        rank = math.ceil(self.count * percent / 100)
        seen = self.zeros
        if rank <= seen:
            return 0.0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return min(self.largest, GROWTH**bucket * _MIDDLE)
        return self.largest

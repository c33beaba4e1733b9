"""How far a share that was observed can be trusted."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

Z: Final = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


class Interval(NamedTuple):
    """The shares (0 to 1) between which the true one lies, 95 times in a hundred."""

    low: float
    high: float


def wilson(successes: int, count: int) -> Interval:
    """The score interval of E. B. Wilson (1927): sound for few outcomes too, and for shares near 0 and 1.

    With p = successes/count and z for 95 %: (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). Of no outcomes
    nothing is known: 0 to 1.
    """
    if not count:
        return Interval(0.0, 1.0)
    share, z2 = successes / count, Z * Z
    middle = share + z2 / (2 * count)
    reach = Z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    scale = 1 + z2 / count
    low = 0.0 if successes == 0 else max(0.0, (middle - reach) / scale)
    high = 1.0 if successes == count else min(1.0, (middle + reach) / scale)
    return Interval(low, high)

"""Differences between winners, seed by seed, with their intervals."""

import math
import statistics
from dataclasses import dataclass

from gradthru_sweep.space import Point

LEVEL = 0.95


@dataclass(frozen=True)
class Winner:
    """A point that ran with fresh seeds."""

    point: Point
    values: dict[int, dict[str, float]]  # seed -> value by name
    lost: int  # seeds that diverged or failed

    def of(self, name: str) -> list[float]:
        return [values[name] for values in self.values.values()]


@dataclass(frozen=True)
class Difference:
    """Mean of the differences of equal seeds, and Student's interval of it."""

    mean: float
    low: float | None  # None from one seed
    high: float | None
    seeds: int

    def verdict(self, minimises: bool) -> int:
        """1 if the first is better, -1 if the second is, 0 if that cannot be told."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return 0
        return 1 if (self.mean < 0) == minimises else -1


def paired(first: Winner, second: Winner, name: str) -> Difference | None:
    """First minus second over the seeds that both have; None if there is none."""
    seeds = [seed for seed in first.values if seed in second.values]
    if not seeds:
        return None
    each = [first.values[seed][name] - second.values[seed][name] for seed in seeds]
    mean = statistics.fmean(each)
    if len(each) == 1:
        return Difference(mean, None, None, 1)
    # Here, not above: SciPy takes most of a second.
    from scipy import stats  # type: ignore[import-untyped]

    quantile = float(stats.t.ppf(0.5 + LEVEL / 2, len(each) - 1))
    half = quantile * statistics.stdev(each) / math.sqrt(len(each))
    return Difference(mean, mean - half, mean + half, len(each))

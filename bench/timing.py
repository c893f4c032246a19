"""Interleaved timing, paired ratios with their spread, and peak memory."""

import ctypes
import dataclasses
import gc
import math
import statistics
import time
from collections.abc import Callable

SHORTEST_SAMPLE_S = 0.004
FEWEST_REPETITIONS = 3


@dataclasses.dataclass
class Step:
    """What is timed; `before` and `after` are not."""

    run: Callable
    before: Callable = lambda: None
    after: Callable = lambda: None

    def __call__(self):
        return self.run()


def seconds_per_call(run: Callable, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def calls_per_sample(run: Callable) -> int:
    """So many that the clock and the loop do not matter; warms up on the way."""
    once = min(seconds_per_call(run, 1) for _ in range(3))
    return max(1, math.ceil(SHORTEST_SAMPLE_S / once))


def timed(step: Step, calls: int) -> float:
    step.before()
    seconds = seconds_per_call(step.run, calls)
    step.after()
    return seconds


def interleave(steps: dict[str, Step], repetitions: int,
               seconds: float) -> dict[str, list[float]]:
    """Seconds per call of every candidate, repetition by repetition.

    Each repetition times every candidate once, beginning one further than the last did. It ends
    after `repetitions`, or after `seconds` where that comes first (but not before three).
    """
    calls = {name: calls_per_sample(step) for name, step in steps.items()}
    times = {name: [] for name in steps}
    names = list(steps)
    end = time.perf_counter() + seconds
    gc.collect()
    gc.disable()
    try:
        for i in range(repetitions):
            if i >= FEWEST_REPETITIONS and time.perf_counter() > end:
                break
            first = i % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(timed(steps[name], calls[name]))
    finally:
        gc.enable()
    return times


@dataclasses.dataclass
class Spread:
    low: float
    median: float
    high: float


def ratio(numerator: list[float], denominator: list[float]) -> Spread:
    """Median and quartiles of the ratios, paired by repetition."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    if len(ratios) == 1:
        return Spread(ratios[0], ratios[0], ratios[0])
    return Spread(*statistics.quantiles(ratios, n=4, method="inclusive"))


def _status_bytes(key: str) -> int:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(key + ":"))
    return int(line.split()[1]) * 1024


def peak_growth(run: Callable) -> int | None:
    """Bytes by which one call raises the peak of the resident memory, what it returns included.

    None where the kernel does not let a process reset its own peak.
    """
    run()
    gc.collect()
    try:
        # What malloc keeps would hide what the call needs.
        ctypes.CDLL(None).malloc_trim(0)
        with open("/proc/self/clear_refs", "w") as refs:
            refs.write("5")
        before = _status_bytes("VmRSS")
        run()
        return max(0, _status_bytes("VmHWM") - before)
    except (OSError, AttributeError, StopIteration):
        return None

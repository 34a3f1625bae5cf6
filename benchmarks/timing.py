"""Wall-clock times of contestants that take turns, so that whatever else the machine does hits all of them alike."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

Contestant = Callable[[], object]


class Times(dict[str, list[float]]):
    """Seconds of each contestant's runs; `left_out` says why a competitor has none."""

    def __init__(self, seconds: Mapping[str, list[float]]):
        super().__init__(seconds)
        self.left_out: dict[str, str] = {}


def alternate(contestants: Mapping[str, Contestant], runs: int, warm_up: int = 3) -> Times:
    """Return seconds of each run of each contestant, after the warm-up, in which their memory settles.

    Each must wait for its own result. One that prepares something first returns the seconds that count. A competitor
    that can't even be warmed up, as when torch.compile doesn't know the compiler, is left out, and that is said and
    kept with the times: the best of the others may be slower than it would have been.
    """
    times = Times({name: [] for name in contestants})
    for run in range(-warm_up, runs):
        for name in list(times):
            try:
                elapsed_s = seconds_of(contestants[name])
            except Exception as error:
                if name == "ours" or run >= 0:
                    raise
                times.left_out[name] = f"{type(error).__name__}: {error}"
                print(f"  {name} is left out: {times.left_out[name]}", flush=True)
                del times[name]
                continue
            print(f"  {name:26s}{'warm-up' if run < 0 else f'run {run + 1}':10s}{elapsed_s:9.4f} s", flush=True)
            if run >= 0:
                times[name].append(elapsed_s)
    return times


def seconds_of(contestant: Contestant) -> float:
    """Return what one run takes, by the contestant's own clock or by ours."""
    started_s = time.perf_counter()
    own_s = contestant()
    return own_s if isinstance(own_s, float) else time.perf_counter() - started_s


def repeated(function: Callable[[], object], count: int) -> Callable[[], None]:
    """Return a contestant that is short, `count` times in a row."""

    def all_of_them() -> None:
        for _ in range(count):
            function()

    return all_of_them


def spread(values: list[float]) -> float:
    """Return what lies between the fastest and the slowest run, as a share of the median."""
    return (max(values) - min(values)) / statistics.median(values)


def use_one_core() -> None:
    """Keep this process, and threads that it starts later, on one core; do nothing where the system can't."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

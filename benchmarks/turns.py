"""Times competitors in turns within one process, so that a machine whose speed drifts slows all of them alike."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that went by, and of the processor's time: those of all threads."""

    seconds: float
    cpu: float

    def times(self, factor: float) -> Took:
        """The time of so many as much work."""
        return Took(self.seconds * factor, self.cpu * factor)


def timed(act: Callable[[], Any], settle: Callable[[], Any] = lambda: None) -> Took:
    """Do something and time it; `settle` waits for what a device still computes."""
    settle()
    start, began = time.perf_counter(), time.process_time()
    act()
    settle()
    return Took(time.perf_counter() - start, time.process_time() - began)


def compare(runners: Mapping[str, Callable[[], Took]], turns: int) -> dict[str, list[Took]]:
    """The times of each runner, turn by turn; every other turn goes the other way round."""
    found: dict[str, list[Took]] = {name: [] for name in runners}
    for turn in range(turns):
        for name in runners if turn % 2 == 0 else reversed(list(runners)):
            found[name].append(runners[name]())
    return found


def against(found: Mapping[str, Sequence[Took]], base: str) -> dict[str, Any]:
    """Each competitor's seconds, and the ratio to those of `base` in the same turn: the median, the least and the
    greatest. `cpu_ratio` is that of the processor's time, which other work on the machine changes less."""
    return {
        name: {
            "seconds": [round(took.seconds, 2) for took in own],
            "cpu_seconds": [round(took.cpu, 2) for took in own],
            "ratio": _spread([a.seconds / b.seconds for a, b in zip(own, found[base], strict=True)]),
            "cpu_ratio": _spread([a.cpu / b.cpu for a, b in zip(own, found[base], strict=True)]),
        }
        for name, own in found.items()
    }


def _spread(ratios: Sequence[float]) -> list[float]:
    """Median, least and greatest."""
    return [round(figure, 3) for figure in (statistics.median(ratios), min(ratios), max(ratios))]


def about(opened: Any, turns: int) -> dict[str, Any]:
    """What a figure has to be read with."""
    import torch

    info = opened.info
    load = round(os.getloadavg()[0], 2)
    return {
        **{"model": info.id, "dtype": info.dtype, "device": info.device, "turns": turns},
        **{"threads": torch.get_num_threads(), "load": load, "torch": torch.__version__},
    }

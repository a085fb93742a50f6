"""How a command shares the processor with other programs on the machine.

In: the environment and the limits of this process. Out: the environment that OpenMP reads, so this must
run before torch is imported. What the user has set stays as it is.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

# Of control groups, version 2 and version 1: the microseconds of processor time in a period, and the period.
QUOTA = Path("/sys/fs/cgroup/cpu.max")
OLD_QUOTA = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))


def share_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep, and start no more of them than the process has cores.

    By default a thread that waits for the others keeps its core busy. Next to another process, which needs
    that core, two threads then generate 4 to 19 tokens a second where sleeping ones generate 55 to 64.
    """
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    quota = _quota()
    # torch itself counts the cores that it may run on, and counts two threads of one core once; it does not
    # look at what a container allows.
    if quota is not None and quota < cores():
        environment.setdefault("OMP_NUM_THREADS", str(max(1, round(quota))))


def cores() -> int:
    """The cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _quota() -> float | None:
    """How many cores' worth of time the container gives, None without a limit."""
    try:
        if QUOTA.exists():
            given, period = QUOTA.read_text().split()
        else:
            given, period = (path.read_text().strip() for path in OLD_QUOTA)
        limit = float(given) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # no control groups, or "max": no limit
        return None
    return limit if limit > 0 else None

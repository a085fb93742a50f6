"""End recorded processes and what they started, and nothing else: each is known by its id and when it began."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

Recorded = tuple[int, int]


def _stat(pid: int) -> tuple[str, int, int] | None:
    """A process's state, its parent and when it began (clock ticks since the machine did)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[1]), int(fields[19])


def started_at(pid: int) -> int:
    found = _stat(pid)
    return found[2] if found else 0


def alive(recorded: Recorded) -> bool:
    """Whether it is the same process still, and not one that took its id."""
    found = _stat(recorded[0])
    return found is not None and found[2] == recorded[1] and found[0] != "Z"


def family(roots: Sequence[Recorded]) -> list[Recorded]:
    """The processes and all that descend from them."""
    children: dict[int, list[Recorded]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))):
            children.setdefault(found[1], []).append((int(entry.name), found[2]))
    every = [root for root in roots if alive(root)]
    for member in every:  # grows while it is read
        every += children.get(member[0], [])
    return every


def end(roots: Sequence[Recorded], patience: float) -> None:
    """Ask the processes to end, wait `patience` seconds, then end what is left of them and of their families."""
    members = family(roots)
    if patience:
        _signal([root for root in roots if alive(root)], signal.SIGTERM)
        deadline = time.monotonic() + patience
        while any(map(alive, members)) and time.monotonic() < deadline:
            time.sleep(0.1)
    _signal([member for member in members if alive(member)], signal.SIGKILL)
    while any(map(alive, members)):
        time.sleep(0.05)
        for pid, _ in roots:  # a child of this very process leaves a zombie until it is asked for
            try:
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                continue


def _signal(members: Sequence[Recorded], number: int) -> None:
    for pid, _ in members:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue

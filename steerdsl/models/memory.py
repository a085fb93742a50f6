"""How much memory a device has free, and what a model's weights take there.

In: a device, a model's folder and a dtype. Out: bytes, or None where nobody says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.models.weights import contents, weights_files

if TYPE_CHECKING:
    import torch

MEMINFO = Path("/proc/meminfo")
# Of control groups, version 2: what the container may take, and what it has taken.
LIMIT, TAKEN = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free for new tensors."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [found for found in (_available(), _allowed()) if found is not None]
    return min(known, default=None)


def weights_memory(folder: Path, dtype: torch.dtype) -> int | None:
    """Bytes of the weights once they are loaded; None while they are not here, or cannot be read."""
    try:
        return contents(folder).parameters * dtype.itemsize if weights_files(folder) else None
    except (OSError, ValueError):
        return None


def _available() -> int | None:
    """What Linux says is available."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return None if found is None else int(found[1]) * 1024


def _allowed() -> int | None:
    """What is left of the container's limit."""
    try:
        return max(0, int(LIMIT.read_text()) - int(TAKEN.read_text()))
    except (OSError, ValueError):  # no control groups, or "max": no limit
        return None

"""How much memory a device has free, and what a model's weights take there.

In: a device, a model's folder and a dtype. Out: bytes, or None where nobody says.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.forms.models import read_header
from steerdsl.models.quantization import KINDS
from steerdsl.models.weights import weights_files

if TYPE_CHECKING:
    import torch

# Bytes of the numbers in files that are not in the dtype of the passes once they are loaded.
_PACKED = {"I8": 1, "U8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "BOOL": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8}
_WHOLE = ("embed", "wte", "wpe", "lm_head")  # matrices that no quantisation on loading takes
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


def weights_memory(folder: Path, dtype: torch.dtype, quantization: str | None = None) -> int | None:
    """Bytes of the weights once they are loaded; None while they are not here, or cannot be read. `quantization` is
    how they are quantised on loading; what is quantised in the files keeps its size."""
    try:
        return loaded_bytes(folder, dtype, quantization) if weights_files(folder) else None
    except (OSError, ValueError):
        return None


def loaded_bytes(folder: Path, dtype: torch.dtype, quantization: str | None = None) -> int:
    """Bytes of the weights in a folder once they are loaded. Raises ValueError for a file that cannot be read."""
    total = 0.0
    for file in weights_files(folder):
        for name, tensor in read_header(file).items():
            count, kept = prod(tensor["shape"]), _PACKED.get(tensor["dtype"], dtype.itemsize)
            linear = len(tensor["shape"]) == 2 and not any(part in name for part in _WHOLE)
            total += count * (KINDS[quantization].bits / 8 if quantization and linear else kept)
    return int(total)


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

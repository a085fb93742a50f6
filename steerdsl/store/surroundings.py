"""What a run's record depends on besides the recipe, found without a tensor library.

In: the machine, the environment, this package's own files. Out: plain values that are equal wherever a run
would choose the same device, the same threads and the same code.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

from steerdsl.lang.grammar import grammar_text

# Which of the machine's GPUs and how many threads torch may use.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
)
_GPUS = Path("/proc/driver/nvidia/gpus")
_DEVICES = ("nvidia[0-9]*", "kfd", "dxg", "dri/renderD*")


def surroundings() -> dict[str, Any]:
    """The processor, the GPUs that the system shows, the cores and what the environment allows of them."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cpu": processor(),
        "python": sys.version.split()[0],
        "cores": _cores(),
        "gpus": [model for file in sorted(_GPUS.glob("*/information")) for model in _models(file)],
        "devices": sorted(path.as_posix() for name in _DEVICES for path in Path("/dev").glob(name)),
        "environment": {name: os.environ.get(name) for name in _VARIABLES},
    }


def processor() -> str | None:
    """The processor by its name; None where the system does not say it."""
    found = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines()
        found = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), found)
    return found or None


@cache
def code_sha256() -> str:
    """SHA-256 of the grammar and of every file of this package: what it draws and writes has no version of its own."""
    folder = Path(__file__).parents[1]
    digest = hashlib.sha256(grammar_text().encode())
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(names):
            file = Path(place, name)
            digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _cores() -> list[int] | int | None:
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count()


def _models(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text().splitlines() if line.startswith("Model:")]
    except OSError:
        return []

"""Which device and which number format a run uses, and how many threads.

In: the options `--device` and `--dtype`. Out: a torch device and dtype, or a clear refusal.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models import places

# Only Linux writes down what the processor can do; elsewhere float32 is the safe answer.
CPUINFO = Path("/proc/cpuinfo")

DTYPES: dict[str, torch.dtype] = {word: getattr(torch, name) for word, name in places.DTYPES.items()}


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" is the first GPU, then Apple's, then the processor.

    Raises RecipeError M608 for a device that is not there, and for a word that is none.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    places.require_device(name)
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            there = f"there are {count} CUDA devices here" if count else "there is no CUDA device here"
            raise RecipeError([_absent(name, there)], Exit.FAILED)
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise RecipeError([_absent(name, "there is no Apple GPU here")], Exit.FAILED)
    return torch.device(device.type)


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The dtype called `name`; None or "auto" is bfloat16 where `device` computes in it, else float32.

    Raises RecipeError M609 for another name.
    """
    if name is None or name == "auto":
        return torch.bfloat16 if fast_bfloat16(device) else torch.float32
    places.require_dtype(name)
    return DTYPES[name]


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Compute with `count` threads: sums are split between them, so their number decides last bits. Where
    this machine has fewer cores, and for None, with as many as ever: threads that wait for a core are slow.
    """
    usual = torch.get_num_threads()
    if count is not None and 0 < count <= (os.cpu_count() or 1):
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether `device` has instructions for bfloat16; without them it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not CPUINFO.exists():
        return False
    words = set(CPUINFO.read_text("utf-8", errors="replace").split())
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


def _absent(name: str, there: str) -> Diagnostic:
    return Diagnostic("M608", f"the device `{name}` is not available: {there}", help="use --device auto, or cpu")

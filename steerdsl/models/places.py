"""The words that `--dtype` and `--device` take, known without loading torch.

In: what the command line says. Out: nothing, or a refusal before anything heavy is loaded. Whether a device
is there is found out later, by `models.device`.
"""

from __future__ import annotations

import re

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, nearest

# Each word for a number format and torch's own name of it.
DTYPES = {
    "float32": "float32",
    "fp32": "float32",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
    "float16": "float16",
    "fp16": "float16",
}
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def require_dtype(name: str | None) -> None:
    """Raise RecipeError M609 for a word that is not a number format."""
    if name is not None and name != "auto" and name not in DTYPES:
        guess = nearest(name, DTYPES)
        way_out = f"did you mean `{guess}`?" if guess else f"use auto, {', '.join(DTYPES)}"
        raise RecipeError([Diagnostic("M609", f"`{name}` is not a dtype", help=way_out)], Exit.USAGE)


def require_device(name: str) -> None:
    """Raise RecipeError M608 for a word that is not a device."""
    if _DEVICE.fullmatch(name) is None:
        title = f"`{name}` is not a device"
        raise RecipeError([Diagnostic("M608", title, help="use auto, cpu, cuda, cuda:1 or mps")], Exit.USAGE)

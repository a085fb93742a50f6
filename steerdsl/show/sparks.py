"""Curves and bars in one line of text, for the terminal.

In: numbers. Out: a block for each, or a bar as long as one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
PARTS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
WIDTH = 20  # blocks of the longest bar


def sparkline(values: Sequence[float | None], chosen: Collection[int] = ()) -> str:
    """One block for each value, the lowest and the highest at the ends of the scale.

    `·` marks a value that is not finite; values that are all the same are half height. The
    places in `chosen` (indices into `values`, not layer numbers) are in brackets.
    """
    known = [x for x in values if x is not None and math.isfinite(x)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    blocks = (_block(x, low, high) for x in values)
    return "".join(f"[{block}]" if i in chosen else block for i, block in enumerate(blocks))


def bar(value: float | None, most: float) -> str:
    """A bar from 0, of full width where the value is as far from it as `most`; with a minus before it below 0. Nothing
    for what is not finite."""
    if value is None or not math.isfinite(value) or not most:
        return ""
    eighths = round(8 * WIDTH * abs(value) / most)
    return "-" * (value < 0 and eighths > 0) + "█" * (eighths // 8) + PARTS[eighths % 8]


def _block(x: float | None, low: float, high: float) -> str:
    if x is None or not math.isfinite(x):
        return NOTHING
    height = 0.5 if low == high else (x - low) / (high - low)
    return BLOCKS[min(int(height * len(BLOCKS)), len(BLOCKS) - 1)]

"""What the lines of a score table are called: the steer by its own name, what it is held against by these.

No recipe may call a steer so (`lower/names.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

BASELINE, RANDOM, PROMPTED = "baseline", "random", "prompted"
REFERENCE = "reference"  # the unsteered samples that overlap is measured against: never a line of a table
HELD_AGAINST = (BASELINE, RANDOM, PROMPTED)


def place(variant: str) -> int:
    """Where a variant comes in a table: the baseline, steers, the random control, the prompted one."""
    return {BASELINE: 0, RANDOM: 2, PROMPTED: 3}.get(variant, 1)


def in_order(variants: Iterable[str]) -> list[str]:
    """Each variant once, in the order of the tables."""
    return sorted(dict.fromkeys(variants), key=place)


def steered(variants: Iterable[str]) -> str | None:
    """The first that is a steer; None when nothing but controls is there."""
    return next((variant for variant in variants if variant not in (*HELD_AGAINST, REFERENCE)), None)

"""Figures as text, for terminal, report and pictures alike.

In: numbers of scores, claims and choices. Out: three significant digits, and every digit before the point:
a figure is rounded and never cut.
"""

from __future__ import annotations

import math
from typing import Any

from steerdsl.measure.table import Gap, Row

NOTHING = "–"  # a figure that there is not
DIGITS, EXACT = 3, 17
LARGE = 1e9  # from here on with an exponent
NAMED_P = 0.001


def number(x: Any, digits: int = DIGITS) -> str:
    """`2270`, `0.123`, `1.2e-05`; `–` where there is none or it is not a number."""
    if isinstance(x, bool) or not isinstance(x, int | float) or math.isnan(x):
        return NOTHING
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    text = f"{x:.{digits}g}"
    return f"{x:.0f}" if "e+" in text and abs(x) < LARGE else text


def signed(x: Any) -> str:
    """A difference: `+0.12`, `-3`; 0 has no sign."""
    text = number(x)
    return f"+{text}" if text not in (NOTHING, "0") and x > 0 else text


def apart(a: Any, b: Any) -> tuple[str, str]:
    """Both with as many digits as it takes to tell them apart, where they are not the same."""
    for digits in range(DIGITS, EXACT + 1):
        pair = number(a, digits), number(b, digits)
        if pair[0] != pair[1] or a == b:
            break
        if float(abs(a)) >= 10**digits:  # whole already: the difference is behind the point
            pair = f"{a:.{digits}g}", f"{b:.{digits}g}"
    return pair


def interval(low: float | None, high: float | None) -> str:
    """`[0.1, 0.3]`; nothing where there is none, or nothing in it."""
    return "" if low is None or high is None or low == high else f"[{number(low)}, {number(high)}]"


def drawn(row: Row) -> str:
    """`5 draws, sd 2.1`, or as `draws` says; nothing for what is not drawn."""
    if not row.draws:
        return ""
    spread = "" if row.spread is None else f", sd {number(row.spread, 2)}"
    return draws(row) + spread


def draws(row: Row) -> str:
    """`5 draws`, or `4 of 5 draws with a figure` where one has none."""
    known, every = len(row.known_draws), len(row.draws)
    return f"{known} of {every} draws with a figure" if known < every else f"{every} draw{'s' * (every > 1)}"


def rank(gap: Gap) -> str:
    """`rank 1 of 6`: where the steer ranks among the draws of its control."""
    return "" if gap.rank is None or gap.draws is None else f"rank {gap.rank:g} of {gap.draws + 1}"


def p_value(p: Any) -> str:
    """`p < .001`, `p = .042`; nothing where there is none."""
    if not isinstance(p, int | float) or math.isnan(p):
        return ""
    return "p < .001" if p < NAMED_P else "p = 1" if p >= 0.9995 else f"p = {p:.3f}".replace("0.", ".")


def duration(seconds: Any) -> str:
    """`0.4 s`, `12 s`, `2 min 5 s`, `1 h 12 min`; a whole number of seconds has no tenths."""
    if not isinstance(seconds, int | float):
        return "?"
    if seconds < 10 and not isinstance(seconds, int):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"

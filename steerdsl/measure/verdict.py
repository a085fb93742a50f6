"""What is said of a claim: one of three outcomes, and the figures that it rests on.

In: a check of record.json. Out: words. Older records have no outcome, interval or p-value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

HOLDS, FAILS, OPEN = "holds", "fails", "not settled"


def outcome(check: Mapping[str, Any]) -> str:
    """`holds`, `fails` or `not settled`."""
    found = check.get("outcome")
    return str(found) if found else HOLDS if check["holds"] else FAILS


def said(check: Mapping[str, Any]) -> str:
    """What stands behind the outcome: `15 prompts do not settle it; about 46 would, if the effect is what it seems`."""
    why, needs = check.get("why") or "", check.get("needs")
    if needs and why:
        why += f"; about {math.ceil(needs)} would, if the effect is what it seems"
    return "; ".join((*([why] if why else ()), *check.get("notes", ())))


def evidence(check: Mapping[str, Any]) -> str:
    """The difference of the two sides with its interval and p: `-3.1 [-5.2, -0.9], p = .004, 15 prompts`."""
    if check.get("low") is None or check.get("by") is None:
        return ""
    level = "" if check.get("confidence") is None else f" at {check['confidence'] * 100:g}%"
    interval = f"{check['by']:+.3g} [{check['low']:.3g}, {check['high']:.3g}]{level}"
    return f"{interval}, {p_value(check['p'])}, {check['n']} prompts"


def p_value(p: float | None) -> str:
    """A p-value as it is printed."""
    return "" if p is None else "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")

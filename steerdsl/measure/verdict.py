"""What is said of a claim: one of three outcomes, and why it is not settled.

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
    return str(found) if found in (HOLDS, FAILS, OPEN) else HOLDS if check.get("holds") else FAILS


def said(check: Mapping[str, Any]) -> str:
    """The reason for the outcome: `15 prompts do not settle it; about 46 would, if the effect is what it seems`."""
    why, needs = str(check.get("why") or ""), check.get("needs")
    if why and isinstance(needs, int | float):
        why += f"; about {math.ceil(needs)} would, if the effect is what it seems"
    return "; ".join(part for part in (why, *map(str, check.get("notes") or ())) if part)

"""A plan compared with the lock of its recipe.

In: a plan, and where its recipe is. Out: its pins on this machine, and what differs from the lock in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.share.lock import lock_path, read_lock
from steerdsl.share.pins import Pin, PinDifference, differences, pins

if TYPE_CHECKING:
    from steerdsl.planning.plan import Plan

NAMED = 3  # pins that the line names


def pins_of(plan: Plan) -> dict[str, Pin]:
    """The pins of a plan on this machine."""
    from steerdsl.models.opened import model_info
    from steerdsl.planning.planner import without_store
    from steerdsl.running.record import described

    facts, device = plan.model, plan.options.device  # no pin: where a recipe runs is not what it says
    model = asdict(model_info(facts, plan.dtype, device))
    return pins(described(without_store(plan), model))


def unlike_lock(plan: Plan, recipe: Path) -> str | None:
    """How a plan differs from the lock of its recipe; None where it does not, or where there is no lock.
    Raises RecipeError R861 for a damaged lock."""
    path = lock_path(recipe)
    before = read_lock(path)
    found = [] if before is None else differences(before, pins_of(plan))
    return in_one_line(path, found) if found else None


def in_one_line(path: Path, found: Sequence[PinDifference]) -> str:
    """That a run differs from the lock at `path`, and in which pins."""
    names = ", ".join(d.name for d in found[:NAMED]) + (", …" if len(found) > NAMED else "")
    return f"this run differs from {path.name} in {count(found)}: {names}"


def count(found: Sequence[PinDifference]) -> str:
    """`3 pins`."""
    return f"{len(found)} pin{'' if len(found) == 1 else 's'}"

"""What of a steer can be turned by hand: its angle, its strength, the layer at which it acts.

In: the operations of a steer, and a setting. Out: which of the three it has, and the operations with the setting in
them. What is left alone stays as the recipe has it, so that a setting of nothing is the recipe's own steer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steerdsl.engine.context import Run
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.planning.targets import targets
from steerdsl.registry import find
from steerdsl.serving.steers import AMOUNTS, Steers, scaled

At = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setting:
    """What was turned; None where the recipe decides. angle: degrees. strength: a factor of the recipe's own. layer:
    the one layer at which everything acts."""

    angle: float | None = None
    strength: float | None = None
    layer: int | None = None


@dataclass(frozen=True, slots=True)
class Turned:
    """A steer that can be turned. `points` are its operations at each point of the sweep that it is in, by the values
    of the axes; a steer outside of sweeps has one, without axes."""

    name: str
    points: tuple[tuple[At, tuple[r.Op, ...]], ...]

    def ops(self, at: At) -> tuple[r.Op, ...] | None:
        """Its operations at a point; None for a point that there is not."""
        return next((ops for own, ops in self.points if own == at), None)


def steers(made: Steers) -> dict[str, Turned]:
    """The steers of a recipe by their names, those in sweeps too where all that they name has a value outside."""
    found = {name: Turned(name, (({}, steer.ops),)) for name, steer in made.run.steers.items()}
    for sweep in made.run.plan.recipe.steps:
        if not isinstance(sweep, r.Sweep) or isinstance(sweep, r.Tune):
            continue
        points: dict[str, list[tuple[At, tuple[r.Op, ...]]]] = {}
        for point in sweep.points:
            for step in point.steps:
                if isinstance(step, r.Steer):
                    points.setdefault(step.name, []).append((dict(point.labels), step.ops))
        for name, own in points.items():
            if name not in found and _acts(made, own[0][1]):
                found[name] = Turned(name, tuple(own))
    return found


def knobs(ops: Sequence[r.Op], run: Run) -> dict[str, Any]:
    """What of these operations can be turned, each as it is in the recipe; None for what cannot."""
    angles = [op.args[name] for op in ops for name in _angles(op)]
    amounts = [_amount(op) for op in ops if not _angles(op)]
    return {
        "ops": [op.text or op.name for op in ops],
        "angle": float(angles[0]) if angles else None,
        "strength": [amount for amount in amounts if amount is not None] if amounts and all(amounts) else None,
        "layers": _layers(ops, run),
    }


def turned(name: str, ops: Sequence[r.Op], setting: Setting) -> list[r.Op]:
    """The operations with a setting put in. Raises RecipeError R911 for what cannot be turned, and R902 for a strength
    that cannot be."""
    found = list(ops)
    if setting.angle is not None:
        if not math.isfinite(setting.angle) or not any(map(_angles, found)):
            raise _refused(f"`{name}` cannot be turned to an angle of {setting.angle:g}", "give one that rotates")
        found = [replace(op, args={**op.args, **dict.fromkeys(_angles(op), setting.angle)}) for op in found]
    if setting.layer is not None:
        if not all(map(_at_layers, found)):
            raise _refused(f"`{name}` does not act at layers that could be others", "leave its layers as they are")
        here = r.Layers((r.LayerPoint(float(setting.layer)),))
        found = [replace(op, layers=here) for op in found]
    if setting.strength is not None:
        amounts = [_amount(op) for op in found if not _angles(op)]
        if not amounts or not all(amounts):
            raise _refused(f"`{name}` has no strength that could be another", "leave its strength as it is")
        weight = setting.strength
        found = [new for op in found for new in ([op] if _angles(op) else scaled(name, [op], weight))]
    return found


def _acts(made: Steers, ops: Sequence[r.Op]) -> bool:
    """Whether all that the operations name has a value."""
    try:
        return made.made(ops) is not None
    except (RecipeError, KeyError):
        return False


def _angles(op: r.Op) -> list[str]:
    return [a.name for a in find("op", op.name).args if a.type == "angle" and op.args.get(a.name) is not None]


def _amount(op: r.Op) -> str | None:
    """What a strength multiplies, as `3` or `40%`; None where there is nothing."""
    for arg in find("op", op.name).args:
        value = op.args.get(arg.name, arg.default)
        if arg.name in AMOUNTS and arg.type != "angle" and value is not None:
            if isinstance(value, r.Strength):
                return f"{value.value * 100:g}%" if value.unit == "share" else f"{value.value:g}"
            return f"{value:g}"
    return None


def _at_layers(op: r.Op) -> bool:
    return not op.everywhere and not any(stream.numbers for stream in op.streams)


def _layers(ops: Sequence[r.Op], run: Run) -> list[int] | None:
    """The layers at which the operations act; None where they cannot act at one layer instead."""
    if not ops or not all(map(_at_layers, ops)):
        return None
    arch, chosen = run.plan.model.arch, run.values.chosen
    return sorted({target.layer for op in ops for target in targets(op, arch, chosen)})


def _refused(title: str, help: str) -> RecipeError:
    return RecipeError([Diagnostic("R911", title, help=help)], Exit.USAGE)

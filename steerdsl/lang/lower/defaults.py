"""What a recipe leaves to the language, filled in at its end.

In: all steps. Out: the same with every data set's part settled, and with an evaluation of each steer
where the recipe measures nothing itself. Names that nothing uses are warned of here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from steerdsl.lang.lower import data, measures, options
from steerdsl.lang.lower.context import Context, Symbol
from steerdsl.lang.nodes import Name
from steerdsl.lang.recipe import DataRef, Evaluate, Generate, Point, Read, Steer, Step, Sweep, Tune
from steerdsl.lang.vocabulary import EVALUATE

FALLBACK = "generic"  # the prompts when nothing was fitted on any
Steps = tuple[Step, ...]


def complete(ctx: Context) -> Steps:
    """The recipe's steps with everything filled in."""
    steps = tuple(ctx.steps)
    if not any(isinstance(step, Generate | Evaluate) for step in walk(steps)):
        steps = _evaluated(ctx, steps, {})
    steps = _settled(ctx, steps, warn=True)
    ctx.shared.found = list(dict.fromkeys(ctx.shared.found))  # points of a sweep say the same
    return steps


def walk(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, those of a sweep's points included."""
    for step in steps:
        yield step
        if isinstance(step, Sweep):
            for point in step.points:
                yield from walk(point.steps)


def _evaluated(ctx: Context, steps: Steps, names: dict[str, str]) -> Steps:
    """Score each steer, side by side with the model's own answers, on what was held out."""
    result: list[Step] = []
    for step in steps:
        if isinstance(step, Sweep):
            points = [replace(point, steps=_evaluated(ctx, point.steps, names)) for point in step.points]
            step = replace(step, points=tuple(points))
        result.append(step)
    for steer in (step for step in steps if isinstance(step, Steer)):
        if steer.name not in names:
            names[steer.name] = ctx.scope.fresh(f"{steer.name}_scores")
        chosen = options.defaults(EVALUATE)
        refs, metrics = measures.fitted(ctx) or _fallback(ctx), measures.default_metrics()
        name = names[steer.name]
        result.append(Evaluate(name, steer.name, refs, metrics, chosen, implied=True, span=steer.span))
    return tuple(result)


def _fallback(ctx: Context) -> tuple[DataRef, ...]:
    data.known(ctx, Name((FALLBACK,)))
    return (DataRef(FALLBACK, "all"),)


def _settled(ctx: Context, steps: Steps, warn: bool, own: str = "") -> Steps:
    """Settle each reference; what a later point of a sweep repeats is not warned of again, nor that the search
    `own` sees what it was given."""
    result: list[Step] = []
    for step in steps:
        match step:
            case Generate(data=ref):
                step = replace(step, data=data.settle(ctx, ref, warn, own))
            case Evaluate(data=refs) | Read(data=refs):
                step = replace(step, data=tuple(data.settle(ctx, ref, warn, own) for ref in refs))
            case Sweep(name=name, points=points):
                by = name if isinstance(step, Tune) else ""
                each = bool(step.words)  # data sets may differ from point to point
                settled = (_settled_point(ctx, p, warn and (each or i == 0), by) for i, p in enumerate(points))
                step = replace(step, points=tuple(settled))
            case _:
                pass
        result.append(step)
    return tuple(result)


def _settled_point(ctx: Context, point: Point, warn: bool, own: str) -> Point:
    return replace(point, steps=_settled(ctx, point.steps, warn, own))


def warn_unused(ctx: Context, steps: Steps) -> None:
    """Warn of names that nothing uses. A vector, a plane or a choice may be what the recipe is
    for, unless it steers; a steer is used by being scored."""
    steering = any(isinstance(step, Steer) for step in walk(steps))
    scored = {step.steer for step in walk(steps) if isinstance(step, Evaluate | Generate)}
    kinds = {"param", "data", "tune"} | ({"vector", "plane", "choice", "steer"} if steering else set())
    for name, symbol in ctx.scope.symbols.items():
        if symbol.kind in kinds and _unused(ctx, symbol) and name not in scored:
            place = symbol.place
            help = "use it, or delete it"
            ctx.warn("S452", f"nothing uses `{name}`", place.span, help=help)


def _unused(ctx: Context, symbol: Symbol) -> bool:
    made = symbol.kind == "data" and symbol.value is not None and symbol.value.questions is not None
    return symbol.name not in ctx.scope.used and not symbol.imported and not made  # answers are a result

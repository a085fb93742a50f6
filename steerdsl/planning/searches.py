"""The plan of a `tune`: what is searched, on which prompts, and how the points that are tried become steps.

In: a `Tune` and what the planning knows. Out: its facts and its key, and `TrialPlanner`, which plans any points of it.
What an earlier run has chosen is recalled from the store.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steerdsl.forms.kept import SEARCH
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.lower.values import DEGREES, printed
from steerdsl.lang.nodes import Quantity
from steerdsl.lang.tuned import settled
from steerdsl.planning import formatting, shared_batches
from steerdsl.planning.keys import canonical, step_key
from steerdsl.planning.layers import at_depth
from steerdsl.planning.leakage import Fitted
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.planning import Planning

INSTALL = 'pip install "steerdsl[tune]"'
# An axis is searched in steps of a power of ten, at most this part of its range, so that values stay short.
FINENESS = 1000
HOW = "spread over the ranges first, then by TPE (Optuna) and along a line through the best, in turns"

Describe = Callable[[Planning, r.Step, int], PlanStep]
Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class TrialPlanner:
    """Plans points of a search as those of a sweep. `planning` is what was known where the search begins."""

    search: r.Tune
    planning: Planning
    describe: Describe

    def planned(self, points: Sequence[Mapping[str, float]], number: int) -> PlanStep:
        """The steps of some points, which are answered together: the values of the axes, layers as their numbers.

        Raises RecipeError with what the model does not allow at a point.
        """
        p = _copy(self.planning)
        made = tuple(self._point(values) for values in points)
        step = r.Sweep(self.search.name, self.search.axes, made, span=self.search.span)
        planned = self.describe(p, step, number)
        p.shared = shared_batches.shared(p, [planned])
        if p.dtype != "float32":
            again = _copy(self.planning)
            again.shared = p.shared
            planned = self.describe(again, step, number)
        if p.errors:
            raise RecipeError(p.errors)
        return replace(planned, verb="tune", shared=p.shared)

    def _point(self, values: Mapping[str, float]) -> r.Point:
        n, name = self.planning.facts.arch.n_layers, self.search.name
        own = {axis.name: in_unit(axis, values[axis.name], n) for axis in self.search.space}
        layers = {f"{name}.{a.name}": int(values[a.name]) for a in self.search.space if a.layers}
        steps = settled(self.search.points[0].steps, {f"{name}.{axis}": own[axis] for axis in own}, layers)
        plain = {axis.name: _plain(axis, own[axis.name]) for axis in self.search.space}
        return r.Point({axis.name: label(axis, values[axis.name], n) for axis in self.search.space}, plain, steps)


def in_unit(axis: r.TuneAxis, value: float, n_layers: int) -> float:
    """A value of an axis in its own unit: the depth of a layer where the range is one of depths."""
    if axis.layers and axis.unit == "%":
        return round(100 * value / max(n_layers - 1, 1), 1)
    return value


def label(axis: r.TuneAxis, value: float, n_layers: int) -> str:
    """A value of an axis as it would be typed."""
    return printed(Quantity(in_unit(axis, value, n_layers), axis.unit))


def _plain(axis: r.TuneAxis, value: float) -> float:
    return value / 100 if axis.unit == "%" else value * DEGREES.get(axis.unit, 1.0)


def grid(axis: r.TuneAxis, n_layers: int) -> tuple[float, float, float]:
    """The first and the last value of an axis and the step between two, which the search keeps to."""
    if axis.layers:
        ends = (axis.low, axis.high)
        if axis.unit == "%":
            ends = (at_depth(axis.low / 100, n_layers), at_depth(axis.high / 100, n_layers))
        return float(ends[0]), float(ends[1]), axis.step if axis.step and not axis.unit else 1.0
    if axis.step is not None:
        return axis.low, axis.low + axis.step * int((axis.high - axis.low) / axis.step + 1e-9), axis.step
    return axis.low, axis.high, 10.0 ** math.floor(math.log10((axis.high - axis.low) / FINENESS))


def tune(p: Planning, s: r.Tune, describe: Describe) -> tuple[Any, ...]:
    """What `planning.describe` says of a search."""
    before = _copy(p)
    facts: Facts = [("goal", s.text)]
    facts += [("subject to", limit.text) for limit in s.limits]
    facts += [(axis.name, _range(p, axis)) for axis in s.space]
    facts.append(("trials", f"{s.trials}, {s.batch} at a time, seed {s.seed}: {HOW}"))
    for place, axis in enumerate(s.space):
        p.keys[f"{s.name}.{axis.name}"] = f"axis {place}"
    steps = tuple(describe(p, step, j) for j, step in enumerate(s.points[0].steps, 1))
    facts += _prompts(p, s)
    for inner in steps:
        facts.append((f"each.{inner.number}", f"{inner.verb} {inner.name}: {inner.title}"))
        facts += [("", f"{label}: {text}" if label else text) for label, text in inner.facts]
    key = _key(p, s, steps)
    for axis in s.space:
        p.keys[f"{s.name}.{axis.name}"] = f"{key} {axis.name}"
    found = None if key is None or p.store is None else p.store.load(key, read_search)
    if found is not None:
        facts.append(("chosen", ", ".join(f"{name} {value}" for name, value in found["best"]["at"].items())))
        p.chosen |= {f"{s.name}.{name}": (layer,) for name, layer in found["best"]["layers"].items()}
    elif find_spec("optuna") is None:
        p.error("R930", "a search needs Optuna, which is not installed", s.span, help=f"`{INSTALL}` installs it")
    title = f"{' and '.join(s.axes)}, {formatting.count(s.trials, 'trial')}"
    return "tune", title, facts, key, True, {"points": (steps,), "trials": TrialPlanner(s, before, describe)}


def read_search(folder: Path) -> dict[str, Any]:
    """What a search left in the store."""
    found: dict[str, Any] = read_json(folder / "search.json", SEARCH, within=folder)
    return found


def _copy(p: Planning) -> Planning:
    """The planning as it is, for steps that are described apart."""
    return replace(
        p, keys=dict(p.keys), named=dict(p.named), chosen=dict(p.chosen), fitted=Fitted(dict(p.fitted.by)), errors=[]
    )


def _range(p: Planning, axis: r.TuneAxis) -> str:
    low, high, step = grid(axis, p.facts.arch.n_layers)
    ends = f"{printed(Quantity(axis.low, axis.unit))}..{printed(Quantity(axis.high, axis.unit))}"
    if axis.layers:
        return f"{ends} (layers {low:g} to {high:g})"
    return f"{ends} in steps of {printed(Quantity(step, axis.unit))}"


def _prompts(p: Planning, s: r.Tune) -> Iterator[tuple[str, str]]:
    """Which rows are set aside. What scores them later is warned as it is for what was fitted on."""
    refs = {ref.name: ref for step in s.points[0].steps if isinstance(step, r.Evaluate) for ref in step.data}
    for place, ref in enumerate(refs.values()):
        found, _ = p.samples(ref)
        spec = p.recipe.data[ref.name]
        share = formatting.percent(spec.tune)
        yield "set aside", f"{formatting.count(len(found), 'prompt')} of {ref.name}, {share} of its training rows"
        p.fitted.add(s.name, found, first=not place)


def _key(p: Planning, s: r.Tune, steps: Sequence[PlanStep]) -> str | None:
    """The key of what the search finds: the steps of its body, the space, the goal and the seed."""
    keys = [step.key for step in steps]
    if None in keys:
        return None
    order = {step.name: place for place, step in enumerate(steps) if step.name}

    def side(figure: r.Figure) -> Any:
        terms = [[order.get(t.path[0], t.path[0]), *t.path[1:], t.share, t.variant] for t in figure.terms]
        return [terms, figure.value]

    space = [canonical(replace(axis, name=""), {}) for axis in s.space]
    limits = [[side(limit.left), limit.op, side(limit.right)] for limit in s.limits]
    how = {"maximize": s.maximize, "trials": s.trials, "batch": s.batch, "seed": s.seed}
    return step_key("tune", 1, {}, steps=keys, space=space, goal=side(s.goal), limits=limits, **how)

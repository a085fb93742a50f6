"""What a run computes, kept step by step, so that two runs of one plan can be compared.

In: a plan, run in two places. Out: `Trail`s, and the largest differences between them as plain data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf, nan
from typing import TYPE_CHECKING, Any, TypeVar

from steerdsl.engine.context import Run
from steerdsl.engine.steps import run_plan
from steerdsl.measure.table import Row, Table, point
from steerdsl.methods.types import Plane, Vector
from steerdsl.planning.plan import PlanStep
from steerdsl.store.pairs import named, pairs

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How far two runs may differ and be called equal, by the measures of `compare`."""

    vectors: float
    logits: float
    scores: float


# In half precision single numbers say little: directions of cosine .999 are .045 apart.
LIMITS: Mapping[str, Limits] = {
    "float32": Limits(vectors=1e-6, logits=1e-4, scores=1e-4),
    "float16": Limits(vectors=0.045, logits=0.01, scores=0.01),
    "bfloat16": Limits(vectors=0.045, logits=0.05, scores=0.05),
}


@dataclass(slots=True)
class Footprint:
    """What one step made: its vectors, planes, choices of layers and scores by name, the lines of its
    answers, what it read of the logits, its seconds, and what went over the wire."""

    step: PlanStep
    seconds: float
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    planes: Mapping[str, Plane] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)
    scores: Table = field(default_factory=Table)
    rows: Sequence[Mapping[str, Any]] = ()
    logits: Sequence[Tensor] = ()
    traffic: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Trail:
    """What a run made. `versions` are those of a server, and those here."""

    on: str
    dtype: str
    steps: list[Footprint] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    host: str | None = None


def greet(run: Run) -> None:
    """Ask a run's server for its model now, if it has one. Raises RecipeError R820 to R832 and R837."""
    if run.plan.options.on == "ndif":
        run.session.witness = []


def follow(run: Run, begin: Callable[[PlanStep], None]) -> Trail:
    """Run a plan, with a fresh store, and keep what each step computes. Raises RecipeError as
    `run_plan` does."""
    trail = Trail(run.plan.options.on, run.plan.dtype)
    known: dict[tuple[str, str], Any] = {}
    run.session.witness = []
    before = run.traffic()
    if link := run.session.link:
        trail.versions, trail.host = link.versions, link.host

    def new(kind: str, named: Mapping[str, T]) -> dict[str, T]:
        found = {name: value for name, value in named.items() if known.get((kind, name)) is not value}
        known.update({(kind, name): value for name, value in found.items()})
        return found

    def watch(step: PlanStep, seconds: float | None) -> None:
        nonlocal before
        if seconds is None:
            begin(step)
            return
        seen = sum(len(footprint.rows) for footprint in trail.steps)
        scored = {row.evaluation for footprint in trail.steps for row in footprint.scores}
        read, run.session.witness = run.session.witness or [], []
        gone, before = run.traffic().since(before), run.traffic()
        trail.steps.append(
            Footprint(
                step,
                seconds,
                new("vector", run.values.vectors),
                new("plane", run.values.planes),
                new("choice", run.results.choices),
                Table(row for row in run.results.scores if row.evaluation not in scored),
                run.results.rows[seen:],
                read,
                gone,
            )
        )

    run_plan(run, watch)
    return trail


def compare(here: Trail, there: Trail) -> dict[str, Any]:
    """The largest differences of two runs of one plan, step by step, as the receipt keeps them.

    vectors: in float32 the largest difference of a number of a unit direction, or of a norm as a share
    of it; in half precision the length of the difference of two unit directions. logits: in float32 of
    each number that was read, as a share of it (of numbers below 1, the difference itself); in half
    precision of all that one reading gave, as a share of its length. scores: of means and values, each
    as a share of it. Where only one side has a number the difference is infinite.

    `equal`: answers and chosen layers are the same, and nothing differs by more than LIMITS.
    """
    limits, exact = LIMITS[here.dtype], here.dtype == "float32"
    steps = [_step(a, b, exact) for a, b in zip(here.steps, there.steps, strict=True)]
    return {
        "schema": 2,
        "places": [here.on, there.on],
        "host": there.host,
        "dtype": here.dtype,
        "limits": asdict(limits),
        "equal": all(_equal(step, limits) for step in steps),
        # JSON has no infinity.
        "steps": [{key: "inf" if value == inf else value for key, value in step.items()} for step in steps],
        "versions": there.versions,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _equal(step: Mapping[str, Any], limits: Limits) -> bool:
    same_answers = not step["tokens"] or not step["tokens"]["different"]
    same_layers = all(a == b for a, b in (step["layers"] or {}).values())
    return same_answers and same_layers and all((step[key] or 0) <= most for key, most in asdict(limits).items())


def _step(a: Footprint, b: Footprint, exact: bool) -> dict[str, Any]:
    gaps = [inf if x is None or y is None else apart(x, y, exact) for _, x, y in pairs(a.vectors, b.vectors)]
    gaps += [
        inf if x is None or y is None else _rows_apart(_axes(x), _axes(y), exact)
        for _, x, y in pairs(a.planes, b.planes)
    ]
    chosen = {n: [None if x is None else x["chosen"] for x in both] for n, *both in pairs(a.choices, b.choices)}
    answers = [x is not None and y is not None and _said(x) == _said(y) for _, x, y in pairs(*map(_answers, (a, b)))]
    return {
        "step": a.step.number,
        "verb": a.step.verb,
        "name": a.step.name,
        "vectors": max(gaps, default=None),
        "layers": chosen or None,
        "logits": _logits(a.logits, b.logits, exact),
        "scores": max((_share(*map(_numbers, (x, y))) for _, x, y in pairs(*map(_rows, (a, b)))), default=None),
        "tokens": {"answers": len(a.rows), "different": answers.count(False)} if answers else None,
        "seconds": [round(a.seconds, 3), round(b.seconds, 3)],
        **b.traffic,
    }


def _answers(side: Footprint) -> Mapping[Any, Mapping[str, Any]]:
    """The answers of a step, in their order."""
    return dict(enumerate(side.rows))


def _rows(side: Footprint) -> Mapping[Any, Row]:
    return named(side.scores, lambda row: (row.evaluation, point(row.at), row.metric, row.data, row.variant))


def _said(row: Mapping[str, Any]) -> list[Any]:
    """What identifies an answer: its tokens, or the hash of its text where they are withheld."""
    return [row.get(name) for name in ("token_ids", "text_sha256", "ended")]


def apart(x: Vector, y: Vector, exact: bool) -> float:
    """The largest difference of two vectors' directions and, as a share, of their norms."""
    a, b = x.directions, y.directions
    if a.unit.shape != b.unit.shape:
        return inf
    norms = _gaps(a.raw_norm, b.raw_norm) / _sizes(a.raw_norm, b.raw_norm).clamp(min=1e-30)
    return max(_rows_apart(a.unit, b.unit, exact), float(norms.max()))


def _axes(plane: Plane) -> Tensor:
    import torch

    return torch.stack([plane.b1, plane.b2])


def _rows_apart(a: Tensor, b: Tensor, exact: bool) -> float:
    gaps = _gaps(a, b)
    return float(gaps.max() if exact else gaps.norm(dim=-1).max())


def _logits(a: Sequence[Tensor], b: Sequence[Tensor], exact: bool) -> float | None:
    """The largest difference of what was read; inf when other texts were read, since tokens differ."""
    if [x.shape for x in a] != [y.shape for y in b]:
        return inf
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x.numel()]
    if exact:
        return max((_share(x, y) for x, y in pairs), default=None)
    return max((float(_gaps(x, y).norm() / _sizes(x, y).norm().clamp(min=1e-30)) for x, y in pairs), default=None)


def _numbers(row: Row | None) -> Tensor:
    """A mean with its values; intervals and p-values follow from them."""
    import torch

    found = () if row is None else (row.mean, *row.values)
    return torch.tensor([nan if x is None else x for x in found], dtype=torch.float64)


def _share(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return inf
    return float((_gaps(a, b) / _sizes(a, b).clamp(min=1)).max())


def _gaps(a: Tensor, b: Tensor) -> Tensor:
    """How far numbers differ: 0 where both are the same, both infinite or both nan, inf where only one is."""
    a, b = a.double(), b.double()
    gaps = (a - b).abs().nan_to_num(nan=inf, posinf=inf)
    return gaps.masked_fill((a == b) | (a.isnan() & b.isnan()), 0.0)


def _sizes(a: Tensor, b: Tensor) -> Tensor:
    """The larger of two absolute values; 0 for what is not finite."""
    x, y = (side.double().abs().nan_to_num(nan=0.0, posinf=0.0) for side in (a, b))
    return x.maximum(y)

"""What a run computes, kept step by step, so that two runs of one plan can be compared.

In: a plan, run in two places. Out: `Trail`s, and the largest differences between them as plain data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.context import Run
from steerdsl.engine.steps import run_plan
from steerdsl.methods.types import Vector
from steerdsl.models.cache import Progress
from steerdsl.plan.plan import Plan, PlanStep
from steerdsl.store.results import Store

if TYPE_CHECKING:
    from torch import Tensor

LIMIT = 1e-6  # of vectors, in float32


@dataclass(slots=True)
class Footprint:
    """What one step made: its vectors by name, the lines of its answers, what it read of the logits,
    its seconds, and what went over the wire."""

    step: PlanStep
    vectors: dict[str, Vector]
    rows: list[dict[str, Any]]
    logits: list[Tensor]
    seconds: float
    traffic: dict[str, int]


@dataclass(slots=True)
class Trail:
    """What a run made. `model` is what its record would say, `versions` those of a server, compared."""

    on: str
    dtype: str
    steps: list[Footprint] = field(default_factory=list)
    versions: dict[str, Any] = field(default_factory=dict)
    host: str | None = None


def follow(
    plan: Plan,
    store: Store,
    out: Path,
    progress: Progress,
    tell: Callable[[str], None],
    begin: Callable[[PlanStep], None],
) -> Trail:
    """Run a plan and keep what each step computes. Raises RecipeError as `run_plan` does."""
    run = Run(plan, store, out, progress, tell=tell)
    trail = Trail(plan.options.on, plan.dtype)
    known: dict[str, Vector] = {}
    run.session.witness = []
    before = run.traffic()
    if link := run.session.link:
        trail.versions, trail.host = link.versions, link.host

    def watch(step: PlanStep, seconds: float | None) -> None:
        nonlocal before
        if seconds is None:
            begin(step)
            return
        vectors = {name: v for name, v in run.values.vectors.items() if known.get(name) is not v}
        known.update(vectors)
        seen = sum(len(footprint.rows) for footprint in trail.steps)
        read, run.session.witness = run.session.witness or [], []
        gone = run.traffic().since(before)
        before = run.traffic()
        trail.steps.append(Footprint(step, vectors, run.results.rows[seen:], read, seconds, gone))

    run_plan(run, watch)
    return trail


def compare(here: Trail, there: Trail) -> dict[str, Any]:
    """The largest differences of two runs of one plan, step by step, as the receipt keeps them.

    Vectors: the largest difference of a unit direction's number, or of a norm, as a share of it.
    `equal`: all tokens are the same and, in float32, no vector differs by more than LIMIT.
    """
    steps = [_step(a, b) for a, b in zip(here.steps, there.steps, strict=True)]
    strict = here.dtype == "float32"
    same_tokens = all(not step["tokens"] or not step["tokens"]["different"] for step in steps)
    near = all(step["vectors"] is None or step["vectors"] <= LIMIT for step in steps)
    return {
        "schema": 1,
        "places": [here.on, there.on],
        "host": there.host,
        "dtype": here.dtype,
        "limit": LIMIT if strict else None,
        "equal": same_tokens and (near or not strict),
        "steps": steps,
        "versions": there.versions,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _step(a: Footprint, b: Footprint) -> dict[str, Any]:
    pairs = [(v, b.vectors[name]) for name, v in a.vectors.items()]
    different = [x for x, y in zip(a.rows, b.rows, strict=True) if _said(x) != _said(y)]
    return {
        "step": a.step.number,
        "verb": a.step.verb,
        "name": a.step.name,
        "vectors": max((apart(x, y) for x, y in pairs), default=None),
        "logits": _logits(a.logits, b.logits),
        "tokens": {"answers": len(a.rows), "different": len(different)} if a.rows else None,
        "seconds": [round(a.seconds, 3), round(b.seconds, 3)],
        **b.traffic,
    }


def _said(row: dict[str, Any]) -> Any:
    """What identifies an answer: its tokens, or what stands for them when they are withheld."""
    return row.get("token_ids", row)


def apart(x: Vector, y: Vector) -> float:
    """The largest difference of two vectors' directions and, as a share, of their norms."""
    a, b = x.directions, y.directions
    if a.unit.shape != b.unit.shape:
        return float("inf")
    units = float((a.unit.double() - b.unit.double()).abs().max())
    norms = (a.raw_norm.double() - b.raw_norm.double()).abs() / a.raw_norm.double().abs().clamp(min=1e-30)
    return max(units, float(norms.max()))


def _logits(a: Sequence[Tensor], b: Sequence[Tensor]) -> float | None:
    """The largest difference of what was read; inf when other texts were read, since tokens differ."""
    if len(a) != len(b) or any(x.shape != y.shape for x, y in zip(a, b, strict=True)):
        return float("inf")
    gaps = [float((x.double() - y.double()).abs().nan_to_num().max()) for x, y in zip(a, b, strict=True) if x.numel()]
    return max(gaps, default=None)

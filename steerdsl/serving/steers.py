"""The steers of a recipe, made ready to act: its vectors, planes and layers taken from the store or computed.

In: a plan and its store. Out: `Steers`, which name what acts on a row: one steer, or several with weights. The steps
that only measure (`generate`, `evaluate`, `check`, `plot`, `export`, sweeps) are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.batch_edits import Acting, acting, compile_rows
from steerdsl.engine.context import Run
from steerdsl.engine.operand_activations import SOURCES
from steerdsl.engine.steps import make_values
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, nearest
from steerdsl.methods.types import MethodError
from steerdsl.registry import find
from steerdsl.running.progress import STORED, Quiet, StepProgress
from steerdsl.running.record import maker
from steerdsl.store.provenance import Makers

if TYPE_CHECKING:
    from steerdsl.engine.tracing import Session
    from steerdsl.pipeline import Prepared
    from steerdsl.planning.plan import PlanStep

MOST = 100.0  # a weight is at most this, either way: beyond it no model says anything
AMOUNTS = ("by", "alpha")  # the arguments of an operation that its weight multiplies


@dataclass(frozen=True, slots=True)
class Steers:
    """The steers of one recipe by their names. `run` has their values, and the model once it is open."""

    run: Run

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the recipe."""
        return tuple(self.run.steers)

    def only(self) -> str:
        """The name of the one steer that there is. Raises RecipeError R901."""
        if len(self.names) == 1:
            return self.names[0]
        has = ", ".join(f"`{one}`" for one in self.names)
        title = f"this recipe has several steers: {has}" if has else "this recipe has no steer outside of its sweeps"
        help = "name one of them" if has else "write `steer name { … }` in the recipe, outside of sweeps"
        raise RecipeError([Diagnostic("R901", title, help=help)], Exit.USAGE)

    def named(self, name: str) -> Acting:
        """One steer as the recipe has it. Raises RecipeError R901."""
        return acting(self._ops(name), self.run.values, None, self.run.keys)

    def mixed(self, weights: Mapping[str, float]) -> Acting | None:
        """Several steers at once, in the order given; None where nothing is left of them.

        A weight multiplies what an operation has after `by`: 1 leaves a steer as it is, 0 leaves it out. Raises
        RecipeError R901 for a steer that there is not, and R902 for a weight that cannot be.
        """
        return self.made([op for name, weight in weights.items() for op in scaled(name, self._ops(name), weight)])

    def made(self, ops: Sequence[r.Op]) -> Acting | None:
        """What these operations are as a steer; None for no operation. Raises RecipeError R902 where one cannot act."""
        if not ops:
            return None
        made = acting(tuple(ops), self.run.values, None, self.run.keys)
        try:
            compile_rows([made], self.run.plan.model.arch)
        except MethodError as error:
            raise _refused(error.problem, error.way_out) from error
        return made

    def session(self) -> Session:
        """The model, opened now if it is not yet."""
        return self.run.session

    def _ops(self, name: str) -> tuple[r.Op, ...]:
        if name not in self.run.steers:
            raise RecipeError([self._unknown(name)], Exit.USAGE)
        return self.run.steers[name].ops

    def _unknown(self, name: str) -> Diagnostic:
        has = ", ".join(f"`{one}`" for one in self.names)
        if self.names:
            guess = nearest(name, self.names)
            help = f"did you mean `{guess}`?" if guess else f"name one of {has}"
            return Diagnostic("R901", f"there is no steer `{name}`: this recipe has {has}", help=help)
        help = "write `steer name { … }` in the recipe, outside of sweeps"
        return Diagnostic("R901", f"there is no steer `{name}`: this recipe has none outside of its sweeps", help=help)


def ready(prepared: Prepared, progress: StepProgress | None = None, session: Session | None = None) -> Steers:
    """Compute what the steers of a plan need, or take it from the store. `session` is the model where it is open.

    Raises RecipeError as a run does.
    """
    told, plan = progress or Quiet(), prepared.plan
    store = replace(prepared.store, makers=Makers(maker(plan.options)))
    run = Run(plan, store, Path("."), SOURCES, told)
    run.tell = told.say
    if session is not None:
        run.session = session
    make_values(run, partial(_show, told))
    return Steers(run)


def _show(progress: StepProgress, step: PlanStep, seconds: float | None) -> None:
    if seconds is None:
        progress.title(f"{step.verb} {step.name}".rstrip())
    else:
        progress.finished(STORED if step.done else "")


def scaled(name: str, ops: Sequence[r.Op], weight: float) -> list[r.Op]:
    """The operations of a steer with this weight."""
    number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not number or not math.isfinite(weight) or abs(weight) > MOST:
        raise _refused(f"the weight of `{name}` is {weight}", f"give a number from {-MOST:g} to {MOST:g}")
    if weight == 0:
        return []
    return list(ops) if weight == 1 else [_weighted(name, op, weight) for op in ops]


def _weighted(name: str, op: r.Op, weight: float) -> r.Op:
    """An operation whose amounts are multiplied."""
    entry = find("op", op.name)
    amounts = {a.name: op.args.get(a.name, a.default) for a in entry.args if a.name in AMOUNTS}
    if amounts.get("by") is None:
        title = f"`{op.text or op.name}` of `{name}` has no amount that {weight:g} could multiply"
        raise _refused(title, f"give `{name}` the weight 1, or leave it out")
    scaled = {key: _times(value, weight) for key, value in amounts.items() if value is not None}
    return replace(op, args={**op.args, **scaled})


def _times(value: Any, weight: float) -> Any:
    return replace(value, value=value.value * weight) if isinstance(value, r.Strength) else value * weight


def _refused(title: str, help: str) -> RecipeError:
    return RecipeError([Diagnostic("R902", title, help=help)], Exit.USAGE)

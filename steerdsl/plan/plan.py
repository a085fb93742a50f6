"""The plan: every step of a recipe with every default resolved, before any weight is read.

In: made by `planner.make_plan`. Out: printed by `steerdsl plan`, run by the engine, kept in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.recipe import Recipe, Step
from steerdsl.lang.source import Source

if TYPE_CHECKING:
    from steerdsl.data import Data
    from steerdsl.models.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how to run, never what: the options of the command line.

    `model`, `dtype` and `seed` override the recipe's when given; `batch_size` None is the default.
    """

    model: str | None = None
    device: str = "auto"
    dtype: str | None = None
    batch_size: int | None = None
    seed: int | None = None
    on: str = "local"
    offline: bool = False
    allow: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. `facts` are its resolved settings as printed; `key` addresses its result in the
    store (None while the weights are unknown); `done` and `reason` say whether and why it will run;
    `refusal` says why it cannot be executed, for what the language has and this version has not.
    `points` are the planned steps of each point of a sweep."""

    number: int
    verb: str
    name: str
    title: str
    facts: tuple[tuple[str, str], ...]
    step: Step
    key: str | None
    weights: bool
    done: bool = False
    reason: str = ""
    refusal: str | None = None
    points: tuple[tuple[PlanStep, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe made ready to run with these options on this model.

    `model_key` hashes what makes activations; None while the weights are not here.
    """

    recipe: Recipe
    source: Source
    root: Path
    options: RunOptions
    model: ModelFacts
    dtype: str
    batch_size: int
    data: Mapping[str, Data]
    steps: tuple[PlanStep, ...]
    model_key: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The plan as the record keeps it: plain data, in the order of the steps."""
        return {
            "steps": [
                {
                    "number": s.number,
                    "verb": s.verb,
                    "name": s.name,
                    "title": s.title,
                    "settings": [list(fact) for fact in s.facts],
                    "key": s.key,
                    "needs_weights": s.weights,
                }
                for s in self.steps
            ],
            "params": dict(self.recipe.params),
            "batch_size": self.batch_size,
        }

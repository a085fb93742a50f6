"""The plan: every step of a recipe with every default resolved, before any weight is read.

In: made by `planner.make_plan`. Out: printed by `steerdsl plan`, run by the engine, kept in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic
from steerdsl.lang.recipe import Recipe, Step
from steerdsl.lang.source import Source
from steerdsl.plan.controls import Variant

if TYPE_CHECKING:
    from steerdsl.data import Data
    from steerdsl.models.facts import ModelFacts


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how to run, never what: the options of the command line.

    `model`, `dtype` and `seed` override the recipe's when given; `batch_size` None is the default;
    `sets` are values of params as typed after `--set`, kept for the record; `host` is the address of
    an NDIF server, and `insecure` allows one that is not encrypted.
    """

    model: str | None = None
    device: str = "auto"
    dtype: str | None = None
    batch_size: int | None = None
    seed: int | None = None
    on: str = "local"
    offline: bool = False
    allow: tuple[Path, ...] = ()
    keep_unsafe: bool = False
    sets: tuple[str, ...] = ()
    host: str | None = None
    insecure: bool = False
    judge_url: str | None = None
    judge_model: str | None = None


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. `facts` are its resolved settings as printed; `key` addresses its result in the
    store (None while the weights are unknown); `done` and `reason` say whether and why it will run;
    `points` are the planned steps of each point of a sweep, `rows` how many of their answers are made
    at a time (0: none together), `together` what the keys of those say of their batches; `variants`
    are what an evaluation compares."""

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
    points: tuple[tuple[PlanStep, ...], ...] = ()
    variants: tuple[Variant, ...] = ()
    rows: int = 0
    together: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe made ready to run with these options on this model.

    `model_key` hashes what makes activations; None while the weights are not here. `inputs` are the
    SHA-256 of every file that the recipe reads, by the file's path from the recipe's folder. `notices`
    are warnings about the model's files, `warnings` what the data say against the scores that the recipe
    asks for.
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
    inputs: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    notices: tuple[Diagnostic, ...] = ()

    @property
    def chat(self) -> bool:
        """Whether prompts are rendered by a chat template: where the recipe wants it and the model has one."""
        return self.mode == "chat"

    @property
    def mode(self) -> str:
        """How prompts are rendered: `chat`, `none` (also where there is no chat template) or `newline`."""
        asked = self.recipe.model.template
        return "none" if asked == "chat" and self.model.template is None else asked

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
                    **({"fused": s.rows} if s.rows else {}),
                }
                for s in self.steps
            ],
            "params": dict(self.recipe.params),
            "batch_size": self.batch_size,
        }

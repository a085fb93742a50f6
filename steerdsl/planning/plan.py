"""The plan: every step of a recipe with every default resolved, before any weight is read.

In: made by `planner.make_plan`. Out: printed by `steerdsl plan`, run by the engine, kept in the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic
from steerdsl.lang.reads import answered
from steerdsl.lang.recipe import Evaluate, Recipe, Step
from steerdsl.lang.source import Source
from steerdsl.planning.batch_size import answer_rows, logit_rows
from steerdsl.planning.controls import Variant
from steerdsl.planning.requests import Request, SharedBatches

if TYPE_CHECKING:
    from steerdsl.data import Data
    from steerdsl.models.facts import ModelFacts

AUTO = "auto"  # what a record says instead of the batch size that the plan has chosen


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Where and how to run, never what: the options of the command line.

    `model`, `dtype` and `seed` override the recipe's when given; `batch_size` None lets the plan choose;
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
    `points` are the planned steps of each point of a sweep; `variants` are what an evaluation compares,
    `requests` these on each data set; `shared` are the batches of its answers, by the group of a request; `trials`
    plans the points of a search (`searches.TrialPlanner`)."""

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
    requests: tuple[Request, ...] = ()
    shared: Mapping[str, SharedBatches] = field(default_factory=dict)
    trials: Any = field(default=None, compare=False, repr=False)

    @property
    def asked(self) -> tuple[Request, ...]:
        """The requests that are answered; none for an evaluation whose metrics read no answers."""
        return () if isinstance(self.step, Evaluate) and not answered(self.step.metrics) else self.requests


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe made ready to run with these options on this model.

    `batch_size` is the most rows of a batch, None where each batch fits itself. `model_key` hashes what makes
    activations; None while the weights are not here. `inputs` are the SHA-256 of every file that the recipe
    reads, by the file's path from the recipe's folder. `notices` are warnings about the model's files,
    `warnings` what the data say against the scores that the recipe asks for. `others` are the models that metrics name,
    by name (`other_models.OtherModel`).
    """

    recipe: Recipe
    source: Source
    root: Path
    options: RunOptions
    model: ModelFacts
    dtype: str
    batch_size: int | None
    data: Mapping[str, Data]
    steps: tuple[PlanStep, ...]
    model_key: str | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    notices: tuple[Diagnostic, ...] = ()
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chat(self) -> bool:
        """Whether prompts are rendered by a chat template: where the recipe wants it and the model has one."""
        return self.mode == "chat"

    @property
    def mode(self) -> str:
        """How prompts are rendered: `chat`, `none` (also where there is no chat template) or `newline`."""
        asked = self.recipe.model.template
        return "none" if asked == "chat" and self.model.template is None else asked

    @property
    def rows(self) -> int | str:
        """The most rows of a batch as a record says it."""
        return self.batch_size or AUTO

    def answer_rows(self, width: int) -> int:
        """How many answers are made at once whose rows have `width` tokens."""
        return self.batch_size or answer_rows(self.model, self.dtype, width)

    def logit_rows(self, width: int) -> int:
        """How many texts of `width` tokens are read at once whose logits are all needed."""
        fit = logit_rows(int(self.model.config.get_text_config().vocab_size), width)
        return min(fit, self.batch_size or fit)

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
                    **({"rows": max(batch.rows for batch in s.shared.values())} if s.shared else {}),
                }
                for s in self.steps
            ],
            "params": dict(self.recipe.params),
            "batch_size": self.rows,
        }

"""What the planning of one recipe knows so far, which each step of the plan reads and adds to.

In: filled by `planner.make_plan`. Out: content keys, samples and the renderer for the descriptions of steps;
the errors and warnings that they found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.data import Data
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.source import Source, Span
from steerdsl.models.prompts import Renderer
from steerdsl.models.templates import DATE, reads_date
from steerdsl.planning import formatting
from steerdsl.planning.keys import step_key
from steerdsl.planning.leakage import Fitted
from steerdsl.planning.plan import Plan
from steerdsl.planning.requests import SharedBatches
from steerdsl.planning.samples import Sample, samples, samples_key
from steerdsl.store.results import Store, content_key, file_sha256

if TYPE_CHECKING:
    from steerdsl.models.facts import ModelFacts


@dataclass(slots=True)
class Planning:
    """What the planning of one recipe knows so far. `keys` are content keys by name ("data econ" for
    a data set); `named` the steps so far; `shared` the batches of the answers of the steps at hand, by the
    group of a request; `chosen` the layers of selections whose results are in the store; `tests` how many tests the
    claims with a confidence are, once counted."""

    recipe: r.Recipe
    source: Source
    root: Path
    allow: tuple[Path, ...]
    facts: ModelFacts
    dtype: str
    batch_size: int | None
    data: Mapping[str, Data]
    store: Store | None
    keys: dict[str, str] = field(default_factory=dict)
    named: dict[str, r.Step] = field(default_factory=dict)
    judge: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    shared: Mapping[str, SharedBatches] = field(default_factory=dict)
    chosen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    errors: list[Diagnostic] = field(default_factory=list)
    warnings: list[Diagnostic] = field(default_factory=list)
    fitted: Fitted = field(default_factory=Fitted)
    tests: int | None = None
    _renderers: list[Renderer] = field(default_factory=list)
    _samples: dict[tuple[str, str, str | None], tuple[tuple[Sample, ...], str]] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, store: Store | None) -> Planning:
        """The planning of a plan whose steps are to be described, with what the store has."""
        options = plan.options
        about = (plan.recipe, plan.source, plan.root, options.allow, plan.model, plan.dtype, plan.batch_size, plan.data)
        return cls(*about, store, judge=options.judge_model, others=plan.others)

    @property
    def model_key(self) -> str | None:
        """Hash of what makes activations and ends answers: weights, config, dtype, tokenizer, template,
        system prompt. None while the weights are not here, or not hashed yet."""
        located = self.facts.located
        if located.weights_sha256 is None:
            return None
        spec = self.recipe.model
        return step_key(
            "model",
            2,
            {},
            weights=located.weights_sha256,
            config=_text_hash(located.path / "config.json"),
            stops=self.facts.stops.end,
            dtype=self.dtype,
            tokenizer=self.facts.tokenizer_sha256,
            chat_template=self.facts.template_sha256,
            **({"date": DATE.isoformat()} if reads_date(self.facts.template) else {}),
            template=spec.template,
            system=spec.system,
            **({} if spec.thinking is None else {"thinking": spec.thinking}),
            **self._structure(),
            **({} if located.adapter is None else {"adapter": located.adapter.sha256}),
            **({} if located.quantization is None else {"quantization": located.quantization}),
        )

    def step_key(self, op: str, version: int, **parts: Any) -> str | None:
        """The content key of a step that the model computes; None while the model has none."""
        model = self.model_key
        return None if model is None else step_key(op, version, self.keys, model=model, **parts)

    def _structure(self) -> dict[str, str]:
        """What the template writes before an answer where that is more than white space."""
        try:
            opening = None if self.renderer is None else self.renderer.opening
        except RecipeError:  # it is said where prompts are rendered
            opening = None
        return {"opening": opening} if opening and opening.strip() else {}

    def samples(self, ref: r.DataRef) -> tuple[tuple[Sample, ...], str]:
        """What a step sees of a data set, and the hash of its texts. Raises RecipeError D511."""
        place = ref.name, ref.split, ref.side
        if place not in self._samples:
            found = samples(self.data, ref, self.source)
            self._samples[place] = found, self.input_key(ref, found)
        return self._samples[place]

    def input_key(self, ref: r.DataRef, found: Sequence[Sample]) -> str:
        """What keys say of samples: their texts; of answers, the key of the step that makes them, which is known before
        they are."""
        if self.data[ref.name].spec.questions is None:
            return samples_key(found)
        return content_key({"answers": self.keys.get(ref.name, ref.name), "part": ref.split, "side": ref.side})

    def many(self, ref: r.DataRef, found: Sequence[Sample]) -> str:
        """How many prompts a step sees, in words."""
        return self.most(ref) + formatting.count(len(found), "prompt")

    def most(self, ref: r.DataRef) -> str:
        """What stands before the number of prompts: of answers that are not made yet, that is how many there can be."""
        return "at most " if self.data[ref.name].open else ""

    @property
    def renderer(self) -> Renderer | None:
        """How prompts are rendered; None while the tokenizer's files are not here. Raises RecipeError M610."""
        if not self._renderers and self.facts.tokenizer is not None:
            self._renderers.append(Renderer.of(self.recipe.model, self.facts.tokenizer))
        return self._renderers[0] if self._renderers else None

    def say(self, found: Iterable[Diagnostic]) -> None:
        """Keep diagnostics, each once: the points of a sweep have the same."""
        for item in found:
            kept = self.errors if item.severity == "error" else self.warnings
            if item not in kept:
                kept.append(item)

    def error(self, code: str, title: str, span: Span, label: str = "", help: str | None = None) -> None:
        self.errors.append(Diagnostic(code, title, (Label(self.source, span, label),), help=help))


def _text_hash(file: Path) -> str | None:
    """The SHA-256 of a small file, None when there is none."""
    return file_sha256(file) if file.is_file() else None

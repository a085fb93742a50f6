"""The state of one run: the model once it is needed, values so far, results for the record.

In: a plan, a store and a `Watch` that shows progress. Out: filled by the steps, read by the record.
The model is opened on first use: a run whose every result is in the store never loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.remote import Traffic
from steerdsl.engine.values import Values
from steerdsl.lang.recipe import Op, Plot, Steer, VectorExpr
from steerdsl.measure.claims import Claim, judged
from steerdsl.measure.table import Table
from steerdsl.methods.doses import Scale
from steerdsl.methods.finite import NotFinite
from steerdsl.models.cache import Progress, no_progress
from steerdsl.models.prompts import Rendered, Renderer
from steerdsl.planning.plan import Plan, PlanStep
from steerdsl.planning.requests import SharedBatches
from steerdsl.planning.samples import Sample
from steerdsl.store.results import Store
from steerdsl.store.speeds import Measured

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.classify import Labeller
    from steerdsl.engine.judge_client import Judge
    from steerdsl.engine.rubric_marks import Marks
    from steerdsl.engine.tracing import Session
    from steerdsl.planning.targets import Target


@dataclass(slots=True)
class Results:
    """What a run leaves. `scores`: all figures so far. `claims`: by text and point; `verdicts`: those of a run that was
    taken whole from the store. `searches`: what each `tune` tried and chose. `doses`: how much each steer adds.
    `answered`: of each data set of answers the counts, and every answer ("rows"). `rows`: lines of generations.jsonl.
    `failed`: points of sweeps that failed, each with the reason. `notes`: what was verified of exports."""

    scores: Table = field(default_factory=Table)
    rows: list[dict[str, Any]] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)
    planes: dict[str, Any] = field(default_factory=dict)
    claims: dict[Any, Claim] = field(default_factory=dict)
    views: list[tuple[Plot, Any]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judge: dict[str, Any] | None = None
    failed: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    searches: dict[str, dict[str, Any]] = field(default_factory=dict)
    answered: dict[str, dict[str, Any]] = field(default_factory=dict)
    doses: list[dict[str, Any]] = field(default_factory=list)

    @property
    def checks(self) -> list[dict[str, Any]]:
        """The verdicts of the claims so far."""
        return [*self.verdicts, *judged(self.claims.values())]


@dataclass(frozen=True, slots=True)
class Sources:
    """Activations that operations and planes read besides vectors: `samples`, each sample's difference from the
    other class's mean at some layers of a vector, [K, d]; `patches`, those of a patch's prompt at each target;
    `scales`, the lengths that an addition is measured in at a target."""

    samples: Callable[[Run, str, tuple[int, ...]], Tensor]
    patches: Callable[[Run, Op], dict[Target, Tensor]]
    scales: Callable[[Run, VectorExpr, Target], Scale]


@dataclass
class Run:
    """One run of a plan, in which the rows of data sets of answers are once these are made; `planned` is the plan
    without them. `keep` is given each finished batch of answers; `keys` are the content keys of named
    results, by name, as steps are executed; `out` is where plots and exports go; `sources` read further
    activations; `partial` are the lines of the answers that are being made, by request; `shared` are the
    batches of the answers of the step at hand, by group, and `asks` what is answered in them; `unsteered` is
    what metrics have read of the model without edits, by the texts; `tell` is given what the user must know
    once; `opened` is the model once it is open, the same for every copy of the run; `broken` says, by the key
    of answers, why a shared batch gave none; `measured` is how fast tokens were read and made; `readings` are the
    keys under which the store keeps what was read of texts until the run ends; `scales` are the lengths that additions
    are measured in, by their keys."""

    plan: Plan
    store: Store
    out: Path
    sources: Sources
    progress: Progress = no_progress
    keep: Callable[[Sequence[dict[str, Any]]], None] = lambda rows: None
    results: Results = field(default_factory=Results)
    keys: dict[str, str] = field(default_factory=dict)
    steers: dict[str, Steer] = field(default_factory=dict)
    extractions: dict[str, PlanStep] = field(default_factory=dict)
    point: Mapping[str, str] = field(default_factory=dict)
    partial: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    shared: Mapping[str, SharedBatches] = field(default_factory=dict)
    asks: Any = None
    unsteered: dict[Any, list[Any]] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda text: None
    opened: list[Session] = field(default_factory=list)
    broken: dict[str, NotFinite] = field(default_factory=dict)
    measured: Measured = field(default_factory=Measured)
    readings: list[str] = field(default_factory=list)
    scales: dict[str, dict[int, Scale]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.planned = self.plan
        self.results.warnings += [notice.title for notice in self.plan.notices]
        self.values = Values(
            self.plan.model.arch.n_layers,
            samples=partial(self.sources.samples, self),
            patches=partial(self.sources.patches, self),
            scales=partial(self.sources.scales, self),
        )

    def as_now(self) -> Run:
        """The run as it is: names that later steps or points bind again change nothing there."""
        then = replace(self, extractions=dict(self.extractions), steers=dict(self.steers), keys=dict(self.keys))
        then.renderer = self.renderer
        then.values.take(self.values)
        return then

    @property
    def session(self) -> Session:
        """The model, opened now if it is not yet."""
        if not self.opened:
            self.opened.append(self._open())
        return self.opened[0]

    @session.setter
    def session(self, session: Session) -> None:
        self.opened[:] = [session]

    def _open(self) -> Session:
        from steerdsl.engine.tracing import Session
        from steerdsl.engine.unchanged import require_unchanged
        from steerdsl.models.opened import open_model

        options = self.plan.options
        if options.on == "ndif":
            from steerdsl.engine.connect import connect

            session = connect(self.plan, self.progress, self.tell)
            self.results.warnings += session.link.differences() if session.link else []
            return session
        self.progress("loading the model", 0, 0)
        opened = open_model(self.plan.model.located, dtype=self.plan.dtype, device=options.device)
        require_unchanged(self.plan, opened.info)
        return Session(opened, options.on)

    def traffic(self) -> Traffic:
        """What has gone to a server and come from it so far."""
        link = self.session.link if self.opened else None
        return Traffic() if link is None else link.traffic.copy()

    @cached_property
    def judge(self) -> Judge:
        """The LLM judge that the command line names."""
        from steerdsl.engine.judge_client import Judge

        options = self.plan.options
        assert options.judge_url and options.judge_model  # `require_judge` has looked
        return Judge(options.judge_url, options.judge_model, self.store, self.progress)

    @cached_property
    def marks(self) -> Marks:
        """The judges that mark answers by rubrics: that of the command line, and those that the recipe names."""
        from steerdsl.engine.endpoint_judge import EndpointJudge
        from steerdsl.engine.local_judge import LocalJudge
        from steerdsl.engine.rubric_marks import Marks, RubricJudge

        asked: dict[str | None, RubricJudge] = {}

        def judge(name: str | None) -> RubricJudge:
            if name not in asked:
                asked[name] = EndpointJudge(self.judge) if name is None else LocalJudge(self.plan, name, self.progress)
            return asked[name]

        return Marks(judge, self.store, self.progress)

    @cached_property
    def labellers(self) -> dict[str, Labeller]:
        """The classifiers of the recipe, by name."""
        from steerdsl.engine.classify import Labeller

        sorters = (name for name, other in self.plan.others.items() if other.facts is None)
        return {name: Labeller(self.plan, name, self.progress) for name in sorters}

    @cached_property
    def renderer(self) -> Renderer:
        """Renders prompts with the recipe's system prompt and template."""
        spec = self.plan.recipe.model
        rows = self.plan.model.config.get_text_config().vocab_size
        return Renderer.of(spec, self.plan.model.tokenizer, rows)

    def render(self, samples: Sequence[Sample]) -> list[Rendered]:
        """The prompts of some samples, with a pair's answer behind them, or the model's own, token by token."""
        return [
            self.renderer.render(s.prompt, s.response, s.before)
            if s.tokens is None
            else self.renderer.continued(s.prompt, s.tokens, s.row.opening, s.before)
            for s in samples
        ]

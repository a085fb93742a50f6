"""The checked recipe: names resolved, units settled, params substituted, sweeps unrolled.

In: made by `lower` from the syntax tree. Out: read by the planner. It says what, never where: layer
counts, devices and dtypes of the run are not known here, so layers stay as specs. Angles are in
degrees, shares are fractions (40% is 0.4). Every default of the language is already filled in.
The model and the data sets are in `recipe_data`, the values inside steps in `recipe_parts`; all can be imported from
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, TypeAlias

from steerdsl.lang.recipe_data import (
    ANSWER_FORMS,
    FORMS,
    DataRef,
    DataSpec,
    Fields,
    ModelSpec,
    Split,
    Where,
    field_text,
    where_text,
)
from steerdsl.lang.recipe_parts import (
    Condition,
    LayerChoice,
    LayerPoint,
    LayerRange,
    Layers,
    Mean,
    Op,
    Orthogonal,
    Phase,
    PlaneExpr,
    PlaneRef,
    Spanned,
    Stream,
    Strength,
    TuneAxis,
    VectorExpr,
    VectorRef,
    VectorSum,
)
from steerdsl.registry import find

TASK_FILES = (".yaml", ".yml")  # of lm-evaluation-harness


# ---- steps -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """`last_token`, `token -2`, `suffix 5`, …: a registry name of kind "position" and its number."""

    name: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Extract(Spanned):
    """`negative` is None for methods that need none (sae, random). Paired data (`pairs` True) has
    the same data set on both sides with side "positive" and "negative"."""

    name: str
    method: str
    positive: DataRef | None
    negative: DataRef | None
    position: Position = Position("last_token")
    stream: Stream = Stream("resid_post")
    options: Mapping[str, Any] = field(default_factory=dict)
    implied: bool = False  # not bound by the author: the default vector of what follows


@dataclass(frozen=True, slots=True)
class Classes(Spanned):
    """`emotion = extract diffmean from classes of emotions by label`: a vector for each class, called `emotion.joy`."""

    name: str
    data: DataRef
    by: str
    position: Position = Position("last_token")
    stream: Stream = Stream("resid_post")


@dataclass(frozen=True, slots=True)
class ClassAxes(Spanned):
    """`extract pca from emotion with k: 2`: axes over the vectors of classes."""

    name: str
    classes: str
    k: int = 1


@dataclass(frozen=True, slots=True)
class Components(Spanned):
    """`pcs of neutral`: the first `k` principal components of prompts, or those that explain a share."""

    name: str
    data: DataRef
    position: Position
    stream: Stream
    k: int | None = None
    explained: float = 0.5


@dataclass(frozen=True, slots=True)
class EachOrthogonal(Spanned):
    """`orthogonalize emotion against …`: every class's vector."""

    name: str
    classes: str
    against: VectorExpr


@dataclass(frozen=True, slots=True)
class Bind(Spanned):
    """`sum = warm - 0.5 * formal`, `turn = plane(topic, pc1)`."""

    name: str
    value: VectorExpr | PlaneExpr


@dataclass(frozen=True, slots=True)
class Select(Spanned):
    name: str
    vector: str
    criterion: str
    keep: int = 1
    layers: Layers = Layers()  # candidates
    options: Mapping[str, Any] = field(default_factory=dict)
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Steer(Spanned):
    """A named list of operations, `use`d steers already inlined in text order."""

    name: str
    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Generate(Spanned):
    """`steer` None generates unsteered answers. `point` is set inside a sweep."""

    name: str
    data: DataRef
    steer: str | None = None
    max_tokens: int = 64
    temperature: float = 0.0
    n: int = 1
    seed: int = 0
    implied: bool = False


@dataclass(frozen=True, slots=True)
class MetricCall(Spanned):
    """`bleu`, `keyword_rate("econ")`, `lm_eval("task", limit: 100)`: a registry name and options."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What its figures are called in scores and tables, as far as one evaluation has one of them."""
        title = find("metric", self.name).title
        return self.name if title is None else title(self.options)

    @property
    def task(self) -> str | None:
        """What replaces a data set in the scores of `lm_eval`: the name of its task, or
        of its task file without folder and ending. None for metrics of answers."""
        task = self.options.get("task")
        return task if task is None or not is_task_file(task) else PurePosixPath(task).stem


@dataclass(frozen=True, slots=True)
class Kept:
    """`keep when refusal_rate == 0`: what a metric must give for an answer that stays. `side` is "positive" or
    "negative" where only the answers of that side are held to it. A share is a number: 50% is 0.5."""

    metric: MetricCall
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    value: float
    side: str = ""
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Asking:
    """How the questions of one side are asked: each under every one of the system prompts (None is the recipe's own),
    with the words that the answer begins with. In a system prompt `{instruction}` stands for each instruction that a
    trait file has for that side."""

    side: str = ""  # "" for data without sides
    systems: tuple[str | None, ...] = (None,)
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerData(Spanned):
    """`dataset evil = answers to questions with system: "…", n: 10`: the rows of the data set of this name."""

    name: str
    data: DataRef
    asking: tuple[Asking, ...]
    keep: tuple[Kept, ...] = ()
    steer: str | None = None
    max_tokens: int = 64
    temperature: float = 0.0
    n: int = 1
    seed: int = 0


def is_task_file(task: str) -> bool:
    """Whether `lm_eval("…")` names a file and not one of the harness's own tasks."""
    return task.lower().endswith(TASK_FILES)


@dataclass(frozen=True, slots=True)
class Evaluate(Spanned):
    name: str
    steer: str
    data: tuple[DataRef, ...]
    metrics: tuple[MetricCall, ...]
    options: Mapping[str, Any] = field(default_factory=dict)  # named in `vocabulary.EVALUATE`
    implied: bool = False


@dataclass(frozen=True, slots=True)
class Read(Spanned):
    """`read topic[16] on cities`. `position` None is that of the vector's extraction."""

    name: str
    vector: VectorRef
    data: tuple[DataRef, ...]
    position: Position | None = None


READ_FIGURES = ("mean", "sd", "mean_positive", "mean_negative", "sd_positive", "sd_negative", "auroc", "accuracy")


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a sweep: the axes' values as printed ("210deg") and as numbers, and its steps
    (their names are as written; the planner adds the point)."""

    labels: Mapping[str, str]
    values: Mapping[str, float]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Sweep(Spanned):
    name: str  # "sweep_1", …
    axes: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The axes whose values are words, and no numbers."""
        return tuple(axis for axis in self.axes if axis not in self.points[0].values)


@dataclass(frozen=True, slots=True)
class Plot(Spanned):
    """`what` is a registry name of kind "plot"; `target` the vector, selection or score path; `others`
    are further vectors of the same picture."""

    what: str
    target: str
    over: tuple[str, ...] = ()
    polar: bool = False
    path: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Term:
    """`share` times a score: a path (`scores.bleu.econ`, or two vectors' cosine) and the variant whose figure is
    meant: None the steer's, `baseline`, `random` or `prompted`."""

    path: tuple[str, ...] = ()
    share: float = 1.0
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One side of a `check`: a sum of scores and a number. `50% of baseline` compared with `scores.bleu.econ` is one
    term, the baseline's figure at that path times .5."""

    terms: tuple[Term, ...] = ()
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Check(Spanned):
    """A claim; `confidence` is the level at which the prompts must settle it, None where the means decide."""

    left: Figure
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    right: Figure
    confidence: float | None = None
    text: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Export(Spanned):
    what: str
    kind: Literal["vector", "plane", "steer"]
    path: str


@dataclass(frozen=True, slots=True)
class Load(Spanned):
    """`position` chooses among the positions of a file that has several. `rows` says what the rows of a matrix are: a
    stream, or `hidden_states`. `tensor` names one of the tensors of a file that has several."""

    name: str
    path: str
    position: Position | None = None
    rows: str | None = None
    tensor: str | None = None


@dataclass(frozen=True, slots=True)
class Tune(Sweep):
    """A search. Its one point is the body with the axes left open (`lang.tuned`); the points that are tried are
    made of it. `goal` is made as large as it can (`maximize`), or as small, where every one of `limits` holds;
    `text` is the goal as written."""

    space: tuple[TuneAxis, ...] = ()
    goal: Figure = Figure()
    maximize: bool = True
    limits: tuple[Check, ...] = ()
    trials: int = 40
    batch: int = 8
    seed: int = 0
    text: str = field(default="", compare=False)

    @property
    def words(self) -> tuple[str, ...]:
        """A search has ranges of numbers alone."""
        return ()


Step: TypeAlias = (
    Extract
    | Classes
    | ClassAxes
    | Components
    | EachOrthogonal
    | Bind
    | Select
    | Steer
    | Generate
    | AnswerData
    | Evaluate
    | Read
    | Sweep
    | Plot
    | Check
    | Export
    | Load
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole checked file. `params` are the values in force, `--set` applied, as printed."""

    edition: int
    model: ModelSpec
    data: Mapping[str, DataSpec]
    steps: tuple[Step, ...]
    params: Mapping[str, str] = field(default_factory=dict)

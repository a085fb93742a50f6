"""record.json as a type; docs/run-directory.md says what each value means.

In: a record as it was read. Out: `Record`, by which the type checker knows each value, and `RECORD`, the form that is
made of it, to which every record is held before anything looks at it. A name that older versions did not write is
`NotRequired`. Names that are not here may be there, since readers accept what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypeAlias, TypedDict

from steerdsl.forms.form import EACH, Either, Maybe, Such
from steerdsl.forms.typed import form_of

SCHEMA = 1
SCALAR = str | int | float | bool | None
NUMBER = float | None  # null where there is none
At: TypeAlias = dict[str, str]  # a point of a sweep, axis by axis
State: TypeAlias = Literal["complete", "check failed", "check not settled", "failed", "interrupted"]
Scalar: TypeAlias = str | int | float | bool | None


class RecordedRecipe(TypedDict):
    name: str
    text: str
    sha256: str
    folder: NotRequired[str]


class RecordedStep(TypedDict):
    number: int
    verb: str
    name: str
    title: str
    settings: Annotated[list[list[str]], [(str, str)]]
    key: str | None


class RecordedPlan(TypedDict):
    params: dict[str, object]
    steps: list[RecordedStep]


class RecordedTiming(TypedDict):
    step: int
    verb: str
    name: str
    seconds: float
    requests: NotRequired[int]
    sent: NotRequired[int]
    received: NotRequired[int]


class RecordedModel(TypedDict):
    id: str
    source: str
    n_layers: int
    d_model: int
    revision: str | None
    weights_sha256: str | None
    dtype: str | None
    family: str | None
    tokenizer_sha256: str | None
    template_sha256: str | None
    path: str | None
    adapter: NotRequired[str | None]
    adapter_revision: NotRequired[str | None]
    adapter_sha256: NotRequired[str | None]
    quantization: NotRequired[str | None]


class RecordedOptions(TypedDict):
    on: str
    device: str
    dtype: str
    batch_size: Annotated[int | str, Either((range(1, 1 << 31), re.compile("auto")))]
    seed: int | None
    set: list[str]
    model: str | None
    judge_model: str | None
    keep_unsafe: bool


_DATA: Mapping[str, Any] = {
    **{"source": str, "sha256": str, "rows": int, "ids": [str], "fields": {EACH: str}},
    **{"seed": Maybe(int | None), "held_out": Maybe(NUMBER)},
    EACH: SCALAR,
}


class _Choice(TypedDict):
    vector: str
    criterion: str
    chosen: list[int]
    order: list[int]
    layers: list[int]
    score: list[float | None]
    figures: dict[str, list[float | None]]
    notes: list[str]


def _aligned(choice: Mapping[str, Any]) -> bool:
    """Whether a choice has one figure and one score for each layer."""
    return all(len(row) == len(choice["layers"]) for row in (choice["score"], *choice["figures"].values()))


CHOICE = Such(form_of(_Choice), _aligned, "a choice with one figure for each layer")


class RecordedTrial(TypedDict):
    at: At
    values: dict[str, float]
    layers: dict[str, int]
    goal: float | None
    over: list[float | None]
    holds: list[bool]
    feasible: bool
    failed: str | None


class RecordedRange(TypedDict):
    axis: str
    start: str
    stop: str
    low: float
    high: float
    trials: int
    below: str | None
    above: str | None


class RecordedSearch(TypedDict):
    goal: str
    limits: list[str]
    axes: dict[str, dict[str, Scalar]]
    seed: int
    evaluations: list[str]
    trials: list[RecordedTrial]
    best: RecordedTrial | None
    ranges: list[RecordedRange]
    notes: list[str]


class RecordedAnswers(TypedDict):
    made: int
    kept: int
    kept_by_side: NotRequired[dict[str, int]]
    dropped: dict[str, int]


class RecordedDose(TypedDict):
    steer: str
    operation: str
    stream: str
    layers: list[int]
    raw: list[float | None]
    share: list[float | None]
    sd: list[float | None]
    dose: list[float | None]
    why: str
    at: At


class RecordedCheck(TypedDict):
    claim: str
    holds: bool | None
    left: float | None
    right: float | None
    by: NotRequired[float | None]
    low: NotRequired[float | None]
    high: NotRequired[float | None]
    p: NotRequired[float | None]
    p_holm: NotRequired[float | None]
    family: NotRequired[float | None]
    confidence: NotRequired[float | None]
    needs: NotRequired[float | None]
    at: At


class RecordedReused(TypedDict):
    step: int
    kind: str
    made_with: dict[str, str]


_FAULTS = Maybe({EACH: int})
_MARKED = {"judge": str, "local": bool, "rubric": str, "scale": [float], "faults": _FAULTS, EACH: SCALAR}
_AGREED = {"rubric": str, "judges": [str], "weighted_kappa": NUMBER, "n": int}
JUDGE = {"faults": _FAULTS, "rubrics": Maybe([_MARKED]), "agreement": Maybe([_AGREED]), EACH: SCALAR}


class Record(TypedDict):
    """What a run was, on what, and how it ended."""

    schema: Annotated[int, Such(int, lambda found: found == SCHEMA, f"{SCHEMA}, the schema that this version reads")]
    state: Annotated[State, str]
    reached: str
    error: NotRequired[str | None]
    started: str
    seconds: float
    timings: list[RecordedTiming]
    warnings: list[str]
    notes: NotRequired[list[str]]
    judge: NotRequired[Annotated[dict[str, Any] | None, Either((JUDGE, None))]]
    recipe: RecordedRecipe
    inputs: dict[str, str]
    plan: RecordedPlan
    model: RecordedModel
    template: dict[str, str | None]
    data: Annotated[dict[str, dict[str, Any]], {EACH: _DATA}]
    run: RecordedOptions
    packages: dict[str, str]
    machine: dict[str, Scalar]
    choices: Annotated[dict[str, _Choice], {EACH: CHOICE}]
    planes: NotRequired[Annotated[dict[str, dict[str, Any]], {EACH: {"explained": Maybe(NUMBER), EACH: object}}]]
    searches: NotRequired[dict[str, RecordedSearch]]
    answers: NotRequired[dict[str, RecordedAnswers]]
    doses: NotRequired[list[RecordedDose]]
    checks: list[RecordedCheck]
    reused_from: NotRequired[list[RecordedReused]]
    files: NotRequired[dict[str, str]]


RECORD: Mapping[str, Any] = form_of(Record)

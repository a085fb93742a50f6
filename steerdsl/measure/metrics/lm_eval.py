"""What lm-evaluation-harness finds, document by document.

In: the harness's own value of each document and the figure that it makes of them. Out: `Figures` with
the same mean, so that intervals and tests are those of every other metric. The harness itself runs in
`engine.harness`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from steerdsl.lang.recipe import TASK_FILES
from steerdsl.measure.answers import Answers, Figures
from steerdsl.registry import Arg, Entry

_LARGEST = 700.0  # exp of more overflows


def figures(metric: str, values: Sequence[Any], total: float) -> Figures | None:
    """The values as figures whose mean is `total`, the harness's own; None where they have no such mean.

    Values are numbers, log-likelihoods of answers (its `perplexity`), or pairs of a log-likelihood and
    a number of words or bytes (`word_perplexity`, `byte_perplexity`, `bits_per_byte`).
    """
    for found in _readings(metric, values):
        if math.isclose(_mean(found), total, rel_tol=1e-6, abs_tol=1e-9):
            return found
    return None


def _readings(metric: str, values: Sequence[Any]) -> list[Figures]:
    """Everything that the values may be."""
    if all(isinstance(v, int | float) for v in values):
        plain = [float(v) for v in values]
        share = metric.startswith(("acc", "exact_match")) and set(plain) <= {0.0, 1.0}
        likely = [math.exp(min(_LARGEST, -v)) for v in plain]
        return [Figures(plain, "rate" if share else "arithmetic"), Figures(likely, "geometric")]
    if all(isinstance(v, tuple) and len(v) == 2 and all(isinstance(x, int | float) for x in v) for v in values):
        weights = [float(n) for _, n in values]
        per = [-v / n if n else 0.0 for v, n in values]
        return [
            Figures([math.exp(min(_LARGEST, x)) for x in per], "geometric", weights),
            Figures([x / math.log(2) for x in per], "arithmetic", weights),
        ]
    return []


def _mean(found: Figures) -> float:
    weights = found.weights or [1.0] * len(found.values)
    values = [math.log(v) for v in found.values] if found.mean == "geometric" else found.values
    mean = math.fsum(v * w for v, w in zip(values, weights, strict=True)) / (math.fsum(weights) or math.nan)
    return math.exp(min(_LARGEST, mean)) if found.mean == "geometric" else mean


def run(answers: Answers, **options: Any) -> Figures:
    """The harness's values; the options have said which before it ran."""
    assert answers.documents is not None
    return answers.documents


ENTRY = Entry(
    kind="metric",
    headline=True,
    name="lm_eval",
    summary="a task of lm-evaluation-harness, run by its own code; most figures are 0 to 1, higher is better",
    run=run,
    args=(
        Arg(
            "task",
            "text",
            doc="a task or group that the harness knows, or a task file (.yaml) of the recipe",
            files=TASK_FILES,
        ),
        Arg("limit", "int", None, "use only the first documents of each task, this many", least=1),
        Arg("num_fewshot", "int", None, "solved examples before each question; by default the task's own", least=0),
        Arg("chat_template", "flag", False, "`true`: use the model's chat template, as the harness applies it"),
        Arg("metric", "text", None, 'a metric of the task other than its first, as in "acc_norm"'),
    ),
    paper="Biderman et al. 2024, Lessons from the Trenches on Reproducible Evaluation of Language Models",
    example='evaluate forgetful with lm_eval("mmlu_high_school_macroeconomics", limit: 100)',
    needs=frozenset({"harness"}),
    version=2,  # 1: documents of a pass that was not finite could be among them
    aliases=("harness", "mmlu", "lm_evaluation_harness", "lm_harness"),
)

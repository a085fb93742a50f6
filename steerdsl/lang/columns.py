"""The columns that an evaluation has in the table of its scores.

In: an `Evaluate` of a recipe, or its metrics. Out: names of metrics, and pairs of a metric and what it has figures of.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.lang.recipe import Evaluate, MetricCall
from steerdsl.registry import find


def labels(metrics: Sequence[MetricCall]) -> tuple[str, ...]:
    """What each metric is called in tables and in `scores.NAME`: its name; where a recipe uses one
    metric with several options, the options too."""
    names = [call.label for call in metrics]
    return tuple(
        name if names.count(name) == 1 else _with_options(call) for name, call in zip(names, metrics, strict=True)
    )


def columns(step: Evaluate) -> tuple[tuple[str, str], ...]:
    """Each metric with each data set, as `scores.json` has them; a task of `lm_eval` is in the data sets' place."""
    asked = labels([call for call in step.metrics if call.task is None])
    tasks = ((call.label, call.task) for call in step.metrics if call.task is not None)
    return *((label, ref.label) for label in asked for ref in step.data), *tasks


def _with_options(call: MetricCall) -> str:
    known = [arg.name for arg in find("metric", call.name).args]
    said = {key: value for key, value in call.options.items() if key in known or call.task is not None}
    options = ", ".join(f"{key}: {value}" for key, value in said.items())
    return f"{call.name}({options})" if options else call.name

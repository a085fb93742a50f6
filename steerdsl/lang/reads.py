"""What the metrics of a step read, by what their registry entries need.

In: the metrics. Out: whether answers have to be generated for them, or what else they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steerdsl.lang.recipe import AnswerData, Evaluate, MetricCall, Step, Sweep
from steerdsl.registry import find

# What a metric reads instead of answers: the likelihoods of letters and of the data set's own text;
# lm-evaluation-harness asks for itself.
UNANSWERED = frozenset({"letters", "text", "harness"})


# What a metric may read that one answer and its question's row have. A metric that reads more than the answer itself
# and is to be a condition of `keep when` names what it reads here, and `engine.answer_figures` supplies it.
ALONE = frozenset({"golds", "ended", "marks", "classes"})


def metrics_of(step: Step) -> tuple[MetricCall, ...]:
    """The metrics that a step asks: those of an evaluation, and those by which answers are kept."""
    match step:
        case Evaluate(metrics=metrics):
            return metrics
        case AnswerData(keep=keep):
            return tuple(test.metric for test in keep)
    return ()


def of_one_answer(metric: str) -> bool:
    """Whether a metric gives one answer a number by itself: without other answers and without the model."""
    return find("metric", metric).needs <= ALONE


def needs(metrics: Sequence[MetricCall], what: str) -> bool:
    """Whether any metric reads `what`."""
    return any(what in find("metric", call.name).needs for call in metrics)


def asks_endpoint(metrics: Sequence[MetricCall]) -> bool:
    """Whether any metric asks the judge that the command line names."""
    marked = (call for call in metrics if "marks" in find("metric", call.name).needs)
    return needs(metrics, "judge") or any(call.options.get("judge") is None for call in marked)


def answered(metrics: Sequence[MetricCall]) -> bool:
    """Whether any metric reads answers to the prompts."""
    return any(not UNANSWERED & find("metric", call.name).needs for call in metrics)


def calls(steps: Sequence[Step]) -> Iterator[MetricCall]:
    """The metrics of every evaluation and of every condition of `keep when`, those of a sweep's points too."""
    for step in steps:
        yield from metrics_of(step)
        if isinstance(step, Sweep):
            for point in step.points:
                yield from calls(point.steps)

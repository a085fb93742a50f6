"""What metrics give single answers, for `keep when`.

In: answers with the rows of their questions, and metrics that score one answer by itself. Out: a number for each, nan
where a metric gives none. A metric that reads more than `lang.reads.ALONE` names gets it here.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer
from steerdsl.lang.recipe import MetricCall
from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.scores import score
from steerdsl.planning.samples import Sample


def figures(
    run: Run, calls: Sequence[MetricCall], found: Sequence[Sample], said: Sequence[str], made: Sequence[Answer]
) -> list[Figures]:
    """The figures of each metric, one value an answer: `said` is the whole answer to the prompt of each sample, with
    the words that it was given to begin with; `made` what the model added."""
    given = Answers(
        prompts=[sample.prompt for sample in found],
        hypotheses=said,
        token_ids=[answer.token_ids for answer in made],
        ended=[answer.ended for answer in made],
        golds=[sample.row.answer for sample in found],
        choices=[sample.row.choices for sample in found],
    )
    return [next(iter(score([call], given).values())).figures for call in calls]

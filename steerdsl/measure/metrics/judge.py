"""Marks of an LLM judge, from 1 to 5, by the five criteria of the slides.

In: answers with judgements. Out: one mark a prompt, nan where the judge gave none.
"""

from __future__ import annotations

from functools import partial

from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.judge import CRITERIA, HIGH, LOW, VERSION
from steerdsl.registry import Entry


def run(answers: Answers, *, criterion: str) -> Figures:
    """The judge's marks by one criterion. Both answers of a pair, the unsteered and the other, are shown
    in both orders without saying which is which; a mark is the mean of the two."""
    return Figures(
        list(answers.judgements[criterion]), reason="the judge's replies had no marks (`judge` of the record)"
    )


ENTRIES = tuple(
    Entry(
        kind="metric",
        headline=True,
        name=f"judge_{name}",
        summary=f"a judge's mark, 1 to 5, higher is better: {meaning}",
        run=partial(run, criterion=name),
        paper='slides "Residual Activation Steering": judged scores; Zheng et al. 2023, Judging LLM-as-a-Judge',
        example=f"evaluate forgetful on econ with judge_{name}",
        needs=frozenset({"judge"}),
        version=VERSION,
        least=LOW,
        most=HIGH,
    )
    for name, meaning in CRITERIA.items()
)

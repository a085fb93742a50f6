"""What the metrics of n-gram overlap share.

In: answers with references, and a function that scores one answer. Out: figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from steerdsl.measure.answers import NONE, Answers, Figures


def against_references(answers: Answers, sentence: Callable[[str, Sequence[str]], float]) -> Figures:
    """Score each answer against its references, 0 to 100; nan without references, or where `sentence` says so.

    Two empty answers are identical, so they score 100; the libraries would say 0.
    """
    values = []
    for hypothesis, references in zip(answers.hypotheses, answers.references, strict=True):
        if not references:
            values.append(NONE)
        elif not hypothesis.strip():
            values.append(100.0 if any(not reference.strip() for reference in references) else 0.0)
        else:
            values.append(sentence(hypothesis, references))
    return Figures(values)

"""Rubrics that come with the package, each with its scale and its source.

In: nothing. Out: `READY` by name. The wording is ours unless it says otherwise; the question is the source's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

VERSION = 1  # raise it when the wording of AxBench's three changes; that of others enters keys
SLIDES = 'slides "Residual Activation Steering", whose questions these are word by word; the scale 1 to 5 is ours'
PERSONA = "Chen et al. 2025, Persona Vectors: coherence, 0 to 100"
AXBENCH = "Wu et al. 2025, AxBench: 0 to 2"


class Ready(NamedTuple):
    """A rubric, its scale and where its question comes from."""

    text: str
    scale: tuple[float, float]
    source: str


_BOTH = "\n\nQuestion:\n<<<\n{question}\n>>>\n\nAnswer:\n<<<\n{answer}\n>>>"
_ANSWER = "\n\nText:\n<<<\n{answer}\n>>>"


def _slide(question: str) -> Ready:
    grades = "Grade from 1 (not at all) to 5 (fully)."
    return Ready(f"Grade an answer to a question by this criterion: {question} {grades}{_BOTH}", (1.0, 5.0), SLIDES)


READY: Mapping[str, Ready] = MappingProxyType(
    {
        "coherence": Ready(
            "Grade how coherent an answer to a question is, whatever its tone and whether or not you agree with it. "
            "100 is an answer in clear, well formed sentences that stays with the question; 50 is one that is hard to "
            "follow or drifts away from it; 0 is text without sense, such as repeated words or random characters."
            + _BOTH,
            (0.0, 100.0),
            PERSONA,
        ),
        "fluency": Ready(
            "Grade how fluent a text is, whatever it is about and whether or not it is true. 2 is fluent, natural "
            "language; 1 is language that can be read and has faults, such as repetition or odd phrases; 0 is language "
            "that cannot be read." + _ANSWER,
            (0.0, 2.0),
            AXBENCH,
        ),
        "instruction": Ready(
            "Grade how far an answer is about what its instruction asks, whatever its quality. 2 is an answer to the "
            "instruction; 1 is one that touches it or answers a part of it; 0 is one that has nothing to do with it. "
            "An answer that brings in another topic as well is graded by what it says to the instruction." + _BOTH,
            (0.0, 2.0),
            AXBENCH,
        ),
        "slides_accuracy": _slide("is the answer correct for the question?"),
        "slides_specificity": _slide(
            "does the text contain terms that are beyond a typical high school macroeconomics curriculum?"
        ),
        "slides_complexity": _slide("is the language suitable for high school students?"),
        "slides_clarity": _slide("is the text well organised and easy to understand?"),
        "slides_consistency": _slide("is the answer relevant and directly addressing the question?"),
    }
)
# AxBench's first question; `{concept}` is put in from the metric's option, before the rubric is used.
CONCEPT = Ready(
    "Grade how much a text speaks of a concept, whatever its quality. 2 is a text in which the concept is clear and "
    "plays a main part; 1 is one in which it is present and minor or partial; 0 is one without it.\n\n"
    "Concept:\n<<<\n{concept}\n>>>" + _ANSWER,
    (0.0, 2.0),
    AXBENCH,
)


def names() -> tuple[str, ...]:
    """The names of the ready rubrics."""
    return tuple(READY)

"""How many letters an answer has.

In: answers. Out: a count for each.
"""

from __future__ import annotations

from steerdsl.measure.answers import Answers, Figures
from steerdsl.registry import Arg, Entry


def run(answers: Answers, of: str = "any") -> Figures:
    """Letters of each answer, or vowels alone."""
    kept = str.isalpha if of == "any" else "aeiouAEIOU".__contains__
    return Figures([float(sum(map(kept, text))) for text in answers.hypotheses])


ENTRY = Entry(
    "metric",
    "letters",
    "letters of the answer; more are longer answers",
    run,
    args=(Arg("of", "word", "any", "which letters count", ("any", "vowels")),),
    example="evaluate forgetful on econ with letters(of: vowels)",
)

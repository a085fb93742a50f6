"""chrF of each answer against the unsteered answers: works in any script, where ROUGE does not.

In: answers with references. Out: figures from 0 to 100.
"""

from __future__ import annotations

from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.overlap import against_references
from steerdsl.registry import Entry


def run(answers: Answers) -> Figures:
    """Sentence chrF2 by sacrebleu: characters up to 6, no words, β = 2, the best reference."""
    from sacrebleu.metrics.chrf import CHRF

    chrf = CHRF(char_order=6, word_order=0, beta=2)
    return against_references(answers, lambda hypothesis, refs: chrf.sentence_score(hypothesis, list(refs)).score)


ENTRY = Entry(
    kind="metric",
    name="chrf",
    summary="character overlap with the unsteered answers in any script, 0 to 100; lower is more changed",
    run=run,
    formula="(1 + β²)·P·R / (β²·P + R), P and R averaged over n = 1 to 6 characters, β = 2",
    paper="Popović 2015, chrF: character n-gram F-score for automatic MT evaluation",
    example="evaluate forgetful on econ.held_out with chrf",
    needs=frozenset({"references"}),
    aliases=("chrf_plus_plus",),
    least=0,
    most=100,
)

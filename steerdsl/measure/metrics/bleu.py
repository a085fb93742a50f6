"""BLEU of each answer against the unsteered answers to the same prompt.

In: answers with references. Out: figures from 0 to 100.
"""

from __future__ import annotations

from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.overlap import against_references
from steerdsl.registry import Entry


def run(answers: Answers) -> Figures:
    """Sentence BLEU by sacrebleu: tokenizer 13a, exponential smoothing, effective order (an answer
    of fewer than four words is scored on the n-grams that it has)."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(tokenize="13a", smooth_method="exp", effective_order=True)
    # exp(log 1) is a rounding above 1 for some lengths, and a claim may say `<= 100`.
    return against_references(answers, lambda text, refs: min(100.0, bleu.sentence_score(text, list(refs)).score))


ENTRY = Entry(
    kind="metric",
    name="bleu",
    summary="n-gram overlap with the unsteered answers, 0 to 100; 100 is an identical answer, lower is more changed",
    run=run,
    formula="BP · exp(Σₙ ¼ log pₙ), n = 1 to 4",
    paper="Papineni et al. 2002, BLEU; Post 2018, A Call for Clarity in Reporting BLEU Scores",
    example="evaluate forgetful on econ.held_out with bleu",
    needs=frozenset({"references"}),
    aliases=("sacrebleu",),
    least=0,
    most=100,
)

"""ROUGE-1, -2 and -L: overlap with the unsteered answers, and recall of a human summary.

In: answers with references, or with gold answers. Out: figures from 0 to 100. Words are stemmed by
Porter's rules; everything but a-z and 0-9 is dropped, so texts of other scripts have no figure (see `chrf`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.ngrams import JUDGED, plain
from steerdsl.measure.overlap import against_references
from steerdsl.registry import Entry, GoldReader

_KINDS = {"rouge1": "single words", "rouge2": "pairs of words", "rougeL": "the longest common subsequence of words"}
UNREAD = "ROUGE reads the letters a to z and digits alone; `chrf` and `bleu` compare texts of any script"
_PAPER = "Lin 2004, ROUGE: A Package for Automatic Evaluation of Summaries"


def overlap(answers: Answers, kind: str) -> Figures:
    """The F-measure of ROUGE `kind` ("rouge1", "rouge2", "rougeL") with the best reference; nan for an answer
    and a reference of which it can read neither."""

    def best(text: str, refs: Sequence[str]) -> float:
        if not plain(text) and any(ref.strip() and not plain(ref) for ref in refs):
            return NONE
        return 100 * max(float(_score(kind, ref, text).fmeasure) for ref in refs)

    return replace(against_references(answers, best), reason=UNREAD)


def recall(answers: Answers, kind: str) -> Figures:
    """The share of the gold answer that ROUGE `kind` finds in the answer; nan without a gold answer that it
    can read."""
    pairs = zip(answers.hypotheses, answers.golds, strict=True)
    values = [100 * _score(kind, g, text).recall if g is not None and plain(g) else NONE for text, g in pairs]
    return Figures(
        values, reason="the row has no answer, or one that ROUGE cannot read: it reads a to z and 0 to 9 alone"
    )


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(_KINDS), use_stemmer=True)


def _score(kind: str, target: str, prediction: str) -> Any:
    return _scorer().score(target, prediction)[kind]


def _name(kind: str) -> str:
    """`rouge_1`, `rouge_l`: the library's names with the language's underscore."""
    return kind.replace("rouge", "rouge_").lower()


def _overlap_entry(kind: str) -> Entry:
    name = _name(kind)
    return Entry(
        kind="metric",
        name=name,
        summary=f"overlap of {_KINDS[kind]} with the unsteered answers, 0 to 100; lower is more changed",
        run=partial(overlap, kind=kind),
        formula="2·P·R / (P + R), the best of the references",
        paper=_PAPER,
        example=f"evaluate forgetful on econ.held_out with {name}",
        needs=frozenset({"references"}),
        version=2,
        aliases=("rouge", "rougel") if kind == "rougeL" else (name.replace("_", ""),),
        least=0,
        most=100,
    )


def _recall_entry(kind: str) -> Entry:
    name = f"{_name(kind)}_recall"
    return Entry(
        kind="metric",
        headline=True,
        name=name,
        summary=f"share of a human summary found in the answer by {_KINDS[kind]}, 0 to 100; higher is better",
        run=partial(recall, kind=kind),
        formula="matches / units of the summary",
        paper=_PAPER,
        example=f"evaluate forgetful on posts with {name}",
        needs=frozenset({"golds"}),
        reads_gold=lambda _: GoldReader(plain, "the letters a to z and digits", lambda _: JUDGED),
        version=2,
        least=0,
        most=100,
    )


ENTRIES = (*map(_overlap_entry, _KINDS), *map(_recall_entry, _KINDS))

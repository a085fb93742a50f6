"""The probability that a classifier gives an answer for a label.

In: answers with probabilities. Out: one figure a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steerdsl.measure.answers import Answers, Figures
from steerdsl.registry import Arg, Entry

TOO_LONG = "the text is longer than the classifier reads"


def run(answers: Answers, **options: Any) -> Figures:
    """p(label) of each answer."""
    return Figures(list(answers.marks[asked(options)]), reason=TOO_LONG)


def asked(options: Mapping[str, Any]) -> tuple[str, str, str]:
    """What is asked of which model: its name, the label, and what it reads."""
    return str(options["model"]), str(options["label"]), str(options.get("reads", "answer"))


def title(options: Mapping[str, Any]) -> str:
    """`classifier_toxic`."""
    return "classifier_" + re.sub(r"\W", "_", str(options["label"]), flags=re.ASCII)


ENTRY = Entry(
    kind="metric",
    headline=True,
    name="classifier",
    summary="the probability that a classifier gives an answer for a label, 0 to 1; higher is more like the label",
    run=run,
    args=(
        Arg("model", "text", doc="a model for sequence classification: a hub id or a folder"),
        Arg("label", "text", doc="the label whose probability is read, as the model's config names it"),
        Arg("reads", "word", "answer", "the answer alone, or question and answer as a pair", ("answer", "both")),
    ),
    formula="softmax of the logits at the label; sigmoid where several labels may hold at once",
    when="For traits that a trained classifier knows, such as toxicity. Its figures are called `classifier_` and the "
    "label's name.",
    paper="Gehman et al. 2020, RealToxicityPrompts: a classifier's probability as the score of a text",
    example='evaluate open on harmful with classifier("cardiffnlp/twitter-roberta-base-offensive", "offensive")',
    needs=frozenset({"classes"}),
    version=1,
    least=0,
    most=1,
    title=title,
)

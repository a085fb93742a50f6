"""What a metric is given and what it gives back.

In: the engine fills `Answers` for one variant (the baseline, a steer) on one data set. Out: a
metric returns `Figures`, one value a prompt and how they are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

NONE = math.nan
ANYTHING = (-math.inf, math.inf)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one variant to n prompts; every sequence has n items or, if not filled, none.

    hypotheses: the answers to be scored. references: for each prompt the K unsteered answers that
    they are compared with. token_ids: the tokens generated. ended: whether the end token came
    before `max_tokens`. golds, choices: what the data set says is right, and the options;
    rights: which of them is right, counted from 0.

    logprobs: for metrics whose entry needs "logprobs"; the entry's `needs` names the keys as well.
    Each value has one array a prompt, and is read once and in order (so it may be made on the way).
      "text"         [T]     log p of each token of the data set's own text, this variant
      "answer"       [T]     log p of each token of the unsteered answer, this variant
      "answer_base"  [T]     the same, unsteered model
      "kl"           [T]     nats from the unsteered model's next-token distributions to this
                             variant's, along the unsteered answer
      "letters FORM" [K]     log p of each option's letter after the question in that form, this variant

    unread: why there is no text to read of an answer, or of all that it is compared with; None where there is one.

    judgements: for metrics that need "judge": criterion -> marks, one a prompt.
    marks: for metrics that need "marks": (judge, rubric) -> marks, one a prompt, nan where there is none.
    documents: for `lm_eval`, what lm-evaluation-harness found for each of its documents.
    """

    prompts: Sequence[str]
    hypotheses: Sequence[str]
    references: Sequence[Sequence[str]] = ()
    token_ids: Sequence[Sequence[int]] = ()
    ended: Sequence[bool] = ()
    golds: Sequence[str | None] = ()
    choices: Sequence[Sequence[str]] = ()
    rights: Sequence[int | None] = ()
    logprobs: Mapping[str, Iterable[Any]] = field(default_factory=dict)
    judgements: Mapping[str, Sequence[float]] = field(default_factory=dict)
    documents: Figures | None = None
    unread: Sequence[str | None] = ()
    marks: Mapping[Any, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Figures:
    """A metric's values, one a prompt (nan where there is none, and `reason` says why).

    mean: "arithmetic"; "rate" for values of 0 or 1, whose intervals and tests are those of counts;
    "geometric" for perplexities. weights: tokens behind each value, where the mean is over tokens. bounds: the least
    and the most that a value can be, which intervals keep to; the registry knows them.
    """

    values: list[float]
    mean: Literal["arithmetic", "rate", "geometric"] = "arithmetic"
    weights: list[float] | None = None
    reason: str | None = field(default=None, compare=False)
    bounds: tuple[float, float] = field(default=ANYTHING, compare=False)

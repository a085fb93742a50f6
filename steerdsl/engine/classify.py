"""The probability of a label for each answer, by a classifier that the run opens.

In: a classifier of the plan, texts. Out: probabilities; nan for a text that is longer than the classifier reads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from steerdsl.models.cache import Progress
from steerdsl.models.classifiers import Classifier, open_classifier, read_labels
from steerdsl.planning.plan import Plan

ROWS = 16


class Labeller:
    """The classifier `name` of a recipe, in the dtype and on the device of the run, opened when it is first asked."""

    def __init__(self, plan: Plan, name: str, progress: Progress) -> None:
        self.name, self._plan, self._progress = name, plan, progress
        self._located = plan.others[name].located
        self._known: dict[tuple[str, ...], list[float] | None] = {}

    @cached_property
    def _opened(self) -> Classifier:
        self._progress(f"loading {self.name}", 0, 0)
        return open_classifier(self._located, self._plan.dtype, self._plan.options.device)

    def probabilities(self, label: str, texts: Sequence[tuple[str, ...]]) -> list[float]:
        """p(label) of each text, which is one or a pair."""
        place = read_labels(self._located).place(label)
        assert place is not None  # the plan has looked
        todo = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._classify(sorted(todo, key=lambda text: -sum(map(len, text))))
        found = [self._known[text] for text in texts]
        return [math.nan if row is None else row[place] for row in found]

    def _classify(self, texts: Sequence[tuple[str, ...]]) -> None:
        pads = self._opened.tokenizer.pad_token_id is not None and self._opened.model.config.pad_token_id is not None
        size = (self._plan.batch_size or ROWS) if pads else 1
        fits = [text for text in texts if self._fits(text)]
        self._known.update(dict.fromkeys(texts))
        for start in range(0, len(fits), size):
            self._progress(f"classified by {self.name}", start, len(fits))
            part = fits[start : start + size]
            self._known.update(zip(part, self._batch(part, pads), strict=True))

    def _fits(self, text: tuple[str, ...]) -> bool:
        longest = self._opened.longest
        return longest is None or len(self._opened.tokenizer(*text, verbose=False)["input_ids"]) <= longest

    def _batch(self, texts: Sequence[tuple[str, ...]], pads: bool) -> list[list[float]]:
        import torch

        columns: list[list[str]] = [list(column) for column in zip(*texts, strict=True)]
        given: Any = self._opened.tokenizer(*columns, padding=pads, return_tensors="pt")
        with torch.no_grad():
            logits = self._opened.model(**given.to(self._opened.model.device)).logits.float().cpu().double()
        several = read_labels(self._located).several
        found: list[list[float]] = (logits.sigmoid() if several else logits.softmax(-1)).tolist()
        return found

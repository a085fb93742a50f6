"""Which texts a step sees: rows of a data set as prompts, with the answers of pairs.

In: loaded data and a `DataRef`. Out: `Sample`s in file order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steerdsl.data import Data, DataRow, rows
from steerdsl.data.types import Turn
from steerdsl.lang.recipe import DataRef, Extract
from steerdsl.lang.source import Source
from steerdsl.registry import find
from steerdsl.store.results import content_key

RESPONSE_TOKENS = 32  # how much of the model's own answer is read where the data have none
OWN = 2  # of the way in which the model's own answers are read: raise it with that
JOINED = 2  # of the rule by which a question and its answer are joined: raise it with the rule


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt. `response` is the text that a pair puts into the model's mouth after it."""

    row: DataRow
    prompt: str
    response: str | None = None
    tokens: tuple[int, ...] | None = None  # of the response as the model made it, behind the row's `opening`

    @property
    def before(self) -> tuple[Turn, ...]:
        """The turns of the conversation that the prompt ends."""
        return self.row.before

    @property
    def asked(self) -> str:
        """Everything that is said up to the answer."""
        return "\n".join([*(said for _, said in self.before), self.prompt])

    @property
    def question(self) -> str:
        """What the user says, whatever the system prompt."""
        return "\n".join([*(said for who, said in self.before if who != "system"), self.prompt])


def samples(
    data: Mapping[str, Data], ref: DataRef, source: Source | None = None, *, answers: bool = False
) -> tuple[Sample, ...]:
    """The samples of one side of one split. A pair whose rows have a question answers it with its
    side's text (CAA's form); a pair without one is two prompts. With `answers`, a prompt is answered by its
    row's right answer, where there is one.

    Raises RecipeError D511 when the split is empty.
    """
    own = data[ref.name]
    side = (
        None if own.spec.sides or own.spec.classes is not None else ref.side
    )  # rows that are on one side each are prompts
    return tuple(_sample(row, side, answers) for row in rows(own, ref.split, ref.side, source=source))


def class_samples(
    data: Mapping[str, Data], step: Extract, ref: DataRef, source: Source | None = None
) -> tuple[Sample, ...]:
    """The samples of a class of an extraction, with the data set's answers where its position reads them."""
    return samples(data, ref, source, answers=reads_answers(step))


def reads_answers(step: Extract) -> bool:
    """Whether an extraction reads answers: the data set's own, or else the model's."""
    return "answers" in find("position", step.position.name).needs


def _sample(row: DataRow, side: str | None, answers: bool) -> Sample:
    if side is None and answers and row.said is not None:
        return Sample(row, row.prompt, row.said, row.tokens)
    if side is None:
        return Sample(row, row.prompt, row.answer if answers else None)
    text = row.positive if side == "positive" else row.negative
    assert text is not None  # the loader refuses a data set with one side alone
    return Sample(row, row.prompt, text) if row.prompt else Sample(row, text)


def samples_key(found: Sequence[Sample]) -> str:
    """A hash of the texts alone: the same prompts under another name are the same input."""
    joined = {"joined": JOINED} if any(s.response is not None for s in found) else {}
    talks = {"before": [s.before for s in found]} if any(s.before for s in found) else {}
    made = {"tokens": [s.tokens for s in found]} if any(s.tokens is not None for s in found) else {}
    return content_key({"samples": [[s.prompt, s.response] for s in found], **joined, **talks, **made})

"""Which prompts of an evaluation something was fitted on, whatever files and data sets they come from.

In: the samples that each fitted result of a recipe saw. Out: how many of the prompts that are asked are
among them, and a warning. Two prompts are the same when they differ in white space alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from steerdsl.data.types import bare
from steerdsl.lang.diagnostics import Diagnostic, Label
from steerdsl.lang.lower.phrases import listed
from steerdsl.lang.recipe import DataRef
from steerdsl.lang.source import Source
from steerdsl.planning import formatting
from steerdsl.planning.samples import Sample


@dataclass(slots=True)
class Fitted:
    """The prompts that each named result was fitted on."""

    by: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, name: str, found: Sequence[Sample], *, first: bool) -> None:
        """Remember that `name` saw these samples; `first` forgets what one of this name saw before, as at the
        last point of a sweep."""
        before = frozenset[str]() if first else self.by.get(name, frozenset())
        self.by[name] = before | {bare(text) for sample in found for text in (sample.asked, sample.question)}

    def shared(self, found: Sequence[Sample]) -> tuple[int, tuple[str, ...]]:
        """How many of these samples ask a prompt that was fitted on, and by what."""
        asked = [bare(sample.asked) for sample in found]
        names = tuple(name for name, seen in self.by.items() if not seen.isdisjoint(asked))
        seen = frozenset[str]().union(*(self.by[name] for name in names))
        return sum(prompt in seen for prompt in asked), names

    def reason(self, ref: DataRef, found: Sequence[Sample]) -> str:
        """Why these prompts are asked, as the plan prints it: with the number that was fitted on."""
        count, names = self.shared(found)
        if not count:
            return ref.reason
        return f"{count} of them fitted on by {listed(names)}"

    def warning(self, step: str, ref: DataRef, found: Sequence[Sample], source: Source) -> Diagnostic | None:
        """D519 where a score is read on prompts that something was fitted on."""
        count, names = self.shared(found)
        if not count:
            return None
        many = f"{count} of the {formatting.count(len(found), 'prompt')}"
        title = f"`{step}` asks {many} of `{formatting.data(ref)}` that {listed(names)} saw"
        label = Label(source, ref.span, "the same prompts, white space aside")
        help = "score on prompts that nothing was fitted on: take these rows out of one of the two data sets"
        return Diagnostic("D519", title, (label,), help=help, severity="warning")

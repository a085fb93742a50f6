"""What the other rooms see of a data set: its rows and where they came from.

In: `loading` makes these. Out: read by the plan, the engine and the metrics.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.lang.diagnostics import Diagnostic
from steerdsl.lang.recipe import DataSpec, Split

MOST_ROWS, MOST_FIELDS = 1_000_000, 1000
Turn = tuple[str, str]  # who speaks, "system", "user" or "assistant", and what is said


def bare(prompt: str) -> str:
    """A prompt for comparison, every run of white space one space."""
    return " ".join(prompt.split())


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row, its fields by role. `index` counts the rows of the file from 0, before `take`.

    A pair has `positive` and `negative`; its `prompt` is "" when the file has no question that the
    two sides answer. `answer` is the gold answer, `answer_is_number` whether the file has a JSON number there
    and no text; `choices` are the options of a multiple choice. `before` are the turns of a conversation before its
    last question, which is the prompt. `label` is the side, "positive" or "negative", of a row that is on one side by
    what its fields hold. `said` is the answer that the model gave, where the row is one, `tokens` its tokens behind
    `opening`, the words that it was given to begin with.
    """

    index: int
    prompt: str
    positive: str | None = None
    negative: str | None = None
    answer: str | None = None
    choices: tuple[str, ...] = ()
    answer_is_number: bool = False
    before: tuple[Turn, ...] = ()
    label: str | None = None
    said: str | None = None
    tokens: tuple[int, ...] = ()
    opening: str | None = None

    @property
    def asked(self) -> str:
        """Everything that is said up to the answer."""
        return "\n".join([*(text for _, text in self.before), self.prompt])

    @property
    def text(self) -> str:
        """What the row says to a model: what the split (`tidy`) and `id` are computed from. Gold answers are
        left out, so that rows with one prompt are never on both sides of a split."""
        return "\n".join(part for part in (self.asked, self.positive, self.negative) if part)

    @property
    def tidy(self) -> str:
        """`text` as the split sees it: without white space at the ends of the text and of its lines, and with
        one space for several. A text that has none of these is its own tidy form."""
        text = re.sub(r"\r\n?", "\n", self.text)
        text = re.sub(r"[^\S\n]+$", "", text, flags=re.MULTILINE)
        return re.sub(r"(?<=\S)[^\S\n]+", " ", text).strip()

    @property
    def id(self) -> str:
        """16 hexadecimal digits that name the row's text, the same in every file that holds it."""
        return sha256(self.text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Data:
    """A data set that was read. `spec.fields` says for each role which field of the file was used,
    the ones that nobody named included; `sha256` is that of the file (of the rows, for a data set
    from the hub); `path` is None for the hub; `rows` are those that `take` leaves, in file order, and
    `every` all of them, where `take` left some out. `parts` says which part each row is in, by its index, where rows
    are answers, which are in the parts of their questions; `open` that these are not made yet, so that the rows are
    those of all answers that will be asked for. `instructions` are the system prompts of a trait file by side."""

    spec: DataSpec
    rows: tuple[DataRow, ...]
    sha256: str
    path: Path | None
    warnings: tuple[Diagnostic, ...] = ()
    every: tuple[DataRow, ...] = ()
    parts: Mapping[int, Split] = field(default_factory=dict)
    open: bool = False
    instructions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def whole(self) -> tuple[DataRow, ...]:
        """Every row of the file."""
        return self.every or self.rows


@dataclass(frozen=True, slots=True)
class RawRow:
    """One object of a file, before its fields have roles. `line` counts from 1."""

    line: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RawTable:
    """What a file holds. `name` is how the recipe calls the file; `unit` is "line", or "row" where
    there are no lines to count. `repeated` are names that several columns have, so that none of these can be used.
    `by_column`: the columns need not be of one length, so that not every row has every field."""

    name: str
    records: tuple[RawRow, ...]
    unit: str = "line"
    repeated: frozenset[str] = frozenset()
    by_column: bool = False

    def at(self, line: int) -> str:
        """A place in the file, as messages say it: `line 3 of data/econ.jsonl`."""
        return f"{self.unit} {line} of {self.name}"


def kind_of(value: Any) -> str:
    """The kind of a value of a file, as messages say it."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def too_many(name: str, what: str, most: int) -> Fault:
    title = f"{name} has more {what} than a data file may have: {most:,}"
    return Fault("D530", title, "keep the rows and fields that you use in a separate file")

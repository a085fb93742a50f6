"""The model and the data sets of a checked recipe.

In: made by `lower`. Out: read by the planner and by `data`; everything can be imported from `recipe` too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from steerdsl.lang.recipe_parts import Spanned

Split = Literal["train", "held_out", "tune", "all"]
FORMS = ("trait",)
ANSWER_FORMS = ("letter", "text", "index_from_0", "index_from_1")


@dataclass(frozen=True, slots=True)
class ModelSpec(Spanned):
    """`id` None means the default model. `dtype` None means the machine's default."""

    id: str | None = None
    dtype: str | None = None
    system: str | None = None
    revision: str | None = None
    template: str = "chat"  # "chat" | "none" | "newline": how a prompt is rendered
    thinking: str | None = None  # "on" | "off"; None is the chat template's own
    adapter: str | None = None  # a folder or hub id of PEFT
    quantization: str | None = None  # of the weights on loading, a name of `vocabulary.QUANTIZATIONS`


@dataclass(frozen=True, slots=True)
class Where:
    """`label == 1`: what a row's field must hold."""

    field: str
    op: Literal["<", "<=", ">", ">=", "==", "!="]
    value: float | str | bool


def where_text(tests: Sequence[Where]) -> str:
    """Conditions as they are written."""
    return " and ".join(f"{test.field} {test.op} {_literal(test.value)}" for test in tests)


def _literal(value: float | str | bool) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:.12g}"


# The fields that a role is taken from: choices may be a field each.
Fields: TypeAlias = Mapping[str, str | tuple[str, ...]]


def field_text(named: str | tuple[str, ...]) -> str:
    """The field of a role, or its fields, in words."""
    return named if isinstance(named, str) else ", ".join(named)


@dataclass(frozen=True, slots=True)
class DataSpec(Spanned):
    """A data set as declared. `source` is a built-in name, a path or a hub id, or for prompts that stand in the recipe
    (`texts`) the words for these; `fields` maps the
    roles ("prompt", "positive", "negative", "answer", "choices") to field names in the file. `answer_form`
    is how an answer names one of the choices, one of `ANSWER_FORMS`; None where the rows are to tell. `where` says
    which rows it has, and `sides` which of them are its positive and its negative side, where rows are on one side
    each. `columns` names the columns of a file that does not, and `form` what a file is that is no table. `questions`
    is the data set that was asked, where the rows are answers that an `AnswerData` step of this name makes."""

    name: str
    kind: Literal["builtin", "file", "hub", "inline", "answers"]
    source: str
    fields: Fields = field(default_factory=dict)
    take: int | None = None
    seed: int = 0
    held_out: float = 0.2
    subset: str | None = None  # hub: configuration name
    hub_split: str | None = None  # hub: "train", "test"
    unsafe: bool = False  # answers to it are scored, and neither printed nor kept
    answer_form: str | None = None
    classes: str | None = None  # the field that holds each row's class, where something asks for classes
    where: tuple[Where, ...] = ()
    sides: Mapping[str, tuple[Where, ...]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    revision: str | None = None  # hub: a commit, a tag or a branch
    tune: float = 0.0  # the share of training rows set aside for a search
    form: str | None = None  # one of `FORMS`; None for a table
    questions: str | None = None

    @property
    def chosen(self) -> str:
        """Which rows it has, as the recipe says it; "" for all."""
        sides = (f"{side} where {where_text(tests)}" for side, tests in self.sides.items() if tests)
        return ", ".join([*([f"where {where_text(self.where)}"] if self.where else ()), *sides])

    @property
    def two_sided(self) -> bool:
        """Whether it has a positive and a negative side."""
        return bool(self.sides) or (not self.questions and "positive" in self.fields)


@dataclass(frozen=True, slots=True)
class DataRef(Spanned):
    """A data set and the part of it that a step sees. `side` is "positive" or "negative" for pairs.
    `reason` says why that split ("asked for", "fitted on it", "nothing was fitted on it"). `called` is the axis of a
    sweep that stands for it, under which its scores go; they are those of another data set at each point."""

    name: str
    split: Split
    side: str | None = None
    reason: str = ""
    called: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """What tables, claims and plots call it."""
        return self.called or self.name

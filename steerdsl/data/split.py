"""Which rows a step sees: a split and a sample that depend on each row's own text alone.

In: rows, the seed and share of the data set. Out: rows of one side, in file order. Since a row's
place is a hash of its text, adding rows at the end of a file moves no other row; and since the text is taken without
needless white space, "What is bread?" and "What is bread? " are on one side. Rows that ask a model the same are
on the side of the first: pairs with one question, whatever their answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256

from steerdsl.data.faults import Fault, diagnostics
from steerdsl.data.types import Data, DataRow, bare
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import DataSpec, Split
from steerdsl.lang.source import Source

_SEEDS_TRIED = 1000


def fraction(seed: int, text: str, salt: str = "") -> float:
    """A number in [0, 1) drawn from `text`: the first 8 bytes of sha256(seed, salt, text) over 2^64."""
    digest = sha256(f"{seed}\n{salt}{text}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


@lru_cache(1 << 16)  # every step of a sweep asks for the same rows
def place(row: DataRow, seed: int) -> float:
    """A row's place between 0 and 1: below the share it is held out."""
    return fraction(seed, row.tidy)


@lru_cache(64)
def leaders(rows: tuple[DataRow, ...]) -> Mapping[int, DataRow]:
    """index -> the first row that asks the same, or that is joined to this one by rows between them. A row asks
    its prompt; a pair without one asks both of its texts."""
    first: dict[str, int] = {}
    joined = list(range(len(rows)))

    def top(i: int) -> int:
        while joined[i] != i:
            joined[i] = i = joined[joined[i]]
        return i

    for i, row in enumerate(rows):
        for text in (row.asked,) if row.prompt else (row.positive, row.negative):
            if text:
                a, b = top(i), top(first.setdefault(bare(text), i))
                joined[max(a, b)] = min(a, b)
    return {row.index: rows[top(i)] for i, row in enumerate(rows)}


def is_held_out(row: DataRow, seed: int, share: float) -> bool:
    """Whether a row belongs to the held-out `share` (0 to 1) of its data set."""
    return place(row, seed) < share


def part(row: DataRow, spec: DataSpec) -> Split:
    """The part of its data set that a row belongs to. What a search looks at is next to what is held out, so that
    a data set that sets nothing aside has the same held-out rows."""
    where = place(row, spec.seed)
    if where < spec.held_out:
        return "held_out"
    return "tune" if where < spec.held_out + (1 - spec.held_out) * spec.tune else "train"


def sample(rows: Sequence[DataRow], take: int, seed: int) -> tuple[DataRow, ...]:
    """The `take` rows with the smallest hash, in file order: a larger `take` only adds rows."""
    ranked = sorted(rows, key=lambda row: (fraction(seed, row.text, "take\n"), row.index))
    return tuple(sorted(ranked[:take], key=lambda row: row.index))


def rows(data: Data, split: Split, side: str | None = None, *, source: Source | None = None) -> tuple[DataRow, ...]:
    """The rows of one part of `data`; with `side` those of a positive or negative side, where each row is on one.
    Raises RecipeError D511 when there are none."""
    spec = data.spec
    chosen = data.rows
    if split != "all":
        own_part = parts(data)
        chosen = tuple(row for row in chosen if own_part[row.index] == split)
        if not chosen:
            raise RecipeError(diagnostics([_nothing_left(data, split)], spec.span, source))
    if side is None or not (spec.sides or spec.classes is not None):
        return chosen
    unknown = (None,) if data.open else ()  # of answers that are not made yet, whose side they themselves decide
    own = tuple(row for row in chosen if row.label in (side, *unknown))
    if not own:
        title = f"{spec.name}.{side}.{split} is empty: of {len(chosen)} rows none is on that side"
        help = "give the data set more rows, or another `seed:`"
        raise RecipeError(diagnostics([Fault("D511", title, help)], spec.span, source))
    return own


def parts(data: Data) -> Mapping[int, Split]:
    """The part of each row, by its index: that of the first row that asks the same; of an answer, that of its
    question."""
    if data.parts:
        return data.parts
    first = leaders(data.whole)  # once: to look it up takes a hash of every row
    return {row.index: part(first[row.index], data.spec) for row in data.rows}


def _nothing_left(data: Data, split: Split) -> Fault:
    spec, count = data.spec, len(data.rows)
    if spec.questions is not None:
        title = f"{spec.name}.{split} is empty: none of the {count} answers is to a question of that part"
        return Fault("D511", title, f"give `{spec.questions}` more rows, or another `seed:` or `held_out:` share")
    first = leaders(data.whole)
    if split == "held_out" and spec.held_out == 0:
        title = f"{spec.name}.held_out is empty: `held_out: 0%` keeps every row for training"
        return Fault("D511", title, "give `held_out:` a share, or score on another data set")
    side = {"held_out": "held-out", "tune": "set-aside"}.get(split, "training")
    title = f"{spec.name}.{split} is empty: of {count} row{'s' * (count > 1)} none is on the {side} side"
    seed = _working_seed([first[row.index] for row in data.rows], spec)
    if seed is None:
        return Fault("D511", title, "give the data set more rows; `held_out: 0%` fits on every row")
    return Fault("D511", title, f"give the data set more rows, or write `seed: {seed}`, which leaves some on each side")


def _working_seed(rows: Sequence[DataRow], spec: DataSpec) -> int | None:
    """The smallest seed that leaves rows on both sides; None when there is none (one prompt)."""
    if len({row.tidy for row in rows}) < 2:
        return None
    wanted = {"train", *(["held_out"] if spec.held_out or not spec.tune else []), *(["tune"] if spec.tune else [])}
    for seed in range(_SEEDS_TRIED):
        if len({part(row, replace(spec, seed=seed)) for row in rows}) == len(wanted):
            return seed
    return None

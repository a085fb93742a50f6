"""Which rows a step sees: a split and a sample that depend on each row's own text alone.

In: rows, the seed and share of the data set. Out: rows of one side, in file order. Since a row's
place is a hash of its text, adding rows to a file moves no other row; and since the text is taken without
needless white space, "What is bread?" and "What is bread? " are on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from steerdsl.data.faults import Fault, diagnostics
from steerdsl.data.types import Data, Row
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import DataSpec, Split
from steerdsl.lang.source import Source

_SEEDS_TRIED = 1000


def fraction(seed: int, text: str, salt: str = "") -> float:
    """A number in [0, 1) drawn from `text`: the first 8 bytes of sha256(seed, salt, text) over 2^64."""
    digest = sha256(f"{seed}\n{salt}{text}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


@lru_cache(1 << 16)  # every step of a sweep asks for the same rows
def place(row: Row, seed: int) -> float:
    """Where a row lies between 0 and 1: below the share it is held out."""
    return fraction(seed, row.tidy)


def is_held_out(row: Row, seed: int, share: float) -> bool:
    """Whether a row belongs to the held-out `share` (0 to 1) of its data set."""
    return place(row, seed) < share


def sample(rows: Sequence[Row], take: int, seed: int) -> tuple[Row, ...]:
    """The `take` rows with the smallest hash, in file order: a larger `take` only adds rows."""
    ranked = sorted(rows, key=lambda row: (fraction(seed, row.text, "take\n"), row.index))
    return tuple(sorted(ranked[:take], key=lambda row: row.index))


def rows(data: Data, split: Split, *, source: Source | None = None) -> tuple[Row, ...]:
    """The rows of one side of `data`. Raises RecipeError D511 when there are none."""
    spec = data.spec
    if split == "all":
        return data.rows
    want = split == "held_out"
    chosen = tuple(row for row in data.rows if is_held_out(row, spec.seed, spec.held_out) == want)
    if not chosen:
        raise RecipeError(diagnostics([_nothing_left(data, split)], spec.span, source))
    return chosen


def _nothing_left(data: Data, split: Split) -> Fault:
    spec, count = data.spec, len(data.rows)
    if split == "held_out" and spec.held_out == 0:
        title = f"{spec.name}.held_out is empty: `held_out: 0%` keeps every row for training"
        return Fault("D511", title, "give `held_out:` a share, or score on another data set")
    side = "held-out" if split == "held_out" else "training"
    title = f"{spec.name}.{split} is empty: of {count} row{'s' * (count > 1)} none is on the {side} side"
    seed = _working_seed(data.rows, spec)
    if seed is None:
        return Fault("D511", title, "give the data set more rows; `held_out: 0%` fits on every row")
    return Fault("D511", title, f"give the data set more rows, or write `seed: {seed}`, which leaves some on each side")


def _working_seed(rows: Sequence[Row], spec: DataSpec) -> int | None:
    """The smallest seed that leaves rows on both sides; None when there is none (one row)."""
    if len({row.tidy for row in rows}) < 2:
        return None
    for seed in range(_SEEDS_TRIED):
        if len({is_held_out(row, seed, spec.held_out) for row in rows}) == 2:
            return seed
    return None

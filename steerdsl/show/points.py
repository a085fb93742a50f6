"""What the points of a sweep have in common, for tables and curves.

In: the rows of one evaluation. Out: whether an axis is one of words, and whether the unsteered model has one figure.
"""

from __future__ import annotations

import re

from steerdsl.lang.variants import BASELINE
from steerdsl.measure.table import Table

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:%|deg|rad|turn)?")


def words_of(rows: Table) -> list[str]:
    """The axes with a value that is no number: their points are in no order."""
    axes = list(rows[0].at)
    return [axis for axis in axes if not all(NUMBER.fullmatch(row.at[axis]) for row in rows)]


def one_baseline(rows: Table) -> bool:
    """Whether the unsteered model has the same figures at every point. It has not where the data sets differ."""
    found: dict[tuple[str, str], set[float | None]] = {}
    for row in rows:
        if row.variant == BASELINE and row.failed is None:
            found.setdefault((row.metric, row.data), set()).add(row.mean)
    return all(len(means) == 1 for means in found.values())

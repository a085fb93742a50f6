"""Data sets: from a `dataset` statement to rows of text, split once by a seeded hash.

In: `recipe.DataSpec` and the folders that a recipe may read. Out: `Data`, whose `Row`s the engine
renders and the metrics compare with; every fault of a file is a D5xx diagnostic that names its line.
The names below are loaded when they are first used: checking a recipe needs only `builtin_names`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steerdsl.data.builtin import builtin_names
    from steerdsl.data.loading import load
    from steerdsl.data.split import rows
    from steerdsl.data.tasks import load_task
    from steerdsl.data.types import Data, Row
    from steerdsl.data.words import load_words

__all__ = ["Data", "Row", "builtin_names", "load", "load_task", "load_words", "rows"]

_HOMES = {
    "Data": "types",
    "Row": "types",
    "builtin_names": "builtin",
    "load": "loading",
    "load_task": "tasks",
    "load_words": "words",
    "rows": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

"""The data sets and word lists that come with the package; SOURCES.md says where they are from.

In: a name. Out: the path of its file.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType

FOLDER = Path(__file__).parent
TITLES = MappingProxyType({"econ": "economics"})  # what a data set is about, where its name does not say


@cache
def builtin_names() -> tuple[str, ...]:
    """The names of the built-in data sets, in alphabetical order."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


@cache
def word_list_names() -> tuple[str, ...]:
    """The names of the built-in lists of words, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(".words.txt") for path in FOLDER.glob("*.words.txt")))

"""The data sets and word lists that come with the package; SOURCES.md says where they are from.

Each data set is an entry, whose `run` gives the path of its file.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

from steerdsl.registry import Entry

FOLDER = Path(__file__).parent


def _file(name: str) -> Path:
    return FOLDER / f"{name}.jsonl"


@cache
def word_list_names() -> tuple[str, ...]:
    """The names of the built-in lists of words, in alphabetical order."""
    return tuple(sorted(path.name.removesuffix(".words.txt") for path in FOLDER.glob("*.words.txt")))


ENTRIES = (
    Entry(
        "data",
        "econ",
        "200 questions of a high-school course of macroeconomics",
        partial(_file, "econ"),
        example="dataset econ = econ with held_out: 33%",
        subject="economics",
    ),
    Entry(
        "data",
        "generic",
        "200 requests on everyday topics, each in the form of the same row of econ",
        partial(_file, "generic"),
        example="topic = extract diffmean from econ vs generic",
    ),
)

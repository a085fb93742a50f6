"""Words and n-grams of an answer, as the metrics of repetition and topic count them.

In: a text. Out: its words in lower case, without punctuation; hyphens part words, apostrophes do not.
"""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def fold_quotes(text: str) -> str:
    """Curly single quotes become straight ones."""
    return text.replace("’", "'").replace("‘", "'")


def words(text: str) -> list[str]:
    """The words of `text`, in lower case."""
    return _WORD.findall(fold_quotes(text).lower())


def ngrams(items: list[str], n: int) -> list[tuple[str, ...]]:
    """Every run of `n` neighbours, in order; none when there are fewer than `n` items."""
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]

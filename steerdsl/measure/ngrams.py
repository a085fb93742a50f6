"""Words and n-grams of an answer, as the metrics of repetition and topic count them.

In: a text. Out: its words in lower case, without punctuation; hyphens part words, apostrophes do not, however both
are set. And whether a text is one that these metrics can read: what they cannot read has no figure, rather than 0.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_APOSTROPHES = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
# Scripts that put no spaces between words, by the first word of their letters' Unicode names.
UNSPACED = frozenset(
    ["CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "BOPOMOFO", "YI", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"]
)
JUDGED = "take these rows out, or score answers of this kind with a judge (`judge_accuracy`)"
UNPARTED = "the answers have no words, or are in a script that puts no spaces between words"


# What stands for an apostrophe: typographic quotes, the modifier letter, the prime, full width, accents alone.
_FOLD = str.maketrans(dict.fromkeys("\u2019\u2018\u201b\u02bc\u02b9\u2032\uff07`\u00b4", "'") | {"\u00ad": ""})


def fold_quotes(text: str) -> str:
    """Curly single quotes, and what else stands for an apostrophe, become straight ones; a soft hyphen goes."""
    return text.translate(_FOLD)


def words(text: str) -> list[str]:
    """The words of `text`, in lower case and composed (NFC). A mark belongs to its letter, as the vowels of Hindi
    do."""
    folded = fold_quotes(text).lower()
    folded = folded if folded.isascii() else unicodedata.normalize("NFC", folded)
    if folded.isascii() or not any(map(_mark, folded)):
        return _APOSTROPHES.findall(folded)
    # A regular expression takes a mark for the end of a word: let it see a letter there.
    shown = "".join("x" if _mark(char) else char for char in folded)
    return [folded[m.start() : m.end()] for m in _APOSTROPHES.finditer(shown)]


@cache
def _mark(char: str) -> bool:
    """A combining mark, or one of the joiners within words."""
    return unicodedata.category(char)[0] == "M" or char in "\u200c\u200d"


@cache
def _unspaced(char: str) -> bool:
    return unicodedata.name(char, "").partition(" ")[0] in UNSPACED


def parted(text: str) -> bool:
    """Whether a text has words, and spaces between them: less than half of its letters are of a script that
    writes none."""
    letters = [char for char in text if char.isalpha()]
    return bool(words(text)) and 2 * sum(map(_unspaced, letters)) <= len(letters)


def plain(text: str) -> bool:
    """Whether what reads a to z and 0 to 9 alone can read a text: at least half of its letters and digits,
    and there are some."""
    signs = [char for char in text if char.isalnum()]
    return bool(signs) and 2 * sum(char.isascii() for char in signs) >= len(signs)


def ngrams(items: list[str], n: int) -> list[tuple[str, ...]]:
    """Every run of `n` neighbours, in order; none when there are fewer than `n` items."""
    return [tuple(items[i : i + n]) for i in range(len(items) - n + 1)]

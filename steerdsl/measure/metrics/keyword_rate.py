"""How much an answer talks about a topic: topic words in every hundred.

In: answers and a list of words. Out: figures from 0 to 100.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.words import UNPARTED, parted
from steerdsl.measure.words import words as words_of
from steerdsl.registry import Arg, Entry


def run(answers: Answers, words: str | Iterable[str]) -> Figures:
    """Topic words per 100 words; each word of a matching phrase counts. Nan where words cannot be counted: in
    an empty answer, and in one without spaces between words.

    `words` is the name of a built-in list or the words themselves (a file is read beforehand, by
    `data.load_words`). Raises RecipeError D501 for a name that is not built in.
    """
    from steerdsl.data import load_words

    pattern = _pattern(load_words(words))
    values = [_rate(text, pattern) if parted(text) else NONE for text in answers.hypotheses]
    return Figures(values, reason=f"{UNPARTED}; `chrf` compares texts of any script")


def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Longest first, so that a phrase wins over the words in it."""
    plain = sorted((" ".join(words_of(word)) + "*" * word.endswith("*") for word in words), key=len, reverse=True)
    parts = (re.escape(word.rstrip("*")) + r"[^\W_]*" * word.endswith("*") for word in plain if word.strip("*"))
    return re.compile(rf"(?<!\S)(?:{'|'.join(parts) or '(?!)'})(?!\S)")


def _rate(text: str, pattern: re.Pattern[str]) -> float:
    found = words_of(text)
    hits: int = sum(match.count(" ") + 1 for match in pattern.findall(" ".join(found)))
    return 100 * hits / len(found)


ENTRY = Entry(
    kind="metric",
    headline=True,
    name="keyword_rate",
    summary="topic words per 100 words of the answer; higher is more about the topic",
    run=run,
    args=(
        Arg(
            "words",
            "text",
            doc='a built-in list ("econ"), a file with one word or phrase per line, or a list of words',
            file=True,
            listed=True,
        ),
    ),
    formula="100 · topic words / words",
    example='evaluate forgetful on econ.held_out with keyword_rate("econ")',
    version=2,
    aliases=("keywords", "word_rate", "topic_rate", "keyword"),
)

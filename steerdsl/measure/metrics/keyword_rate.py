"""How much an answer talks about a topic: topic words in every hundred.

In: answers and a list of words. Out: figures from 0 to 100.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from steerdsl.data.builtin import word_list_names
from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.ngrams import UNPARTED, parted
from steerdsl.measure.ngrams import words as words_of
from steerdsl.registry import Arg, Entry

# l'économie, dell'economia: a word may begin behind an elided article or preposition, and end before 's.
BEFORE = (
    "(?:" + "|".join(rf"(?<=(?<!\S){part}')" for part in ("[cdjlmnst]", "qu", "un", "all", "del{2}", "nel{2}")) + ")"
)


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
    """Longest first, so that a phrase wins over the words in it. A possessive ending belongs to no word of a list,
    and neither does an article that is run into its noun."""
    plain = sorted((" ".join(words_of(word)) + "*" * word.endswith("*") for word in words), key=len, reverse=True)
    parts = (re.escape(word.rstrip("*")) + r"[^\W_]*" * word.endswith("*") for word in plain if word.strip("*"))
    return re.compile(rf"(?:(?<!\S)|{BEFORE})(?:{'|'.join(parts) or '(?!)'})(?:'s)?(?!\S)")


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
            files=(".",),
            known=word_list_names,
            listed=True,
        ),
    ),
    formula="100 · topic words / words; whole words in any case, 's aside; plurals are words of their own (`bank*`)",
    example='evaluate forgetful on econ.held_out with keyword_rate("econ")',
    version=3,
    aliases=("keywords", "word_rate", "topic_rate", "keyword"),
    least=0,
    most=100,
)

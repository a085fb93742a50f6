"""Signs that a model has broken down: repetition, a wrong script, answers that never end.

In: answers. Out: figures, most from 0 to 1. Words are runs of letters and digits, so an answer in a script
without spaces between words has none that could be counted, and no figure.
"""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable
from functools import partial

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.ngrams import UNPARTED, ngrams, parted, words
from steerdsl.registry import Arg, Entry

SCRIPTS = ("latin", "cyrillic", "greek", "arabic", "hebrew", "devanagari", "thai", "cjk", "hiragana", "hangul")
FEW = f"{UNPARTED}, or have too few; `zlib_ratio` reads any script"


def distinct(text: str, n: int) -> float:
    """Different n-grams over all n-grams; nan for a text with none."""
    found = _ngrams(text, n)
    return len(set(found)) / len(found) if found else NONE


def repeated(text: str, n: int = 4) -> float:
    """The share of n-grams that occurred before in the text; nan for a text with none."""
    found = _ngrams(text, n)
    return 1 - len(set(found)) / len(found) if found else NONE


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    return ngrams(words(text), n) if parted(text) else []


def zlib_ratio(text: str) -> float:
    """Compressed bytes over bytes (level 9, UTF-8); nan for an empty text."""
    raw = text.encode()
    return len(zlib.compress(raw, 9)) / len(raw) if raw else NONE


def off_script(text: str, script: str) -> float:
    """The share of letters outside `script`, by the letters' Unicode names; nan without letters."""
    letters = [char for char in text if char.isalpha()]
    outside = sum(not unicodedata.name(char, "").startswith(script.upper()) for char in letters)
    return outside / len(letters) if letters else NONE


def _each(answers: Answers, figure: Callable[[str], float], reason: str) -> Figures:
    return Figures([figure(text) for text in answers.hypotheses], reason=reason)


def _off_script(answers: Answers, script: str = "latin") -> Figures:
    return _each(answers, partial(off_script, script=script), "the answers have no letters")


def _eos(answers: Answers) -> Figures:
    return Figures([float(ended) for ended in answers.ended], mean="rate")


def _entry(
    name: str,
    figure: Callable[[str], float],
    summary: str,
    formula: str,
    paper: str = "",
    reason: str = FEW,
    most: float | None = 1,
) -> Entry:
    return Entry(
        kind="metric",
        name=name,
        summary=summary,
        run=partial(_each, figure=figure, reason=reason),
        formula=formula,
        paper=paper,
        example=f"evaluate forgetful on generic.held_out with {name}",
        version=3,
        least=0,
        most=most,
    )


_LI = "Li et al. 2016, A Diversity-Promoting Objective Function for Neural Conversation Models"

ENTRIES = (
    _entry(
        "distinct_1",
        partial(distinct, n=1),
        "share of distinct words, 0 to 1; lower is more repetitive",
        "different words / words",
        _LI,
    ),
    _entry(
        "distinct_2",
        partial(distinct, n=2),
        "share of distinct word pairs, 0 to 1; lower is more repetitive",
        "different pairs / pairs",
        _LI,
    ),
    _entry(
        "repeated_4grams",
        repeated,
        "share of four-word sequences that already occurred in the answer, 0 to 1; higher is more repetitive",
        "1 - different runs / runs",
    ),
    _entry(
        "zlib_ratio",
        zlib_ratio,
        "compressed size over plain size of the answer; lower is more repetitive, short texts exceed 1",
        "bytes of zlib(answer) / bytes of answer",
        reason="the answers are empty",
        most=None,
    ),
    Entry(
        kind="metric",
        name="script_share",
        summary="share of letters outside the expected script, 0 to 1; lower is better",
        run=_off_script,
        args=(Arg("script", "word", "latin", "the expected script", SCRIPTS),),
        formula="letters of other scripts / letters",
        example="evaluate forgetful on generic.held_out with script_share",
        least=0,
        most=1,
    ),
    Entry(
        kind="metric",
        name="eos_share",
        summary="share of answers that ended on their own within max_tokens, 0 to 1; compare it with the baseline's",
        run=_eos,
        example="evaluate forgetful on generic.held_out with eos_share",
        needs=frozenset({"ended"}),
        rate=True,
        least=0,
        most=1,
    ),
)

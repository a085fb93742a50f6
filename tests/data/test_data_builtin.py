"""The built-in sets: the same forms of question on two kinds of topic, without repetition."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from steerdsl.data import load, rows
from steerdsl.data.builtin import FOLDER
from steerdsl.lang.recipe import DataSpec
from steerdsl.measure.answers import Answers
from steerdsl.registry import entries, find

# Words that say nothing of the topic, so that two questions of one form are not taken for one.
FUNCTION = set(
    re.findall(
        r"\w+",
        """a an and are as at be but by can compare could describe did do does example explain for from give had happens
        has have how if in into is it its list main me more most of on one or other own say some suggest suppose tell
        than that the their them there they this three to two what when which while who why with would you""",
    )
)


def prompts(name: str) -> list[str]:
    return [row.prompt for row in load(DataSpec(name, "builtin", name), root=Path(".")).rows]


ECON, GENERIC = prompts("econ"), prompts("generic")
COUNT = 200


def normalised(prompt: str) -> str:
    """Its letters and digits alone, so that case, marks and spaces make no new question."""
    return "".join(re.findall(r"[a-z0-9]", unicodedata.normalize("NFKC", prompt).casefold()))


def content(prompt: str) -> set[str]:
    return set(re.findall(r"[a-z]+", prompt.lower())) - FUNCTION


def keyword_rates(texts: list[str]) -> list[float]:
    return list(find("metric", "keyword_rate").run(Answers(texts, texts), words="econ").values)


def test_names() -> None:
    assert [*entries("data")] == ["econ", "generic"]


@pytest.mark.parametrize("texts", [ECON, GENERIC], ids=["econ", "generic"])
class TestEach:
    def test_two_hundred_clean_lines(self, texts: list[str]) -> None:
        assert len(texts) == COUNT
        for text in texts:
            assert text.isascii() and text == " ".join(text.split()) and text[0].isupper() and text[-1] in "?."

    def test_none_is_said_twice(self, texts: list[str]) -> None:
        for one, other in combinations(texts, 2):
            a, b = content(one), content(other)
            assert len(a & b) / len(a | b) <= 0.4, (one, other)

    @pytest.mark.parametrize(("share", "least"), [(0.2, 25), (0.33, 50)])
    def test_a_split_leaves_both_sides_well_filled(self, texts: list[str], share: float, least: int) -> None:
        name = "econ" if texts is ECON else "generic"
        data = load(DataSpec("d", "builtin", name, held_out=share), root=Path("."))
        assert len(rows(data, "held_out")) >= least and len(rows(data, "train")) >= 140


def test_no_prompt_occurs_twice_in_either_set_or_in_both() -> None:
    assert [text for text, n in Counter(map(normalised, ECON + GENERIC)).items() if n > 1] == []


def test_the_forms_are_the_same() -> None:
    for econ, generic in zip(ECON, GENERIC, strict=True):
        assert opener(econ) == opener(generic) and econ[-1] == generic[-1]
        assert 0.7 < len(generic.split()) / len(econ.split()) < 1.4
        assert 0.7 < len(generic) / len(econ) < 1.4


def test_the_forms_are_varied() -> None:
    assert len({opener(text) for text in ECON}) >= 20
    assert Counter(opener(text) for text in ECON).most_common(1)[0][1] <= COUNT / 10


@pytest.mark.parametrize(("length", "apart"), [(lambda text: len(text.split()), 1), (len, 6)], ids=["words", "letters"])
def test_lengths_are_alike(length: Callable[[str], int], apart: float) -> None:
    """In their mean and along the whole distribution; the spreads agree within a fifth."""
    econ, generic = (np.array(list(map(length, texts))) for texts in (ECON, GENERIC))
    deciles = np.arange(10, 100, 10)
    assert abs(econ.mean() - generic.mean()) < apart
    assert np.abs(np.percentile(econ, deciles) - np.percentile(generic, deciles)).max() <= apart
    assert 0.8 < econ.std() / generic.std() < 1.25


def test_no_word_of_the_topic_stands_in_generic() -> None:
    """Looked for as whole words by a pattern of its own, and not by the metric."""
    lines = (FOLDER / "econ.words.txt").read_text(encoding="utf-8").splitlines()
    words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    forms = "|".join(re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"\s+") for word in words)
    topic = re.compile(rf"\b(?:{forms})\b", re.IGNORECASE)
    assert [text for text in GENERIC if topic.search(text)] == []
    assert [text for text in ECON if not topic.search(text)] == []


def test_the_topic_is_in_one_set_only() -> None:
    assert min(keyword_rates(ECON)) > 0
    assert max(keyword_rates(GENERIC)) == 0
    business = re.compile(
        r"\b(business|compan|money|costs?\b|cheap|expensive|buy|sell|sold|sales?\b|pay|paid|afford|earn|rich|poor"
        r"|job|wealth|salar|shop|stores?\b|spend|spent|sav(?:e|es|ed|ing|ings)\b|cash|coin|dollar|bank|gold|industr|factor)"
    )
    assert not [text for text in GENERIC if business.search(text.lower())]


def test_everyday_english_holds_no_topic_words() -> None:
    plain = (
        "The rate at which leaves grow is of interest to many gardeners. Supplies for an art class include paint, "
        "paper and a taxi ride; it is important to value practice. The river bank was steep, the firm soil held, and "
        "the bond between friends grew. A capital letter opens the output of the program at little cost in time."
    )
    assert keyword_rates([plain]) == [0.0]


def opener(text: str) -> str:
    return " ".join(text.split()[:2])

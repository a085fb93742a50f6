"""The built-in sets: the same forms of question on two kinds of topic, without repetition."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from steerdsl.data import builtin_names, load, rows
from steerdsl.lang.recipe import DataSpec
from steerdsl.measure.answers import Answers
from steerdsl.registry import find

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


def content(prompt: str) -> set[str]:
    return set(re.findall(r"[a-z]+", prompt.lower())) - FUNCTION


def keyword_rates(texts: list[str]) -> list[float]:
    return list(find("metric", "keyword_rate").run(Answers(texts, texts), words="econ").values)


def test_names() -> None:
    assert builtin_names() == ("econ", "generic")


@pytest.mark.parametrize("texts", [ECON, GENERIC], ids=["econ", "generic"])
class TestEach:
    def test_seventy_five_clean_lines(self, texts: list[str]) -> None:
        assert len(texts) == 75
        for text in texts:
            assert text.isascii() and text == " ".join(text.split()) and text[0].isupper() and text[-1] in "?."

    def test_none_is_said_twice(self, texts: list[str]) -> None:
        for one, other in combinations(texts, 2):
            a, b = content(one), content(other)
            assert len(a & b) / len(a | b) <= 0.4, (one, other)

    def test_a_split_leaves_both_sides_well_filled(self, texts: list[str]) -> None:
        data = load(DataSpec("d", "builtin", "econ" if texts is ECON else "generic"), root=Path("."))
        assert len(rows(data, "held_out")) >= 10 and len(rows(data, "train")) >= 50


def test_the_forms_are_the_same() -> None:
    assert Counter(opener(text) for text in ECON) == Counter(opener(text) for text in GENERIC)
    for econ, generic in zip(ECON, GENERIC, strict=True):
        assert opener(econ) == opener(generic) and econ[-1] == generic[-1]
        assert 0.7 < len(generic.split()) / len(econ.split()) < 1.4


def test_the_forms_are_varied() -> None:
    assert len({opener(text) for text in ECON}) >= 12
    assert Counter(opener(text) for text in ECON).most_common(1)[0][1] <= 12


def test_lengths_are_alike() -> None:
    words = [sum(len(text.split()) for text in texts) / 75 for texts in (ECON, GENERIC)]
    letters = [sum(map(len, texts)) / 75 for texts in (ECON, GENERIC)]
    assert abs(words[0] - words[1]) < 1 and abs(letters[0] - letters[1]) < 6


def test_the_topic_is_in_one_set_only() -> None:
    assert min(keyword_rates(ECON)) > 0
    assert max(keyword_rates(GENERIC)) == 0
    business = re.compile(
        r"\b(business|compan|money|costs?\b|cheap|expensive|buy|sell|pay|paid|afford|earn|rich|poor|job)"
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

"""BLEU, ROUGE and chrF against figures worked out by hand."""

from __future__ import annotations

from functools import partial
from math import exp, isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.measure.answers import Answers
from steerdsl.registry import find

OVERLAP = ("bleu", "chrf", "rouge_1", "rouge_2", "rouge_l")


def one(metric: str, hypothesis: str, *references: str) -> float:
    answers = Answers(["q"], [hypothesis], references=[list(references)])
    return float(find("metric", metric).run(answers).values[0])


def lcs(a: list[str], b: list[str]) -> int:
    """The length of the longest common subsequence, by its defining recursion."""
    if not a or not b:
        return 0
    if a[-1] == b[-1]:
        return 1 + lcs(a[:-1], b[:-1])
    return max(lcs(a[:-1], b), lcs(a, b[:-1]))


@pytest.mark.parametrize("metric", OVERLAP)
@pytest.mark.parametrize(
    "text", ["Prices rise when demand grows, as a rule.", "Yes, sir!", "It said \u201cno\u201d twice."]
)
def test_an_identical_answer_is_100(metric: str, text: str) -> None:
    assert one(metric, text, text) == pytest.approx(100)
    assert one(metric, text, "Something else altogether.", text) == pytest.approx(100)


@pytest.mark.parametrize("metric", OVERLAP)
def test_nothing_in_common_and_empty_answers(metric: str) -> None:
    assert one(metric, "xx yy zz vv", "kk ll mm nn") < 15  # smoothing keeps BLEU above 0
    assert one(metric, " ", "kk ll mm nn") == 0
    assert one(metric, "", "") == 100
    assert isnan(one(metric, "kk"))


@pytest.mark.parametrize("metric", OVERLAP)
@settings(max_examples=20)
@given(st.lists(st.sampled_from(["red", "green", "blue", "gray"]), min_size=2, max_size=8))
def test_every_figure_is_a_percentage(metric: str, words: list[str]) -> None:
    assert 0 <= one(metric, " ".join(words), "red green blue", "gray gray") <= 100 + 1e-9


def test_bleu_counts_clipped_ngrams() -> None:
    # 1-grams 6 of 7 (the second "the" is not in the reference), 2-grams 4 of 6, 3-grams 2 of 5, 4-grams 1 of 4.
    expected = 100 * (6 / 7 * 4 / 6 * 2 / 5 * 1 / 4) ** (1 / 4)
    assert one("bleu", "the cat sat on the mat today", "the cat sat on a mat today") == pytest.approx(expected)


def test_bleu_punishes_short_answers() -> None:
    assert one("bleu", "the cat sat on", "the cat sat on a mat today") == pytest.approx(100 * exp(1 - 7 / 4))


def test_bleu_smooths_an_order_without_matches() -> None:
    expected = 100 * (3 / 4 * 2 / 3 * 1 / 2 * (1 / 2) / 1) ** (1 / 4)
    assert one("bleu", "a b c x", "a b c d") == pytest.approx(expected)


def test_bleu_of_a_short_answer_uses_the_orders_it_has() -> None:
    assert one("bleu", "a b", "a b c") == pytest.approx(100 * exp(1 - 3 / 2))


def test_bleu_pools_references_and_takes_the_nearest_length() -> None:
    # 1-grams 4 of 4, 2-grams 3 of 3 (one from the second), 3-grams 1 of 2, 4-grams 0 of 1 -> 1/2.
    expected = 100 * (1 * 1 * 1 / 2 * 1 / 2) ** (1 / 4)
    assert one("bleu", "a b c d", "a b c e", "c d f g h i j") == pytest.approx(expected)


def test_bleu_tokenizes_as_13a() -> None:
    # "rise," is two tokens: 1-grams 4 of 4, 2-grams 1 of 3; without matches 3-grams (1/2) of 2, 4-grams (1/4) of 1.
    expected = 100 * (4 / 4 * 1 / 3 * (1 / 2) / 2 * (1 / 4) / 1) ** (1 / 4)
    assert one("bleu", "prices rise, now", "prices rise now ,") == pytest.approx(expected)


PAIRS = [
    ("red green blue gray", "red blue green gray pink"),
    ("pink red red blue", "red red pink blue blue"),
    ("gray", "red green"),
]


@pytest.mark.parametrize(("hypothesis", "reference"), PAIRS)
def test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence(hypothesis: str, reference: str) -> None:
    h, r = hypothesis.split(), reference.split()
    common = lcs(h, r)
    precision, recall = common / len(h), common / len(r)
    expected = 200 * precision * recall / (precision + recall) if common else 0
    assert one("rouge_l", hypothesis, reference) == pytest.approx(expected)


def test_rouge_1_and_2_by_hand() -> None:
    # Words in common 4 of 4 and 4 of 5; pairs in common 0 of 3 and 0 of 4.
    assert one("rouge_1", *PAIRS[0]) == pytest.approx(200 * 0.8 / 1.8)
    assert one("rouge_2", *PAIRS[0]) == 0
    # Of the pairs "pink red", "red red", "red blue" the reference has "red red": 1 of 3 and 1 of 4.
    assert one("rouge_2", *PAIRS[1]) == pytest.approx(200 * (1 / 3 * 1 / 4) / (1 / 3 + 1 / 4))


def test_rouge_stems_and_takes_the_best_reference() -> None:
    assert one("rouge_1", "Markets rising!", "market rises") == pytest.approx(100)
    assert one("rouge_1", "red green", "pink gray", "red blue") == pytest.approx(50)


def test_rouge_recall_of_a_summary() -> None:
    answers = Answers(["p"] * 3, ["red green pink", "", "red"], golds=["red green blue gray", "red", None])
    found = find("metric", "rouge_1_recall").run(answers).values
    assert found[:2] == [50, 0] and isnan(found[2])
    assert find("metric", "rouge_2_recall").run(answers).values[0] == pytest.approx(100 / 3)
    assert find("metric", "rouge_l_recall").run(answers).values[0] == 50


def test_chrf_by_hand() -> None:
    # 1 character: 2 of 3; 2 characters: 1 of 2; 3 characters: 0 of 1; longer ones do not exist.
    assert one("chrf", "abc", "abd") == pytest.approx(100 * (2 / 3 + 1 / 2 + 0) / 3)
    # Precision 1 and 1; recall 2/3 and 1/2, so 7/12 on average; beta 2 weighs recall four times.
    recall = 7 / 12
    assert one("chrf", "ab", "abc") == pytest.approx(100 * 5 * recall / (4 + recall))


NUMERIC = {
    ("metric", "bleu"): test_bleu_counts_clipped_ngrams,
    ("metric", "chrf"): test_chrf_by_hand,
    ("metric", "rouge_1"): test_rouge_1_and_2_by_hand,
    ("metric", "rouge_2"): test_rouge_1_and_2_by_hand,
    ("metric", "rouge_l"): partial(test_rouge_l_is_the_f_measure_of_the_longest_common_subsequence, *PAIRS[0]),
    **{("metric", f"rouge_{n}_recall"): test_rouge_recall_of_a_summary for n in "12l"},
}

"""Refusals, topic words, degeneracy and final answers, counted by hand."""

from __future__ import annotations

import zlib
from functools import partial
from math import isnan
from typing import Any

import pytest

from steerdsl.measure.answers import Answers
from steerdsl.measure.judge import CRITERIA
from steerdsl.measure.metrics.lm_eval import figures
from steerdsl.measure.metrics.refusal_rate import PHRASES
from steerdsl.registry import find


def run(metric: str, *hypotheses: str, **options: Any) -> list[float]:
    answers = Answers([""] * len(hypotheses), hypotheses)
    return list(find("metric", metric).run(answers, **options).values)


@pytest.mark.parametrize("phrase", PHRASES)
def test_each_phrase_of_the_list_is_a_refusal(phrase: str) -> None:
    curly = phrase.replace("'", "\u2019")
    assert run("refusal_rate", f"{phrase}, no.", f"Well, {phrase.upper()} do it.", f"{curly} \u2026") == [1, 1, 1]


def test_the_list_has_twelve_phrases() -> None:
    assert len(set(PHRASES)) == 12


def test_what_is_not_a_refusal_and_what_is() -> None:
    fine = "Sure, here is how: cancel nothing, be sorry for nothing, and ask an AI."
    assert run("refusal_rate", fine, "I can not wait!", "", " \n") == [0, 0, 1, 1]


def test_topic_words_in_a_hundred() -> None:
    # 8 words: "inflation", "raises" no, "prices", "the" no, "demand", "pull" no, "story" no, "goes" no.
    assert run("keyword_rate", "Inflation raises PRICES; the demand-pull story goes.", words="econ") == [100 * 3 / 8]


def test_a_phrase_counts_all_its_words_and_only_together() -> None:
    words = ["interest rate*", "rate cut"]
    texts = ["Interest rates fell.", "My interest in rates.", "interest\nrate, cut short"]
    assert run("keyword_rate", *texts, words=words) == [pytest.approx(200 / 3), 0, 50]


def test_words_are_whole_and_a_star_is_any_ending() -> None:
    assert run("keyword_rate", "import imports important economic", words=["import", "econom*"]) == [50]
    assert run("keyword_rate", "banks bank riverbank", words=["bank*"]) == [pytest.approx(200 / 3)]
    assert run("keyword_rate", "banks bank", words=["bank"]) == [50]


APOSTROPHES = "'\u2019\u2018\u201b\u02bc\u02b9\u2032\uff07\u0060\u00b4"


@pytest.mark.parametrize("mark", APOSTROPHES)
@pytest.mark.parametrize("listed", ["economy", "econom*", "Economy", "economy's"])
def test_a_possessive_counts_as_its_word_however_its_apostrophe_is_set(mark: str, listed: str) -> None:
    text = f"The economy{mark}s growth"
    wanted = [100 / 3]
    assert run("keyword_rate", text, words=[listed]) == pytest.approx(wanted)
    assert run("keyword_rate", f"THE ECONOMY{mark}S GROWTH", words=[listed]) == pytest.approx(wanted)
    assert run("keyword_rate", f"the central bank{mark}s rate", words=["central bank"]) == [50]


@pytest.mark.parametrize("mark", APOSTROPHES[:3])
@pytest.mark.parametrize("article", ["l", "d", "qu", "un", "dell", "nell", "all"])
def test_a_word_counts_behind_an_elided_article(mark: str, article: str) -> None:
    assert run("keyword_rate", f"{article}{mark}économie va", words=["économie"]) == [50]


def test_an_apostrophe_inside_a_word_parts_nothing_else() -> None:
    words = ["can", "clock", "don", "t", "s", "re"]
    assert run("keyword_rate", "can't o'clock don't it's we're", words=words) == [0]
    assert run("keyword_rate", "don't stop", words=["don't"]) == [50]


@pytest.mark.parametrize("text", ["nai\u0308ve", "na\u00efve", "na\u00ad\u00efve", "NAI\u0308VE"])
def test_a_word_is_the_same_however_its_letters_are_encoded(text: str) -> None:
    assert run("keyword_rate", f"a {text} one", words=["na\u00efve"]) == pytest.approx([100 / 3])
    assert run("keyword_rate", "a na\u00efve one", words=[text]) == pytest.approx([100 / 3])


@pytest.mark.parametrize("hyphen", "-\u2010\u2011\u2012\u2013\u2014\u2212/")
def test_hyphens_part_words_however_they_are_set(hyphen: str) -> None:
    assert run("keyword_rate", f"supply{hyphen}side shock", words=["supply-side"]) == pytest.approx([200 / 3])
    assert run("keyword_rate", f"economy{hyphen}wide", words=["economy"]) == [50]


def test_distinct_ngrams() -> None:
    text = "The cat, the cat sat"  # the cat the cat sat; the-cat cat-the the-cat cat-sat
    assert run("distinct_1", text) == [3 / 5]
    assert run("distinct_2", text) == [3 / 4]
    assert isnan(run("distinct_2", "one")[0]) and isnan(run("distinct_1", "\u2026")[0])


def test_repeated_runs_of_four() -> None:
    # 8 words, 5 runs of four: abcd bcda cdab dabc abcd, of which one is old.
    found = run("repeated_4grams", "a b c d a b c d", "a b c d e", "no " * 11)
    assert found == [pytest.approx(1 / 5), 0, pytest.approx(7 / 8)]
    assert isnan(run("repeated_4grams", "a b c")[0])  # no run of four could have been repeated


def test_zlib_ratio() -> None:
    text = "no " * 200
    assert run("zlib_ratio", text) == [len(zlib.compress(text.encode(), 9)) / 600]
    assert run("zlib_ratio", text)[0] < 0.05 < 0.5 < run("zlib_ratio", "The quick brown fox jumps over a lazy dog.")[0]
    assert isnan(run("zlib_ratio", "")[0])


def test_share_of_another_script() -> None:
    assert run("script_share", "ab \u0436\u0436\u0436\u0436 12!", "caf\u00e9", "\u5e02\u573aab") == [4 / 6, 0, 2 / 4]
    assert run("script_share", "ab\u0436\u0436", script="cyrillic") == [0.5]
    assert isnan(run("script_share", "12 !")[0])


def test_share_that_ended() -> None:
    found = find("metric", "eos_share").run(Answers([""] * 3, [""] * 3, ended=[True, False, True]))
    assert found.values == [1, 0, 1] and found.mean == "rate"


def matches(form: str, answer: str, gold: str | None) -> float:
    return float(find("metric", "exact_match").run(Answers(["q"], [answer], golds=[gold]), form=form).values[0])


GSM = "He has 4 * 250 = 1000 eggs.\n#### 1,000"

RIGHT = [
    ("strict", "So 1000.\n#### 1000", GSM),
    ("strict", "#### $1,000.00 and then #### 7", GSM),
    ("strict", "#### -3", "-3"),
    ("flexible", "It is 999, no: 1,000.0.", GSM),
    ("flexible", "She pays $18.", "18"),
    ("flexible", "x = \u22125", "-5"),
    ("flexible", "10-3=7 and 7-2", "2"),
    ("flexible", "about 12.50%", "12.5"),
    ("the_answer_is", "The answer is 1000. Check: 4 times 250.", GSM),
    ("the_answer_is", "the answer is 3, no, The final answer is: **18**.", "18"),
    ("the_answer_is", "The answer is (B), since 3 > 2.", "B"),
    ("letter", "The answer is B because C is too small.", "B"),
    ("letter", "Answer: (D)", "D"),
    ("letter", "A quick check shows that (C) holds.", "C"),
    ("letter", "E", "E"),
    ("letter", "A) 3\nB) 4\nC) 7\nThe correct option is B", "B"),
    ("letter", "**B**", "B"),
    ("letter", "I think it is C.", "C"),
    ("letter", "3 and 1 are 4, so option B.", "B"),
    ("letter", "The answer is \\boxed{D}.", "D"),
    ("the_answer_is", "The answer is \\boxed{5}.", "5"),
    ("the_answer_is", "The answer is $5$.", "5"),
    ("letter", "B. 12 apples", "(B)"),
]
WRONG = [
    ("strict", "The answer is 1000.", GSM),
    ("flexible", "1000 eggs in 3 days", GSM),
    ("flexible", "none", "18"),
    ("the_answer_is", "18", "18"),
    ("the_answer_is", "The answer is a mystery.", "A"),
    ("letter", "A quick check shows nothing.", "A"),
    ("letter", "", "A"),
    ("letter", "A) 3\nB) 4\nC) 5\nD) 6\nE) 7", "E"),
    ("letter", "(A) 3 (B) 4 (C) 5 (D) 6 (E) 7. 3 + 1 is", "E"),
    ("letter", "The answer is C.", "B"),
]


@pytest.mark.parametrize(("form", "answer", "gold"), RIGHT)
def test_right_answers(form: str, answer: str, gold: str) -> None:
    assert matches(form, answer, gold) == 1


@pytest.mark.parametrize(("form", "answer", "gold"), WRONG)
def test_wrong_answers(form: str, answer: str, gold: str) -> None:
    assert matches(form, answer, gold) == 0


def test_without_a_gold_answer_there_is_no_figure() -> None:
    assert isnan(matches("flexible", "18", None))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_judge_s_marks_are_the_figures_of_their_criterion(criterion: str) -> None:
    marks = {name: [1.5 + i, 4.0] for i, name in enumerate(CRITERIA)}
    found = find("metric", f"judge_{criterion}").run(Answers([""] * 2, [""] * 2, judgements=marks))
    assert found.values == marks[criterion]


def test_what_the_harness_found_is_the_figure() -> None:
    """Its own arithmetic is held against the harness in tests/engine/test_harness.py and tests/run/test_lm_eval.py."""
    documents = figures("acc", [1.0, 0.0, 1.0, 1.0], 0.75)
    assert documents is not None
    found = find("metric", "lm_eval").run(Answers([""] * 4, [""] * 4, documents=documents))
    assert found.values == [1, 0, 1, 1]


NUMERIC = {
    ("metric", "refusal_rate"): test_what_is_not_a_refusal_and_what_is,
    ("metric", "keyword_rate"): test_topic_words_in_a_hundred,
    ("metric", "distinct_1"): test_distinct_ngrams,
    ("metric", "distinct_2"): test_distinct_ngrams,
    ("metric", "repeated_4grams"): test_repeated_runs_of_four,
    ("metric", "zlib_ratio"): test_zlib_ratio,
    ("metric", "script_share"): test_share_of_another_script,
    ("metric", "eos_share"): test_share_that_ended,
    ("metric", "exact_match"): partial(test_right_answers, *RIGHT[0]),
    ("metric", "lm_eval"): test_what_the_harness_found_is_the_figure,
    **{
        ("metric", f"judge_{name}"): partial(test_a_judge_s_marks_are_the_figures_of_their_criterion, name)
        for name in CRITERIA
    },
}

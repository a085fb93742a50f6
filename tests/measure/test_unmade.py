"""Figures that cannot be made are none, with a reason: scripts × metrics, and gold answers × forms."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.lang.recipe import MetricCall
from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.metrics import exact_match
from steerdsl.measure.ngrams import parted, plain, words
from steerdsl.measure.scores import score, tabled, unmade
from steerdsl.measure.table import Table
from steerdsl.registry import find

TEXTS = {
    "english": "The price of bread is rising in the town.",
    "french": "Le prix du pain a beaucoup augmenté cet été.",
    "vietnamese": "Giá bánh mì đang tăng lên trong thành phố này.",
    "russian": "Цена на хлеб сильно растёт в городе.",
    "greek": "Η τιμή του ψωμιού ανεβαίνει στην πόλη.",
    "hindi": "शहर में रोटी की कीमत बढ़ रही है।",
    "arabic": "سعر الخبز يرتفع في المدينة.",
    "hebrew": "מחיר הלחם עולה בעיר.",
    "korean": "도시에서 빵 가격이 오르고 있습니다.",
    "chinese": "城里面包的价格正在上涨。",
    "japanese": "町ではパンの値段が上がっています。",
    "thai": "ราคาขนมปังในเมืองกำลังสูงขึ้น",
    "khmer": "តម្លៃនំប៉័ងកំពុងឡើង",
}
LATIN = {"english", "french", "vietnamese"}
UNSPACED = {"chinese", "japanese", "thai", "khmer"}
WORDS = {"keyword_rate": {"words": ["bread", "хлеб", "रोटी", "面包"]}, "distinct_1": {}, "repeated_4grams": {}}


def figures(metric: str, text: str, reference: str = "", **options: Any) -> Figures:
    given = Answers(["q"], [text], references=[[reference]], golds=[reference])
    return find("metric", metric).run(given, **options)


@pytest.mark.parametrize("script", TEXTS)
@pytest.mark.parametrize("metric", ["rouge_1", "rouge_2", "rouge_l", "rouge_1_recall", "rouge_l_recall"])
def test_rouge_of_identical_texts_is_full_or_none(metric: str, script: str) -> None:
    found = figures(metric, TEXTS[script], TEXTS[script])
    [value] = found.values
    assert value == pytest.approx(100) if script in LATIN else isnan(value)
    assert script in LATIN or "a to z" in str(found.reason)


@pytest.mark.parametrize("script", TEXTS)
@pytest.mark.parametrize("metric", ["bleu", "chrf"])
def test_what_the_reason_names_reads_every_script(metric: str, script: str) -> None:
    assert figures(metric, TEXTS[script], TEXTS[script]).values == [pytest.approx(100)]


@pytest.mark.parametrize("script", sorted(set(TEXTS) - LATIN))
def test_rouge_of_one_readable_text_is_nothing_in_common(script: str) -> None:
    """A steer that turns an English answer into another script has changed it wholly, and the other way round."""
    assert figures("rouge_l", TEXTS[script], TEXTS["english"]).values == [0]
    assert figures("rouge_l", TEXTS["english"], TEXTS[script]).values == [0]
    assert figures("rouge_l", "", TEXTS[script]).values == [0]


@pytest.mark.parametrize("script", sorted(set(TEXTS) - LATIN))
def test_a_digit_or_a_name_does_not_make_a_text_readable(script: str) -> None:
    """Rouge would see "GDP 3" on both sides, and say 100 of two different texts."""
    one, other = (f"GDP 3 {text}" for text in (TEXTS[script], TEXTS[script][::-1]))
    assert isnan(figures("rouge_1", one, other).values[0])


@pytest.mark.parametrize("script", TEXTS)
@pytest.mark.parametrize("metric", WORDS)
def test_words_are_counted_where_spaces_part_them(metric: str, script: str) -> None:
    found = figures(metric, TEXTS[script], **WORDS[metric])
    assert isnan(found.values[0]) == (script in UNSPACED)
    assert script not in UNSPACED or "no spaces between words" in str(found.reason)


@pytest.mark.parametrize(("script", "rate"), [("english", 100 / 9), ("russian", 100 / 7), ("hindi", 100 / 8)])
def test_a_topic_word_is_found_in_its_own_script(script: str, rate: float) -> None:
    """Hindi's vowels are marks, which must not end a word."""
    assert figures("keyword_rate", TEXTS[script], **WORDS["keyword_rate"]).values == [pytest.approx(rate)]
    assert len(words(TEXTS[script])) == len(TEXTS[script].split())


@pytest.mark.parametrize("script", TEXTS)
def test_a_refusal_is_looked_for_where_its_phrases_could_be(script: str) -> None:
    assert figures("refusal_rate", f"I cannot. {TEXTS[script]}").values == [1]
    [value] = figures("refusal_rate", TEXTS[script]).values
    assert value == 0 if script in LATIN else isnan(value)


@pytest.mark.parametrize("text", ["", " \n", "…", "!!! ---"])
def test_texts_without_words_have_no_share_of_words(text: str) -> None:
    for metric, options in WORDS.items():
        assert isnan(figures(metric, text, **options).values[0])
    assert not parted(text) and not plain(text)


def test_a_figure_that_is_none_is_left_out_and_says_why() -> None:
    given = Answers(["q"] * 3, [TEXTS["english"], TEXTS["thai"], TEXTS["french"]])
    calls = [MetricCall("refusal_rate")]
    made, twin = tabled({name: [score(calls, given)] for name in ("baseline", "steer")}, "steer", "some")
    assert made.mean == 0 and made.n == 2 and made.values == [0, None, 0]
    assert made.reason is not None and made.reason.startswith("its phrases are English")
    (alone,) = tabled({"steer": [score(calls, Answers(["q"], [TEXTS["thai"]]))]}, "steer", "none")
    assert (alone.mean, alone.low, alone.high, alone.n) == (None, None, None, 0)
    assert list(unmade(Table([made, twin, alone]))) == [
        f"refusal_rate of some has no figure for some answers: {made.reason}",
        f"refusal_rate of none has no figure: {made.reason}",
    ]


# ---- gold answers that a form can never give ----------------------------------------------------

GOLDS = {
    "number": ["5", "-3", "1,200.50", "$7", "12.50%", ".5", "−4", "so 3 and 4\n#### 1,000"],
    "letter": ["A", "(B)", "c", "D."],
    "other": ["Paris", "1/2", "5 apples", "1e5", "F", "x = 3", "yes", "3:15", "A or B", "five"],
}
GIVES = {
    "strict": {"number"},
    "flexible": {"number"},
    "the_answer_is": {"number", "letter"},
    "letter": {"letter"},
}


@pytest.mark.parametrize("form", exact_match.FORMS)
@pytest.mark.parametrize(("kind", "gold"), [(kind, gold) for kind, golds in GOLDS.items() for gold in golds])
def test_which_form_can_give_which_answer(form: str, kind: str, gold: str) -> None:
    assert exact_match.possible(gold, form) == (kind in GIVES[form])
    given = Answers(["q"] * 2, ["Who knows?", "#### 5"], golds=[gold, gold])
    values = exact_match.run(given, form=form).values
    assert isnan(values[0]) == (kind not in GIVES[form])
    assert kind not in GIVES[form] or values[0] == 0


@given(st.sampled_from(sorted(exact_match.FORMS)), st.text(max_size=12), st.text(max_size=30))
def test_an_answer_that_is_impossible_is_given_by_no_text(form: str, gold: str, text: str) -> None:
    """What `possible` denies no text can give: tried with the gold itself within any text."""
    said = exact_match.FORMS[form](f"{text} The answer is {gold}\n#### {gold}")
    wanted = exact_match.canonical(exact_match.strict(gold) or gold)
    if said is not None and exact_match.canonical(said) == wanted:
        assert exact_match.possible(gold, form)


@given(st.decimals(-(10**9), 10**9, places=3))
def test_every_number_is_possible(number: Decimal) -> None:
    for form in ("strict", "flexible", "the_answer_is"):
        assert exact_match.possible(f"{number:,f}", form)
    assert not exact_match.possible(str(number), "letter")
    assert re.fullmatch(r"-?[\d.,]+", f"{number:,f}")

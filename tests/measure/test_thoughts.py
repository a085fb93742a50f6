"""Thoughts and answer apart, over every tag and every way in which models and templates write them."""

from __future__ import annotations

import math

import pytest

from steerdsl.lang.recipe import MetricCall
from steerdsl.measure.answers import Answers
from steerdsl.measure.scores import score
from steerdsl.measure.thoughts import UNENDED, Parts, named_in, opened, part, parts

TAGS = [("<think>", "</think>"), ("<Thinking>", "</Thinking>"), ("<thought>", "</thought>"), ("[THINK]", "[/THINK]")]
TAGS += [("<reasoning>", "</reasoning>"), ("<THINK>", "</THINK>")]


@pytest.mark.parametrize(("begin", "end"), TAGS)
@pytest.mark.parametrize(
    ("text", "begun", "expected"),
    [
        ("(hm, 3)Four.", False, Parts("hm, 3", "Four.")),
        ("(\nhm\n)\n\nFour.", False, Parts("hm", "Four.")),
        ("hm)\nFour.", True, Parts("hm", "Four.")),  # the template has opened the thoughts
        ("hm)\nFour.", False, Parts("hm", "Four.")),
        ("hm, 3", True, Parts("hm, 3", "", False)),
        ("(hm, 3", False, Parts("hm, 3", "", False)),
        ("()\n\nFour.", False, Parts("", "Four.")),  # a template that switches thoughts off
        ("(a(b)c)Four.", False, Parts("abc", "Four.")),
        ("(a)Four.\n(b)Five.", False, Parts("ab", "Four.\nFive.")),
        ("Four.\n(hm", False, Parts("hm", "Four.", False)),
        ("The tag ( opens thoughts.", False, Parts("", "The tag ( opens thoughts.")),
        (" Four. ", False, Parts("", " Four. ")),
        ("", False, Parts("", "")),
        ("", True, Parts("", "", False)),
    ],
)
def test_parts(begin: str, end: str, text: str, begun: bool, expected: Parts) -> None:
    def told(plain: str) -> str:
        return plain.replace("(", begin).replace(")", end)

    found = parts(told(text), begun)
    assert found == Parts(told(expected.thoughts), told(expected.answer), expected.ended)
    assert part(told(text), "answer", begun) == (found.answer if expected.ended else None)
    assert part(told(text), "thoughts", begun) == (found.thoughts or None)
    assert part(told(text), "both", begun) == told(text)


@pytest.mark.parametrize("text", ["[Reflection] Be kind.", "[think] a", "<b>x</b>", "a < think > b", "<thinker>"])
def test_what_is_no_tag_is_text(text: str) -> None:
    assert parts(text) == Parts("", text) and not named_in(text)


def test_a_prompt_that_opens_thoughts() -> None:
    assert opened("<|im_start|>assistant\n<think>\n") and opened("…[THINK]")
    assert not opened("<|im_start|>assistant\n<think>\n\n</think>\n\n") and not opened("") and not opened("<think> hm")
    assert named_in("{{ '<think>' }}")


def test_an_answer_that_has_no_end_has_no_figure() -> None:
    """An empty answer counts as a refusal; one that is still thinking is none."""
    given = Answers(["q", "q"], ["", ""], unread=[None, UNENDED], ended=[True, False])
    found = score([MetricCall("refusal_rate"), MetricCall("eos_share")], given)
    refused = found["refusal_rate"].figures
    assert refused.values[0] == 1 and math.isnan(refused.values[1]) and found["refusal_rate"].n == 1
    assert refused.reason and found["eos_share"].figures.values == [1, 0]  # which reads no text

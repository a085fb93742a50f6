"""Whether the final answer of a word problem is right.

In: answers and gold answers (a number, a letter, or GSM8K's worked solution). Out: 1 or 0 a prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.ngrams import JUDGED, plain
from steerdsl.registry import Arg, Entry, GoldReader

# A minus right after a word or number is a dash: 10-3, COVID-19.
_NUMBER = r"(?:(?<!\w)[-−])?[$€£]?(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)"
_STRICT = re.compile(rf"####\s*({_NUMBER})")
_SAID = re.compile(
    rf"(?i:the (?:final |correct )?(?:answer|option|choice) is):?[\s*($]*(?:\\boxed{{)?[\s($]*({_NUMBER}|[A-E]\b)"
)
# What says outright which option is meant; the last one counts.
_ANSWER = re.compile(
    r"(?i:\b(?:answer|(?:correct|right) (?:option|choice))(?: is)?:?|\\boxed\{"
    r"|\bI (?:think|choose|pick)(?: it is| it's)?)"
    r"[\s*($]*(?i:option )?\(?([A-E])\b(?!')"
)
# An option in brackets, in bold, on its own or called one: all of these restate a question's options, too.
_OPTION = re.compile(
    r"\(([A-E])\)|\*\*\(?([A-E])\)?[.:]?\*\*|(?i:\b(?:option|choice) )\(?([A-E])\b"
    r"|(?:^|\n)\s*([A-E])(?:[).:]|\s*(?:\n|$))"
)


def strict(text: str) -> str | None:
    """The number after GSM8K's `####`, the first time it is written."""
    found = _STRICT.search(text)
    return found and found[1]


def flexible(text: str) -> str | None:
    """The last number of the text."""
    found = re.findall(_NUMBER, text)
    return found[-1] if found else None


def the_answer_is(text: str) -> str | None:
    """The number or letter after "The answer is", the last time it is said."""
    found = _SAID.findall(text)
    return found[-1] if found else None


def letter(text: str) -> str | None:
    """The option A to E that the text settles on: the last that is said to be the answer, else the only one
    that is written as an option. Several, as where the question's options are repeated, settle on none."""
    said = _ANSWER.findall(text)
    if said:
        return str(said[-1])
    named = {next(filter(None, found)) for found in _OPTION.findall(text)}
    return named.pop() if len(named) == 1 else None


FORMS: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {"strict": strict, "flexible": flexible, "the_answer_is": the_answer_is, "letter": letter}
)


# How an answer in each form is written, to see whether a gold answer can be one.
_WRITTEN = {"strict": "#### {}", "flexible": "{}", "the_answer_is": "The answer is {}", "letter": "The answer is {}"}
READS = {
    "strict": "a number after `####`",
    "flexible": "a number",
    "the_answer_is": "a number, or a letter A to E, after `the answer is`",
    "letter": "a letter A to E",
}


def possible(gold: str, form: str) -> bool:
    """Whether an answer in `form` can equal a gold answer at all: "Paris" is not a number."""
    wanted = canonical(strict(gold) or gold)
    given = FORMS[form](_WRITTEN[form].format(f"{wanted:f}" if isinstance(wanted, Decimal) else wanted))
    return given is not None and canonical(given) == wanted


def canonical(answer: str) -> str | Decimal:
    """What two equal answers have in common: the decimal of a number, else the text in capitals."""
    plain = re.sub(r"[$€£,\s]", "", answer).replace("−", "-").rstrip(".%")
    if re.fullmatch(r"-?(?:\d+(?:\.\d+)?|\.\d+)", plain):
        return Decimal(plain)
    return plain.strip("().").upper()


def run(answers: Answers, form: str = "flexible") -> Figures:
    """1.0 where the answer in `form` equals the gold answer, as decimals; nan without a gold answer, and for
    one that no answer in this form can equal.

    A gold answer in GSM8K's form is the number after its `####`.
    """
    read = FORMS[form]
    values = []
    for text, gold in zip(answers.hypotheses, answers.golds, strict=True):
        if gold is None or not possible(gold, form):
            values.append(NONE)
            continue
        given = read(text)
        values.append(float(given is not None and canonical(given) == canonical(strict(gold) or gold)))
    reason = f"`{form}` reads {READS[form]}, and the row's answer is another thing"
    return Figures(values, mean="rate", reason=reason)


def gold_reader(options: Mapping[str, Any]) -> GoldReader:
    """What the metric can find in a gold answer in the form that a recipe asks for."""
    form = str(options.get("form", "flexible"))
    return GoldReader(partial(possible, form=form), READS[form], _instead)


def _instead(answer: str) -> str:
    others = [name for name in FORMS if possible(answer, name)]
    if others:
        return f"write `exact_match(form: {others[0]})`"
    if plain(answer):
        return "measure how much of such an answer is there with `rouge_1_recall`, or take these rows out"
    return JUDGED


ENTRY = Entry(
    kind="metric",
    headline=True,
    name="exact_match",
    summary="share of correct final answers, 0 to 1; higher is better",
    run=run,
    args=(
        Arg(
            "form",
            "word",
            "flexible",
            "how the answer is read: `strict` after ####, `flexible` the last number, `the_answer_is` after those "
            "words, `letter` the option A to E that the answer states, or the only one that it names",
            tuple(FORMS),
        ),
    ),
    paper="Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems (GSM8K)",
    example="evaluate forgetful on gsm8k with exact_match(form: strict)",
    needs=frozenset({"golds"}),
    version=3,
    aliases=("em", "accuracy", "acc"),
    rate=True,
    least=0,
    most=1,
    reads_gold=gold_reader,
)

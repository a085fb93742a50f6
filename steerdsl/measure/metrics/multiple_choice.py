"""Whether the letter of the right option is the likeliest of the letters.

In: rows with options and a right answer, and log p of each letter after the question. Out: 1 or 0 a
row. What the model is shown is made here too, so that question and answer are read the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from types import MappingProxyType

from steerdsl.measure.answers import Answers, Figures
from steerdsl.registry import Arg, Entry

# What stands after the options. "answer" makes the prompt of lm-evaluation-harness's MMLU.
FORMS: Mapping[str, str] = MappingProxyType(
    {"answer": "Answer:", "instruction": "Answer with the letter of the right option and nothing else."}
)
_LABEL = re.compile(r"\s*\(?([A-Za-z])\s?[).:]\s*")


def options(choices: Sequence[str]) -> tuple[str, ...]:
    """The options without letters of their own: `A)5 km`, `B)6 km` are `5 km`, `6 km`."""
    labels = [_LABEL.match(text) for text in choices]
    if any(found is None or found[1].upper() != ascii_uppercase[i] for i, found in enumerate(labels)):
        return tuple(text.strip() for text in choices)
    return tuple(text[found.end() :].strip() for text, found in zip(choices, labels, strict=True) if found)


def letters(choices: Sequence[str]) -> str:
    """The letters of so many options."""
    return ascii_uppercase[: len(choices)]


def prompt(question: str, choices: Sequence[str], form: str = "answer") -> str:
    """The question, its options with letters, and what asks for one of them."""
    lines = [f"{letter}. {text}" for letter, text in zip(letters(choices), options(choices), strict=True)]
    return "\n".join([question.strip(), *lines, FORMS[form]])


def right(answer: str, choices: Sequence[str]) -> int | None:
    """Which option the right answer names: by its letter, by its text, or by its number from 0."""
    text, known = answer.strip(), options(choices)
    letter = re.fullmatch(r"\(?([A-Za-z])[).:]?", text)
    if letter and letter[1].upper() in letters(choices):
        return letters(choices).index(letter[1].upper())
    whole = [i for i, choice in enumerate(choices) if text in (choice.strip(), known[i])]
    if whole:
        return whole[0]
    return int(text) if text.isdecimal() and int(text) < len(choices) else None


def problem(answer: str | None, choices: Sequence[str]) -> str | None:
    """Why a row is no multiple choice, or None."""
    if not 2 <= len(choices) <= len(ascii_uppercase):
        return f"has {len(choices)} options" if choices else "has no options"
    if answer is None:
        return "has no right answer"
    if right(answer, choices) is None:
        return f'has the answer "{answer}", which is none of its {len(choices)} options'
    return None


def run(answers: Answers, form: str = "answer") -> Figures:
    """1.0 where the right option's letter has the highest log-probability, the first of equals."""
    values = []
    read = answers.logprobs[f"letters {form}"]
    for gold, choices, logprobs in zip(answers.golds, answers.choices, read, strict=True):
        likeliest = max(range(len(choices)), key=lambda i: float(logprobs[i]))
        values.append(float(gold is not None and likeliest == right(gold, choices)))
    return Figures(values, mean="rate")


ENTRY = Entry(
    kind="metric",
    name="multiple_choice",
    summary="share of rows whose right option has the likeliest letter, 0 to 1; higher is better",
    run=run,
    args=(
        Arg(
            "form",
            "word",
            "answer",
            'what follows the options: `answer` "Answer:", `instruction` a sentence that asks for the letter',
            tuple(FORMS),
        ),
    ),
    formula="argmaxᵢ log p(letterᵢ | question, options) = the right one",
    paper="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding (MMLU)",
    example="evaluate forgetful on mmlu with multiple_choice",
    needs=frozenset({"golds", "choices", "logprobs", "letters"}),
    aliases=("mcq", "mc", "mc1"),
)

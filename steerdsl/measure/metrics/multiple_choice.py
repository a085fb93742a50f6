"""Whether the letter of the right option is the likeliest of the letters.

In: rows with options, which of them is right, and log p of each letter after the question. Out: 1 or 0 a
row. What the model is shown is made here too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from steerdsl.measure.answers import Answers, Figures
from steerdsl.measure.choices import letters, options
from steerdsl.registry import Arg, Entry

# What follows the options. "answer" makes the prompt of lm-evaluation-harness's MMLU.
FORMS: Mapping[str, str] = MappingProxyType(
    {"answer": "Answer:", "instruction": "Answer with the letter of the right option and nothing else."}
)


def prompt(question: str, choices: Sequence[str], form: str = "answer") -> str:
    """The question, its options with letters, and what asks for one of them."""
    lines = [f"{letter}. {text}" for letter, text in zip(letters(choices), options(choices), strict=True)]
    return "\n".join([question.strip(), *lines, FORMS[form]])


def run(answers: Answers, form: str = "answer") -> Figures:
    """1.0 where the right option's letter has the highest log-probability, the first of equals."""
    values = []
    read = answers.logprobs[f"letters {form}"]
    for right, choices, logprobs in zip(answers.rights, answers.choices, read, strict=True):
        likeliest = max(range(len(choices)), key=lambda i: float(logprobs[i]))
        values.append(float(likeliest == right))
    return Figures(values, mean="rate")


ENTRY = Entry(
    kind="metric",
    headline=True,
    name="multiple_choice",
    summary="share of rows whose correct option has the most likely letter, 0 to 1; higher is better",
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
    version=2,
    aliases=("mcq", "mc", "mc1"),
    rate=True,
    least=0,
    most=1,
)

"""Marks of an LLM judge by a rubric: one's own or one of the ready ones, and AxBench's score.

In: answers with marks. Out: one figure a prompt, nan where the judge gave no mark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from steerdsl.measure import ready_rubrics
from steerdsl.measure.answers import NONE, Answers, Figures
from steerdsl.measure.ready_rubrics import CONCEPT, READY
from steerdsl.measure.rubric import VERSION, Rubric, filled
from steerdsl.registry import Arg, Entry

WHOLE = (0.0, 100.0)  # the scale of a rubric in a file that the recipe gives no other
UNMARKED = "the judge gave no mark (`judge` of the record says why)"
AXES = ("concept", "instruction", "fluency")
_JUDGE = Arg(
    "judge", "text", None, "a model that this run opens and asks itself: a hub id or a folder; else --judge-url's"
)
_MARK = Arg(
    "mark",
    "word",
    "expectation",
    "the mean over the probabilities of number tokens where the judge gives these and a mark is one token, else the "
    "number that it writes; or always that number",
    ("expectation", "number"),
)


def rubrics(options: Mapping[str, Any]) -> tuple[Rubric, ...]:
    """What a judge is asked by a call of these metrics; a rubric in a file has been read into `text` before."""
    expected = options.get("mark") != "number"
    if "concept" in options:
        first = filled(CONCEPT.text, {"concept": " ".join(str(options["concept"]).split())})
        texts = (first, READY["instruction"].text, READY["fluency"].text)
        return tuple(
            Rubric(f"axbench {axis}", text, CONCEPT.scale, expected) for axis, text in zip(AXES, texts, strict=True)
        )
    name = str(options["rubric"])
    scale = options.get("scale") or (READY[name].scale if name in READY else WHOLE)
    text = READY[name].text if name in READY else str(options.get("text", ""))
    return (Rubric(PurePosixPath(name).stem, text, (float(scale[0]), float(scale[1])), expected),)


def judge_of(options: Mapping[str, Any]) -> str | None:
    """The model that a call asks, where the run opens it itself."""
    found = options.get("judge")
    return None if found is None else str(found)


def run(answers: Answers, **options: Any) -> Figures:
    """The judge's mark of each answer, alone, on the rubric's scale."""
    (rubric,) = rubrics(options)
    return Figures(list(answers.marks[judge_of(options), rubric]), reason=UNMARKED, bounds=rubric.scale)


def run_axbench(answers: Answers, **options: Any) -> Figures:
    """The harmonic mean of three marks from 0 to 2: 3 / (1/c + 1/i + 1/f), and 0 where one of them is 0."""
    found = [answers.marks[judge_of(options), rubric] for rubric in rubrics(options)]
    return Figures([harmonic(marks) for marks in zip(*found, strict=True)], reason=UNMARKED)


def harmonic(marks: tuple[float, ...]) -> float:
    """The harmonic mean of marks of 0 and more; nan where one of them is not known."""
    if any(mark != mark for mark in marks):
        return NONE
    return len(marks) / sum(1 / mark for mark in marks) if all(marks) else 0.0


def title(options: Mapping[str, Any]) -> str:
    """`judge_coherence`, and by whom where the recipe says it."""
    by = judge_of(options)
    words = (
        "judge",
        PurePosixPath(str(options["rubric"])).stem,
        *(() if by is None else ("by", PurePosixPath(by).name)),
    )
    return "_".join(re.sub(r"\W", "_", word, flags=re.ASCII) for word in words)


ENTRIES = (
    Entry(
        kind="metric",
        headline=True,
        name="judge",
        summary="a judge's mark of each answer, on the scale of its rubric; higher is more of what that asks for",
        run=run,
        args=(
            Arg(
                "rubric",
                "text",
                doc="a file (.md, .txt) that asks the judge a question, with the fields {question}, {answer} and "
                f"{{baseline}}; a trait file (.json), for its `eval_prompt`; or a ready one: {', '.join(READY)}",
                files=(".md", ".txt", ".json"),
                known=ready_rubrics.names,
            ),
            Arg("scale", "range", None, "the lowest and the highest mark; a ready rubric has its own, a file 0..100"),
            _MARK,
            _JUDGE,
        ),
        formula="E[m] = Σ m·p(m) / Σ p(m) over the marks among the likeliest tokens, or the number written",
        when="To ask a question of your own. Its figures are called `judge_` and the rubric's name.",
        paper="Zheng et al. 2023, Judging LLM-as-a-Judge; Liu et al. 2023, G-Eval (expectation); "
        "Chen et al. 2025, Persona Vectors (0 to 100 by expectation)",
        example='scores = evaluate forgetful on econ with judge("coherence"), judge("fluency")\n'
        "check scores.judge_coherence.econ > 80% of baseline",
        needs=frozenset({"marks"}),
        version=VERSION,
        title=title,
    ),
    Entry(
        kind="metric",
        headline=True,
        name="axbench",
        summary="harmonic mean of a judge's marks for concept, instruction and fluency, 0 to 2; higher is better",
        run=run_axbench,
        args=(Arg("concept", "text", doc="what the steered answers are to speak of, in words"), _MARK, _JUDGE),
        formula="3 / (1/concept + 1/instruction + 1/fluency); 0 where one of them is 0",
        when="To hold steering for a concept against prompting: an answer must speak of it, still do what was asked, "
        "and read well.",
        paper="Wu et al. 2025, AxBench: Steering LLMs? Even Simple Baselines Outperform Sparse Autoencoders",
        example='evaluate forgetful on generic with axbench("economics")',
        needs=frozenset({"marks"}),
        version=ready_rubrics.VERSION,
        least=0,
        most=2,
    ),
)

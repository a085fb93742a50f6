"""The part of each answer that metrics and judges read: the answer without its thoughts, unless a recipe says more.

In: answers as they were made. Out: the same with the text of that part, and why one has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from steerdsl.engine.context import Run
from steerdsl.engine.generate import Answer
from steerdsl.engine.stored_answers import rendered
from steerdsl.lang.vocabulary import ANSWER
from steerdsl.measure.thoughts import UNENDED, UNTHOUGHT, opened, part
from steerdsl.planning.requests import Request

Made = tuple[Request, list[Answer]]


def read_parts(run: Run, which: str, made: Sequence[Made]) -> tuple[list[Made], list[list[str | None]]]:
    """The answers to each request with `which` part of their text, "" where there is none, and for each answer why."""
    found, why = [], []
    for request, answers in made:
        begun = bool(answers) and opened(rendered(run, request)[0].text)
        texts = [part(a.text, which, begun) for a in answers]
        found.append((request, [replace(a, text=text or "") for a, text in zip(answers, texts, strict=True)]))
        missing = UNENDED if which == ANSWER else UNTHOUGHT
        why.append([missing if text is None else None for text in texts])
    return found, why

"""Answers side by side: the unsteered one and the others, with the words that differ marked.

In: generations.jsonl. Out: a section of the report, of bounded size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, REFERENCE
from steerdsl.show.report.files import RunFiles
from steerdsl.show.report.html import Html, details, joined, section, tag

SHOWN = 12  # prompts of a data set that are shown
ACROSS = 8  # answers beside the unsteered one, for one prompt
LENGTH = 2000  # characters of an answer that are shown
WORDS = re.compile(r"\s*(?:\w+|[^\w\s])\s*|\s+")

Answered = dict[str, Mapping[str, Any]]  # what gave an answer -> its line


def answers(run: RunFiles) -> Html:
    """For each step and data set the first prompts, one below another, their answers side by side."""
    parts: list[Html] = []
    for (step, data), prompts in _grouped(run.rows).items():
        kept = list(prompts.items())[:SHOWN]
        left = len(prompts) - len(kept)
        rest = [tag("p", f"{left} further prompts are in generations.jsonl", class_="note")] if left else []
        title = f"{step or 'answers'} on {data}: {len(prompts)} prompts"
        inner = [_prompt(prompt, answered) for (_, prompt), answered in kept]
        parts.append(details(title, *inner, *rest, shown=not parts))
    only, new = tag("del", "like this"), tag("ins", "like this")
    note = joined(
        ("Words of the unsteered answer that the first steered one lacks are marked ", only, ", new ones ", new, ".")
    )
    return section("Answers", tag("p", note, class_="note"), *parts) if parts else Html("")


def _grouped(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[tuple[int, str], Answered]]:
    """step, data set -> row, prompt -> what answered -> its first sample."""
    found: dict[tuple[str, str], dict[tuple[int, str], Answered]] = {}
    for row in rows:
        if row.get("sample", 0) != 0 or row["variant"] == REFERENCE:
            continue
        prompts = found.setdefault((str(row.get("step", "")), str(row.get("dataset", ""))), {})
        point = row.get("point") or {}
        own = row["variant"] + "".join(f", {axis} {label}" for axis, label in point.items())
        answered = prompts.setdefault((int(row.get("row", 0)), str(row.get("prompt", ""))), {})
        answered.setdefault(BASELINE if row["variant"] == BASELINE else own, row)
    return found


def _prompt(prompt: str, answered: Answered) -> Html:
    """A prompt, and its answers in columns: the unsteered one first, its marks those of the first steer."""
    base = answered.get(BASELINE)
    others = [(name, row) for name, row in answered.items() if name != BASELINE]
    others.sort(key=lambda other: other[0].partition(",")[0] in HELD_AGAINST)
    shown = _spread(others)
    before = None if base is None else base.get("text")
    columns = []
    if base is not None:
        against = shown[0][1].get("text") if shown else None
        columns.append(_answer(BASELINE, base, marked(base.get("text"), against, "del")))
    columns += [_answer(name, row, marked(row.get("text"), before, "ins")) for name, row in shown]
    left = len(others) - len(shown)
    rest = [tag("p", f"{left} further answers are in generations.jsonl", class_="note")] if left else []
    return tag("article", tag("h4", prompt), tag("div", *columns, class_="answers"), *rest)


def _spread(others: list[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Some of many answers, evenly spaced, as over the points of a sweep."""
    if len(others) <= ACROSS:
        return others
    return [others[i * (len(others) - 1) // (ACROSS - 1)] for i in range(ACROSS)]


def _answer(name: str, row: Mapping[str, Any], body: Html) -> Html:
    end = "" if row.get("ended", True) else tag("span", " (cut at max_tokens)", class_="note")
    return tag("div", tag("h5", name, end), body)


def marked(said: str | None, other: str | None, mark: str) -> Html:
    """An answer with the words marked that another one lacks, which is None where there is none to
    compare with; a line of its own for an answer that is withheld (None) or empty."""
    if said is None:
        return tag("p", "withheld", class_="note")
    if not said.strip():
        return tag("p", "(empty)", class_="note")
    if other is None:
        return tag("p", _cut(said))
    own, theirs = (WORDS.findall(_cut(text)) for text in (said, other))
    parts: list[Html | str] = []
    # Line ends and double spaces are no difference in words.
    pairs = SequenceMatcher(None, [w.strip() for w in theirs], [w.strip() for w in own], autojunk=False)
    for kind, _, _, start, end in pairs.get_opcodes():
        words = "".join(own[start:end])
        if words:
            inner = words.rstrip()
            parts += [words] if kind == "equal" else [tag(mark, inner), words[len(inner) :]]
    return tag("p", *parts)


def _cut(said: str) -> str:
    return said if len(said) <= LENGTH else said[:LENGTH].rsplit(" ", 1)[0] + " …"

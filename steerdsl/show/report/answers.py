"""Answers side by side: the unsteered one and the others, with the words that differ marked.

In: generations.jsonl. Out: a section of the report, of bounded size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, REFERENCE
from steerdsl.show.report.html import Html, details, joined, section, tag
from steerdsl.store.finished_run import Finished

SHOWN = 12  # prompts of a data set that are shown
ACROSS = 8  # answers besides the unsteered one that are open, for one prompt
MOST = 120  # of them that are shown at all: every point of a sweep that is not enormous
ALIKE = 0.25  # share of words in common from which on the others are marked
LENGTH = 2000  # characters of an answer that are shown
WORDS = re.compile(r"\s*(?:\w+|[^\w\s])\s*|\s+")

Answered = dict[str, Mapping[str, Any]]  # what gave an answer -> its line


def answers(run: Finished) -> Html:
    """For each step and data set the first prompts, one below another, their answers side by side."""
    parts: list[Html] = []
    for (step, data), prompts in _grouped(run.answers).items():
        kept = list(prompts.items())[:SHOWN]
        left = len(prompts) - len(kept)
        rest = [tag("p", f"{left} further prompts are in generations.jsonl", class_="note")] if left else []
        title = f"{step or 'answers'} on {data}: {len(prompts)} prompts"
        inner = [_prompt(prompt, answered) for (_, prompt), answered in kept]
        parts.append(details(title, *inner, *rest, shown=not parts))
    only, new = tag("del", "like this"), tag("ins", "like this")
    note = joined(
        (
            "Words of the unsteered answer that are missing from the first steered one are marked ",
            only,
            ", new ones ",
            new,
            ". Where two answers have hardly a word in common, nothing is marked.",
        )
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
    """A prompt, and its answers in columns: the unsteered one first, its marks those of the first steer. The
    answers at many points of a sweep open on a click."""
    base = answered.get(BASELINE)
    others = _together([(name, row) for name, row in answered.items() if name != BASELINE])
    others.sort(key=lambda other: other[1]["variant"] in HELD_AGAINST)
    steered = [row for _, row in others if row["variant"] not in HELD_AGAINST]
    before = None if base is None else base.get("text")
    cards = []
    if base is not None:
        against = steered[0].get("text") if steered else None
        cards.append(_answer(BASELINE, base, marked(base.get("text"), against, "del")))
    left = len(others) - MOST
    if left > 0:
        others = [others[i * (len(others) - 1) // (MOST - 1)] for i in range(MOST)]
    made = [_answer(name, row, marked(row.get("text"), before, "ins")) for name, row in others]
    if len(made) <= ACROSS:
        return tag("article", tag("h4", prompt), tag("div", *cards, *made, class_="answers"))
    first = tag("div", *cards, *made[:1], class_="answers")
    rest = details(f"the {len(made) - 1} other answers", tag("div", *made[1:], class_="answers"))
    note = [tag("p", f"{left} further answers are in generations.jsonl", class_="note")] if left > 0 else []
    return tag("article", tag("h4", prompt), first, rest, *note)


def _together(others: list[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, Mapping[str, Any]]]:
    """The answers, those of a variant that are the same at all points of a sweep as one."""
    texts: dict[str, list[Any]] = {}
    for _, row in others:
        texts.setdefault(row["variant"], []).append((row.get("text"), row.get("text_sha256")))
    shown = []
    for name, row in others:
        same = texts[row["variant"]]
        if len(same) == 1 or len(set(same)) > 1:
            shown.append((name, row))
        elif not any(other["variant"] == row["variant"] for _, other in shown):
            shown.append((f"{row['variant']}, the same at {len(same)} points", row))
    return shown


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
    return tag("p", *(tag(mark, words) if own else words for words, own in parts(said, other)))


def parts(said: str, other: str | None) -> list[tuple[str, bool]]:
    """A text in pieces, each with whether the other text lacks it. Nothing is marked where there is no other, or
    where the two have hardly a word in common."""
    if other is None:
        return [(_cut(said), False)]
    own, theirs = (WORDS.findall(_cut(text)) for text in (said, other))
    # Line ends and double spaces are not a difference in words.
    pairs = SequenceMatcher(None, [w.strip() for w in theirs], [w.strip() for w in own], autojunk=False)
    if pairs.ratio() < ALIKE:  # another text: all of it would be marked
        return [(_cut(said), False)]
    found: list[tuple[str, bool]] = []
    for kind, _, _, start, end in pairs.get_opcodes():
        words = "".join(own[start:end])
        inner = words if kind == "equal" else words.rstrip()
        found += [(piece, new) for piece, new in ((inner, kind != "equal"), (words[len(inner) :], False)) if piece]
    return found


def _cut(said: str) -> str:
    return said if len(said) <= LENGTH else said[:LENGTH].rsplit(" ", 1)[0] + " …"

"""The answers behind a point of a picture: those of one evaluation at one point of its sweep, side by side.

In: a run. Out: plain values for the page, of bounded size. Texts are in pieces, each with whether it is marked as one
that the unsteered answer lacks, or, of the unsteered one, as one that the first steered answer lacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steerdsl.lang.variants import BASELINE, HELD_AGAINST, REFERENCE
from steerdsl.measure.table import Point, point, said
from steerdsl.show.report.answers import parts
from steerdsl.store.finished_run import Finished

SHOWN = 24  # prompts of a point that are told
Line = Mapping[str, Any]


def points(run: Finished, evaluation: str) -> list[Point] | None:
    """The points of an evaluation in the order of its sweep; None for one that there is not."""
    found = run.scores.evaluations.get(evaluation)
    return None if found is None else list(found.points)


def answers(run: Finished, evaluation: str, at: Point) -> dict[str, Any]:
    """The answers of one point, prompt by prompt."""
    asked: dict[tuple[str, int, str], dict[str, Line]] = {}
    for line in run.answers:
        own = line.get("step") == evaluation and point(line.get("point") or {}) == at
        if own and line.get("sample", 0) == 0 and line["variant"] != REFERENCE:
            prompt = (str(line.get("dataset", "")), int(line.get("row", 0)), str(line.get("prompt", "")))
            asked.setdefault(prompt, {}).setdefault(line["variant"], line)
    rows = next(iter(run.scores.evaluations[evaluation].points[at]), None)
    return {
        "at": said(dict(at)),
        "failed": rows.failed if rows else None,
        "steer": _steer(asked.values()),
        "point": dict(at),
        "prompts": [_prompt(*prompt, found) for prompt, found in list(asked.items())[:SHOWN]],
        "left": max(0, len(asked) - SHOWN),
    }


def marked(before: str | None, after: str | None) -> tuple[list[list[Any]], list[list[Any]]]:
    """Two answers in pieces, each with whether the other one lacks it."""
    one, other = ([] if x is None else [list(p) for p in parts(x, y)] for x, y in ((before, after), (after, before)))
    return one, other


def _steer(found: Any) -> str | None:
    names = (name for own in found for name in own if name != BASELINE and name not in HELD_AGAINST)
    return next(names, None)


def _prompt(data: str, row: int, prompt: str, found: Mapping[str, Line]) -> dict[str, Any]:
    order: Sequence[str] = sorted(found, key=lambda name: (name != BASELINE, name in HELD_AGAINST))
    base = _text(found.get(BASELINE))
    first = next((_text(found[name]) for name in order if name != BASELINE), None)
    sides = []
    for name in order:
        line = found[name]
        text, other = _text(line), first if name == BASELINE else base
        pieces = None if text is None else [list(piece) for piece in parts(text, other)]
        sides.append({"name": name, "parts": pieces, "ended": bool(line.get("ended", True))})
    return {"data": data, "row": row, "prompt": prompt, "answers": sides}


def _text(line: Line | None) -> str | None:
    """What was answered; None where it is withheld, or where there is nothing."""
    text = None if line is None else line.get("text")
    return None if text is None else str(text)

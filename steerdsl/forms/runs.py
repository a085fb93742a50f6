"""The forms of a run directory's other files; docs/run-directory.md says what each value means.

Names that are not here may be there, since readers accept what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from steerdsl.forms.form import EACH, By, Either, Maybe, Such
from steerdsl.forms.record import NUMBER, Record

LARGEST_ANSWERS = 512 << 20  # bytes: a million answers
AT = {EACH: str}


# This distinguishes a run directory from other folders that hold a record.json.
MARK: Mapping[str, Any] = {
    **{"schema": int, "state": str, "reached": str, "run": dict, "packages": dict, "files": Maybe({EACH: str})},
    "recipe": {"name": str, "text": str, "sha256": str},
    "plan": {"steps": [{"verb": str, "settings": [(str, str)]}]},
}


def exports(record: Record) -> list[str]:
    """What the exports of a run are called, by their path from the run directory."""
    steps = [step["settings"] for step in record["plan"]["steps"] if step["verb"] == "export"]
    return [text for settings in steps for label, text in settings if label == "file"]


def _interval(figures: Mapping[str, Any]) -> bool:
    """Whether a figure has both ends of its interval or none, and an interval of something."""
    low, high = figures["low"], figures["high"]
    middle = figures["mean"] if "mean" in figures else figures["difference"]
    return (low is None) == (high is None) and (low is None or middle is not None)


_ENDS = {"low": NUMBER, "high": NUMBER}
_WHOLE = "figures with both ends of an interval or none"
_RANK = {"rank": Maybe(NUMBER), "p_rank": Maybe(NUMBER), "draws": Maybe(int | None)}
_GAP = Such({"difference": NUMBER, **_ENDS, "p": NUMBER, "p_holm": NUMBER, **_RANK}, _interval, _WHOLE)
_AVERAGE = Maybe(Either((re.compile("arithmetic|rate|geometric"), None)))  # null at a point that failed
_BEHIND = {"values": [NUMBER], "average": _AVERAGE, "weights": Maybe([NUMBER])}
_FIGURES = Such(
    {
        **{"mean": NUMBER, **_ENDS, "n": int, "reason": Maybe(str | None), **_BEHIND, "spread": Maybe(NUMBER)},
        **{"draws": Maybe([{"mean": NUMBER, **_BEHIND}]), "against": Maybe({EACH: _GAP})},
        **{"bounds": Maybe((float, float))},
    },
    _interval,
    _WHOLE,
)
MOST_NAMES = 1000  # metrics of an evaluation, data sets of a metric, variants of a data set


def _few(named: Mapping[str, Any]) -> bool:
    return 0 < len(named) <= MOST_NAMES


_FEW = f"an object with 1 to {MOST_NAMES} names"
_BY_DATA = Such({EACH: Such({EACH: _FIGURES}, _few, _FEW)}, _few, _FEW)
TABLE = Such({EACH: _BY_DATA}, lambda table: len(table) <= MOST_NAMES, f"an object of at most {MOST_NAMES} names")


def _alike(points: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there are points, all of the same axes, metrics and data sets."""

    def shape(point: Mapping[str, Any]) -> tuple[list[str], dict[str, list[str]]]:
        return sorted(point["at"]), {metric: sorted(by_data) for metric, by_data in point["scores"].items()}

    return bool(points) and bool(points[0]["at"]) and all(shape(point) == shape(points[0]) for point in points)


_POINT = {"at": AT, "scores": TABLE, "failed": Maybe(str | None)}
_POINTS = Such([_POINT], _alike, "a list of points of the same axes, metrics and data sets")
_SWEPT = {"points": _POINTS}
SCORES: Mapping[str, Any] = {
    EACH: By(lambda entry: _SWEPT if isinstance(entry, dict) and "points" in entry else TABLE, (_SWEPT, TABLE))
}


def _answered(row: Mapping[str, Any]) -> bool:
    """Whether an answer has a text or says that it is withheld, with what its text hashes to."""
    return row["text"] is not None or (row.get("withheld") is True and isinstance(row.get("text_sha256"), str))


ANSWER = Such(
    {
        **{"step": str, "variant": str, "dataset": str, "split": Maybe(str), "row": int, "sample": int, "prompt": str},
        **{"rendered_sha256": Maybe(str), "token_ids": Maybe([int]), "text": str | None, "ended": bool},
        **{"withheld": Maybe(bool), "text_sha256": Maybe(str), "point": Maybe(AT)},
        **{"system": Maybe(str), "prefix": Maybe(str)},
    },
    _answered,
    "an answer with a text, or one that is withheld",
)

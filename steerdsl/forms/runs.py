"""The forms of a run directory's files; docs/run-directory.md says what each value means.

Names that are not here may be there, since readers accept what they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from steerdsl.forms.form import EACH, By, Either, Maybe, Such

SCHEMA = 1
LARGEST_ANSWERS = 512 << 20  # bytes: a million answers
SCALAR = str | int | float | bool | None
NUMBER = float | None  # null where there is none
AT = {EACH: str}

_STEP = {
    **{"number": int, "verb": str, "name": str, "title": str},
    **{"settings": [(str, str)], "key": str | None},
}
_TIMING = {
    **{"step": int, "verb": str, "name": str, "seconds": float},
    **dict.fromkeys(("requests", "sent", "received"), Maybe(int)),
}
_MODEL_TEXTS = ("revision", "weights_sha256", "dtype", "family", "tokenizer_sha256", "template_sha256", "path")
_DATA = {
    **{"source": str, "sha256": str, "rows": int, "ids": [str], "fields": {EACH: str}},
    **{"seed": Maybe(int | None), "held_out": Maybe(NUMBER)},
    EACH: SCALAR,
}
_ROWS = Either((range(1, 1 << 31), re.compile("auto")))
_RUN = {
    **{"on": str, "device": str, "dtype": str, "batch_size": _ROWS, "seed": int | None, "set": [str]},
    **{"model": str | None, "judge_model": str | None, "keep_unsafe": bool},
}


def _aligned(choice: Mapping[str, Any]) -> bool:
    """Whether a choice has one figure and one score for each layer."""
    return all(len(row) == len(choice["layers"]) for row in (choice["score"], *choice["figures"].values()))


CHOICE = Such(
    {
        **{"vector": str, "criterion": str, "chosen": [int], "order": [int], "layers": [int]},
        **{"score": [NUMBER], "figures": {EACH: [NUMBER]}, "notes": [str]},
    },
    _aligned,
    "a choice with one figure for each layer",
)
_CHECK = {
    **{"claim": str, "holds": bool | None, "left": NUMBER, "right": NUMBER, "by": Maybe(NUMBER)},
    **{name: Maybe(NUMBER) for name in ("low", "high", "p", "p_holm", "family", "confidence", "needs")},
    "at": AT,
}
RECORD: Mapping[str, Any] = {
    "schema": Such(int, lambda schema: schema == SCHEMA, f"{SCHEMA}, the schema that this version reads"),
    **{"state": str, "reached": str, "error": Maybe(str | None), "started": str, "seconds": float},
    **{"timings": [_TIMING], "warnings": [str], "judge": Maybe(Either(({EACH: SCALAR}, None)))},
    "recipe": {"name": str, "text": str, "sha256": str, "folder": Maybe(str)},
    "inputs": {EACH: str},
    "plan": {"params": {EACH: object}, "steps": [_STEP]},
    "model": {**dict.fromkeys(_MODEL_TEXTS, str | None), "id": str, "source": str, "n_layers": int, "d_model": int},
    "template": {EACH: str | None},
    "data": {EACH: _DATA},
    "run": _RUN,
    "packages": {EACH: str},
    "machine": {EACH: SCALAR},
    "choices": {EACH: CHOICE},
    "planes": Maybe({EACH: {"explained": Maybe(NUMBER), EACH: object}}),
    "checks": [_CHECK],
    "reused_from": Maybe([{"step": int, "kind": str, "made_with": {EACH: str}}]),
    "files": Maybe({EACH: str}),
}


# By this a run directory is told from other folders that hold a record.json.
MARK: Mapping[str, Any] = {
    **{"schema": int, "state": str, "reached": str, "run": dict, "packages": dict, "files": Maybe({EACH: str})},
    "recipe": {"name": str, "text": str, "sha256": str},
    "plan": {"steps": [{"verb": str, "settings": [(str, str)]}]},
}


def exports(record: Mapping[str, Any]) -> list[str]:
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
_GAP = Such({"difference": NUMBER, **_ENDS, "p": NUMBER, "p_holm": NUMBER}, _interval, _WHOLE)
_FIGURES = Such(
    {"mean": NUMBER, **_ENDS, "n": int, "values": [NUMBER], "against": Maybe({EACH: _GAP})}, _interval, _WHOLE
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


_POINTS = Such([{"at": AT, "scores": TABLE}], _alike, "a list of points of the same axes, metrics and data sets")


SCORES: Mapping[str, Any] = {
    EACH: By(lambda entry: {"points": _POINTS} if isinstance(entry, dict) and "points" in entry else TABLE)
}


def _answered(row: Mapping[str, Any]) -> bool:
    """Whether an answer has a text or says that it is withheld, with what its text hashes to."""
    return row["text"] is not None or (row.get("withheld") is True and isinstance(row.get("text_sha256"), str))


ANSWER = Such(
    {
        **{"step": str, "variant": str, "dataset": str, "split": Maybe(str), "row": int, "sample": int, "prompt": str},
        **{"rendered_sha256": Maybe(str), "token_ids": Maybe([int]), "text": str | None, "ended": bool},
        **{"withheld": Maybe(bool), "text_sha256": Maybe(str), "point": Maybe(AT)},
    },
    _answered,
    "an answer with a text, or one that is withheld",
)

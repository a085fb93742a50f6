"""The forms of what is shared or kept besides runs: locks, the manifests of packs, results of the store, notes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from steerdsl.forms.form import EACH, Either, Maybe, Such
from steerdsl.forms.record import SCALAR

SHA256 = re.compile(r"[0-9a-f]{64}")
LARGEST_LOCK = 16 << 20  # bytes; a recipe of a thousand steps has some hundred kilobytes
LARGEST_NOTE = 1 << 20

LOCK: Mapping[str, Any] = {"schema": int, "pins": {EACH: SCALAR}}

MANIFEST: Mapping[str, Any] = {
    "format": Such(str, lambda text: text == "steerpack", "steerpack"),
    "version": int,
    "recipe": Such(str, lambda name: name not in ("", ".", "..") and "/" not in name, "the name of a file"),
    "members": {EACH: {"bytes": int, "sha256": SHA256}},
}

# What a result of the store says of itself.
RESULT: Mapping[str, Any] = {
    "key": str,
    "kind": Maybe(str),
    "files": {EACH: {"bytes": int, "sha256": SHA256}},
    "made_with": Maybe([{EACH: str}]),
}
HOSTS = [str]  # servers that the user has been informed of
# What a search found: the values of each point that was tried, layers as their numbers, and the point it chose.
SEARCH: Mapping[str, Any] = {
    "batches": [[{EACH: float}]],
    "best": {"at": {EACH: str}, "values": {EACH: float}, "layers": {EACH: int}},
}
_LENGTH = Either((float, None))
# The lengths that additions of a vector are measured in, layer by layer.
SCALES = [{"layer": int, "raw": float, "sd": _LENGTH, "norm": _LENGTH, "inverse": _LENGTH, "why": str}]
DOCUMENTS: Mapping[str, Any] = {  # a harness task's figures
    "values": [float],
    "mean": re.compile("arithmetic|rate|geometric"),
    "weights": Either(([float], None)),
}
# What is kept of a finished run besides its files: the results behind each step, and what was printed before it.
WHOLE: Mapping[str, Any] = {
    "here": {EACH: str},
    "steps": [{"number": int, "verb": str, "name": str, "done": bool, "keys": [SHA256]}],
    "said": [
        {
            "code": str,
            "title": str,
            "severity": re.compile("error|warning"),
            "notes": [str],
            "help": str | None,
            "labels": [(range(1 << 31), range(1 << 31), str)],
        }
    ],
    "warnings": [str],
}
SPEEDS: Mapping[str, Any] = {EACH: Such(float, lambda rate: rate > 0, "tokens a second")}
REPLY = {"reply": str}  # a judge's
MARKED = {"reply": str, "candidates": Either(([(str, float)], None))}  # the same by a rubric
ANSWER = (range(1 << 31), range(1 << 31), [int], str, bool)  # prompt, sample, tokens, text, whether it ended
BATCHED_ANSWER = ([int], str, bool)  # the same in a batch, whose key knows the places
FIGURES = [Either((float, [float]))]  # what was read of one text: a figure a token, or rows of figures

# What the header of a vector's file has under "steerdsl".
VECTOR: Mapping[str, Any] = {
    **{"format": int, "name": str, "stream": str, "per_layer": range(1, 1 << 20), "n_layers": range(1, 1 << 20)},
    **{"meta": {"from_layers": Maybe([int]), "own_layers": Maybe([int])}, "figures": dict},
}

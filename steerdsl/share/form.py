"""The form of a record that someone else may have written: what must be in it before it is run again.

In: the JSON of a record. Out: the path of the first value that is missing or is of another type, or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EACH = "*"  # stands for every name of an object
_ABSENT = object()

# A type, a range of whole numbers, a set of ranges and texts, an object by its names, a list of any length
# [form], or a list of just these (form, form).
_STEP = {"verb": str, "name": str, "title": str, "settings": [(str, str)], "key": str | None}
_MODEL = ("id", "revision", "weights_sha256", "dtype", "family", "tokenizer_sha256", "template_sha256")
RECORD: Mapping[str, Any] = {
    "recipe": {"name": str, "text": str, "sha256": str, "folder": str},
    "inputs": {EACH: str},
    "plan": {"params": {EACH: object}, "steps": [_STEP]},
    "model": {**dict.fromkeys(_MODEL, str | None), "n_layers": int, "d_model": int, "path": str | None, "source": str},
    "template": {EACH: str | None},
    "data": {EACH: {"ids": [str], "fields": {EACH: str}}},
    "run": {
        **{
            "on": str,
            "dtype": str,
            "batch_size": frozenset(("auto", range(1, 1 << 31))),
            "seed": int | None,
            "set": [str],
        },
        **{"model": str | None, "judge_model": str | None, "keep_unsafe": bool},
    },
    "packages": {EACH: str},
    "machine": {EACH: object},
    "files": {EACH: str},
    **dict.fromkeys(("choices", "planes", "checks"), object),
}


def misfit(value: Any, form: Any = RECORD, place: str = "") -> str | None:
    """Where `value` does not have `form`, as in `plan.steps[0].key`; None where it does."""
    inner = _inner(value, form)
    if inner is None:
        return place.removeprefix(".")
    found = (misfit(part, its_form, place + name) for name, part, its_form in inner)
    return next((wrong for wrong in found if wrong is not None), None)


def _inner(value: Any, form: Any) -> list[tuple[str, Any, Any]] | None:
    """What else is to be looked at, each with its form; None where `value` is wrong itself."""
    if isinstance(form, Mapping) and isinstance(value, dict):
        named = dict.fromkeys(value, form[EACH]) if EACH in form else form
        return [(f".{name}", value.get(name, _ABSENT), inner) for name, inner in named.items()]
    if isinstance(form, list | tuple) and isinstance(value, list):
        forms = form if isinstance(form, tuple) else form * len(value)
        parts = enumerate(zip(value, forms, strict=True)) if len(forms) == len(value) else None
        return None if parts is None else [(f"[{i}]", *pair) for i, pair in parts]
    if isinstance(form, Mapping | list | tuple) or value is _ABSENT:
        return None
    return [] if _fits(value, form) else None


def _fits(value: Any, form: Any) -> bool:
    if isinstance(form, frozenset):
        return any(_fits(value, one) for one in form)
    if isinstance(form, range):
        return type(value) is int and value in form
    return value == form if isinstance(form, str) else isinstance(value, form)

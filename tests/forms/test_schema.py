"""The JSON schemas of what a run writes say what the readers' forms say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict

import pytest
import whole_records as records
from fuzz.harness import changed, places, without

from steerdsl.forms.form import EACH, Either, Maybe, misfit
from steerdsl.forms.record import RECORD
from steerdsl.forms.runs import ANSWER, SCORES
from steerdsl.forms.schema import schema
from steerdsl.forms.text import read_json, read_lines
from steerdsl.forms.typed import form_of

RELEASED = Path(__file__).parent / "released"
WRONG: tuple[Any, ...] = (None, True, -1, 2.5, "x", [], {}, [[]], {"x": {"x": []}})
KINDS = {
    **{"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)},
    **{"object": dict, "array": list},
}


def valid(value: Any, rule: dict[str, Any]) -> bool:
    """Whether a value has a schema, by the words of draft 2020-12 that ours use."""
    assert rule.keys() <= {
        *("$schema", "title", "description", "type", "anyOf", "pattern", "minimum", "maximum", "items", "prefixItems"),
        *("minItems", "maxItems", "properties", "required", "additionalProperties"),
    }
    if "anyOf" in rule:
        return any(valid(value, one) for one in rule["anyOf"])
    kinds = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", list(KINDS))
    numbers = [kind for kind in kinds if kind in ("integer", "number")]
    kinds = numbers if isinstance(value, int) and not isinstance(value, bool) else kinds
    kinds = ["boolean"] * ("boolean" in kinds) if isinstance(value, bool) else kinds
    if not any(isinstance(value, KINDS[kind]) for kind in kinds):  # type: ignore[arg-type]
        return False
    if isinstance(value, str):
        return re.search(rule.get("pattern", ""), value) is not None
    if isinstance(value, int | float):
        return bool(rule.get("minimum", value) <= value <= rule.get("maximum", value))
    if isinstance(value, list):
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            return False
        rules = rule.get("prefixItems", [rule.get("items", {})] * len(value))
        return all(valid(part, one) for part, one in zip(value, rules, strict=True))
    if isinstance(value, dict):
        named, rest = rule.get("properties", {}), rule.get("additionalProperties", {})
        there = all(name in value for name in rule.get("required", ()))
        return there and all(valid(part, named.get(name, rest)) for name, part in value.items())
    return True


def wrongs(value: Any) -> Iterator[Any]:
    for path in places(value):
        yield from (changed(value, path, new) for new in WRONG)
        if path:
            yield without(value, path)


@pytest.mark.parametrize(
    ("form", "whole"),
    [(RECORD, records.RECORD), (SCORES, records.SCORES), (ANSWER, records.ANSWERS[0]), (ANSWER, records.ANSWERS[3])],
    ids=["record", "scores", "answer", "withheld"],
)
def test_a_schema_takes_what_the_form_takes(form: Any, whole: Any) -> None:
    """Every value in every wrong type. What the schema takes beyond the form breaks a condition that it cannot say."""
    rule = schema(form)
    assert valid(whole, rule) and misfit(whole, form) is None
    beyond = refused = 0
    for value in wrongs(whole):
        wrong = misfit(value, form)
        assert wrong is not None or valid(value, rule), value
        refused += wrong is not None
        beyond += wrong is not None and valid(value, rule)
    assert refused > 20 and beyond < 0.1 * refused


def test_a_released_run_has_the_schemas() -> None:
    assert valid(read_json(RELEASED / "record.json"), schema(RECORD))
    assert valid(read_json(RELEASED / "scores.json"), schema(SCORES))
    assert all(valid(line, schema(ANSWER)) for line in read_lines(RELEASED / "generations.jsonl"))


class Inner(TypedDict):
    x: int


class Outer(TypedDict):
    text: str
    some: str | None
    inner: Inner
    either: Inner | None
    listed: list[Inner]
    named: dict[str, float | None]
    maybe: NotRequired[list[int]]
    closer: Annotated[list[int], [range(3)]]
    any: object


def test_a_form_is_made_of_a_type() -> None:
    assert form_of(Outer) == {
        **{"text": str, "some": str | None, "inner": {"x": int}, "either": Either(({"x": int}, None))},
        **{"listed": [{"x": int}], "named": {EACH: float | None}, "maybe": Maybe([int]), "closer": [range(3)]},
        "any": object,
    }
    with pytest.raises(TypeError, match="is not a type of JSON"):
        form_of(set[int])


def test_schemas_are_json() -> None:
    for form in (RECORD, SCORES, ANSWER):
        assert json.loads(json.dumps(schema(form))) == schema(form)

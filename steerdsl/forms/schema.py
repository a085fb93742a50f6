"""A JSON schema from a form, for programs that read what steerdsl writes.

In: a form. Out: a schema of draft 2020-12. A condition of a form that a schema cannot say is its description.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, get_args

from steerdsl.forms.form import EACH, By, Either, Maybe, Such

_NAMES: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}


def schema(form: Any) -> dict[str, Any]:
    """The schema of a form."""
    match form:
        case Maybe():
            return schema(form.form)
        case Such():
            return {**schema(form.form), "description": form.what}
        case Either() | By():
            return {"anyOf": [schema(one) for one in form.forms]}
        case re.Pattern():
            return {"type": "string", "pattern": f"^({form.pattern})$"}
        case range():
            return {"type": "integer", "minimum": form.start, "maximum": form.stop - 1}
        case list():
            return {"type": "array", "items": schema(form[0])}
        case tuple():
            items = [schema(one) for one in form]
            return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
        case Mapping():
            return _object(form)
        case UnionType():
            return {"type": [_NAMES[one] for one in get_args(form)]}
    return {} if form is object else {"type": "object" if form is dict else _NAMES[NoneType if form is None else form]}


def _object(form: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: one for name, one in form.items() if name != EACH}
    found: dict[str, Any] = {"type": "object"}
    if named:
        found["properties"] = {name: schema(one) for name, one in named.items()}
        found["required"] = [name for name, one in named.items() if not isinstance(one, Maybe)]
    if EACH in form:
        found["additionalProperties"] = schema(form[EACH])
    return found

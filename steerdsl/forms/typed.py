"""A form from a type, so that what is checked and what the type checker knows are one thing.

In: the types of `typing`, as a `TypedDict` has them. Out: the form that `misfit` takes. `Annotated[T, form]` has a
form that is closer than T.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from steerdsl.forms.form import EACH, Either, Maybe

_PLAIN = frozenset((str, bool, int, float, object, NoneType))


def form_of(kind: Any) -> Any:
    """The form of the values that a type has. Raises TypeError for types that JSON does not have."""
    if is_typeddict(kind):
        return {name: form_of(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    origin, args = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return Maybe(form_of(args[0]))
    if origin is Annotated:
        return args[1]
    if origin is list:
        return [form_of(args[0])]
    if origin is dict:
        return {EACH: form_of(args[1])}
    if isinstance(kind, UnionType) and not _PLAIN.issuperset(args):
        return Either(tuple(None if one is NoneType else form_of(one) for one in args))
    if kind in _PLAIN or isinstance(kind, UnionType):
        return kind
    raise TypeError(f"{kind} is not a type of JSON")

"""Numbers that a search has yet to choose: an axis of a `tune` in its body, and `best.strength` after it.

In: made by `lower`. Out: the planner prints and hashes them by name, and the engine puts numbers in their place
(`settled`) before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from steerdsl.lang.recipe import LayerChoice, LayerPoint


class Tuned(float):
    """`scale · axis + offset`. As a float it is nan: arithmetic that does not know it gives no number, and the
    guards refuse what comes of it. `of` is the search's name and the axis, as in "best.strength"; `text` is how it
    is written where it stands. `layers` says whether the axis is one of layers, which is known after the search: None
    in its body."""

    __slots__ = ("layers", "of", "offset", "scale", "text")
    of: str
    text: str
    scale: float
    offset: float
    layers: bool | None

    def __new__(cls, of: str, text: str, scale: float = 1.0, offset: float = 0.0, layers: bool | None = None) -> Tuned:
        made = float.__new__(cls, math.nan)
        made.of, made.text, made.scale, made.offset, made.layers = of, text, scale, offset, layers
        return made

    def at(self, value: float) -> float:
        """The number, once the axis has this value."""
        return self.scale * value + self.offset

    @property
    def plain(self) -> bool:
        """Whether it is the axis itself, with no arithmetic done to it."""
        return self.scale == 1 and not self.offset

    def _times(self, factor: float) -> Tuned:
        return Tuned(self.of, self.text, self.scale * factor, self.offset * factor, self.layers)

    def __mul__(self, other: Any) -> Tuned:
        return self._times(float(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tuned:
        return self._times(1 / float(other))

    def __neg__(self) -> Tuned:
        return self._times(-1.0)

    def __add__(self, other: Any) -> Tuned:
        return Tuned(self.of, self.text, self.scale, self.offset + float(other), self.layers)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tuned:
        return self + -float(other)

    def __rsub__(self, other: Any) -> Tuned:
        return -self + float(other)

    def _parts(self) -> tuple[str, float, float]:
        return self.of, self.scale, self.offset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tuned) and self._parts() == other._parts()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._parts())

    def __format__(self, spec: str) -> str:
        """The name, and what is done with it; a percentage of the axis is the axis's own unit."""
        text = self.text if self.scale in (1.0, 0.01) else f"{self.scale:.6g} * {self.text}"
        return text + (f" {'+' if self.offset > 0 else '-'} {abs(self.offset):.6g}" if self.offset else "")

    def __repr__(self) -> str:
        return f"{self}"

    __str__ = __repr__


def settled(value: Any, numbers: Mapping[str, float], layers: Mapping[str, int]) -> Any:
    """A recipe value with the numbers and layers of a search put in, by "best.strength"."""
    match value:
        case Tuned():
            return value.at(numbers[value.of]) if value.of in numbers else value
        case LayerChoice(select=name) if name in layers:
            return LayerPoint(float(layers[name]))
        case tuple() | list():
            return type(value)(settled(item, numbers, layers) for item in value)
        case Mapping():
            return {key: settled(item, numbers, layers) for key, item in value.items()}
    if not is_dataclass(value) or isinstance(value, type):
        return value
    old = {f.name: getattr(value, f.name) for f in fields(value)}
    new = {name: settled(item, numbers, layers) for name, item in old.items()}
    changed = {name: item for name, item in new.items() if item is not old[name] and item != old[name]}
    return replace(value, **changed) if changed else value


def tuned(value: Any, *kinds: type) -> set[str]:
    """What a recipe value waits for, by "best.strength": its numbers, its layers, or those of some kinds alone."""
    wanted = kinds or (Tuned, LayerChoice)
    match value:
        case Tuned(of=name) | LayerChoice(select=name):
            return {name} if isinstance(value, wanted) else set()
        case tuple() | list():
            return set().union(*(tuned(item, *wanted) for item in value))
        case Mapping():
            return tuned(tuple(value.values()), *wanted)
    if not is_dataclass(value) or isinstance(value, type):
        return set()
    return set().union(*(tuned(getattr(value, f.name), *wanted) for f in fields(value)))

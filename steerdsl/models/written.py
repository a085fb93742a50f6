"""What is said of the parameters that write a stream.

In: filled by `models.writers`. Out: `Part`, a parameter in which a stream is linear, and `Shift`, one that carries an
addition.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WriteSite = tuple[str, int]  # a stream and a layer; the embeddings are ("resid_pre", 0)


@dataclass(frozen=True, slots=True)
class Part:
    """A parameter, by its path from the causal LM, and the axis along which the stream lies. A `*` in the path stands
    for each member of a list of modules (experts)."""

    name: str
    axis: int

    def names(self, model: Any) -> list[str]:
        """The parameters of a model that are meant."""
        if "*" not in self.name:
            return [self.name]
        pattern = re.compile(re.escape(self.name).replace(r"\*", r"\d+"))
        return [name for name, _ in model.named_parameters() if pattern.fullmatch(name)]


@dataclass(frozen=True, slots=True)
class Shift:
    """A parameter that carries an addition: a step of it is `factor` times that step of the stream. settings: fields of
    the config that give the model this parameter, where it has none by itself."""

    part: Part
    factor: float
    settings: Mapping[str, Any] = field(default_factory=dict)


def said(place: WriteSite) -> str:
    """A place in words."""
    stream, layer = place
    return "the embeddings" if place == ("resid_pre", 0) else f"{stream} of layer {layer}"

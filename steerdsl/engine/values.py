"""The values that a run has computed so far, by name, and what expressions over them give.

In: vectors, planes and choices as steps produce them. Out: the `Vector` or `Plane` that an
operation acts with, and the row of a vector that belongs to a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from steerdsl.lang import recipe as r
from steerdsl.methods import algebra
from steerdsl.methods.types import Directions, MethodError, Plane, Vector
from steerdsl.planning import formatting
from steerdsl.planning.layers import resolve_layers
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.planning.targets import Target

# Gives each sample's difference from the other class's mean at some layers of a vector: [K, d].
Sampler = Callable[[str, tuple[int, ...]], "Tensor"]
# Runs a prompt and gives its activations [S, d] at each target of a patch.
Patcher = Callable[[r.Op], "dict[Target, Tensor]"]


@dataclass(slots=True)
class Values:
    """Named values of one run on a model of `n_layers` layers. `chosen` are the layers that each
    select step chose, best first; `made` every plane that an expression gave, by its text."""

    n_layers: int
    vectors: dict[str, Vector] = field(default_factory=dict)
    planes: dict[str, Plane] = field(default_factory=dict)
    chosen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    made: dict[str, Plane] = field(default_factory=dict)
    samples: Sampler | None = None
    patches: Patcher | None = None

    def operand(self, op: r.Op) -> Vector | Plane | dict[Target, Tensor] | None:
        """What an operation acts with: a vector, a plane, or another prompt's activations."""
        if "prompt" in find("op", op.name).needs:
            assert self.patches is not None
            return self.patches(op)
        if isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
            return self.plane(op.operand)
        return None if op.operand is None else self.vector(op.operand)

    def vector(self, expr: r.VectorExpr) -> Vector:
        """The vector that an expression means; `v[6,16]` is the same at every layer."""
        match expr:
            case r.VectorRef(name=name, layers=None):
                return self.vectors[name]
            case r.VectorRef(name=name, layers=layers) if layers is not None:
                return self._everywhere(self.vectors[name], resolve_layers(layers, self.n_layers, self.chosen))
            case r.VectorSum(terms=terms):
                return algebra.combine(formatting.vector(expr), [(c, self.vector(v)) for c, v in terms])
            case r.Orthogonal(vector=v, against=u):
                return algebra.orthogonalize(formatting.vector(expr), self.vector(v), self.vector(u))
        raise TypeError(f"not a vector expression: {expr!r}")

    def _everywhere(self, vector: Vector, layers: tuple[int, ...]) -> Vector:
        """The directions of some layers, as one set that acts wherever it is used."""
        import torch

        rows = [self.row(vector, layer) for layer in layers]
        d = vector.directions

        def spread(x: Tensor) -> Tensor:
            return x[rows].flatten(0, 1).expand(self.n_layers, -1, *x.shape[2:])

        directions = Directions(
            unit=spread(d.unit),
            raw_norm=spread(d.raw_norm),
            reader=None if d.reader is None else spread(d.reader),
            offset=None if d.offset is None else d.offset[rows[0]].expand(self.n_layers, -1),
        )
        name = f"{vector.name}[{','.join(map(str, layers))}]"
        meta = {**vector.meta, "from_layers": list(layers), "own_layers": vector.layers.tolist()}
        return replace(vector, name=name, directions=directions, layers=torch.arange(self.n_layers), meta=meta)

    def plane(self, expr: r.PlaneExpr | r.PlaneRef) -> Plane:
        """The plane that an expression means."""
        if isinstance(expr, r.PlaneRef):
            return self.planes[expr.name]
        first = self._one(self.vector(expr.first), expr.first_layer)
        candidates, layers = self._candidates(expr)
        if not isinstance(expr.second, str):
            second = self._one(self.vector(expr.second), expr.first_layer)
            plane: Plane = find("plane", "vector").run(first, candidates, second=second)
        else:
            plane = find("plane", expr.second).run(first, candidates, **expr.options)
        plane = replace(plane, layers=layers)
        self.made[formatting.plane(expr)] = plane
        return plane

    def _one(self, vector: Vector, choice: r.LayerChoice | None) -> Tensor:
        """A single direction, float64 [d]: of the chosen layer, or of a vector that names its own."""
        layer = int(vector.layers[0]) if choice is None else self.chosen[choice.select][0]
        if choice is not None and "from_layers" in vector.meta:
            layer = int(vector.layers[0])
        unit = vector.directions.unit[self.row(vector, layer)]
        if len(unit) != 1:
            raise MethodError(
                f"an axis of a plane is one direction, and `{vector.name}` has {len(unit)}",
                "name one layer, as in `plane(topic[16], pc1)`",
            )
        return unit[0].double()

    def _candidates(self, expr: r.PlaneExpr) -> tuple[Tensor, tuple[int, ...]]:
        """The candidate directions [K, d], float64, zero rows dropped, and the layer of each (none
        for samples)."""
        first = expr.first
        while not isinstance(first, r.VectorRef):
            first = first.vector if isinstance(first, r.Orthogonal) else first.terms[0][1]
        vector = self.vectors[first.name] if isinstance(expr.first, r.VectorRef) else self.vector(expr.first)
        own = tuple(int(x) for x in vector.layers)
        layers = own if not expr.layers.items else resolve_layers(expr.layers, self.n_layers, self.chosen)
        if expr.candidates == "samples":
            assert self.samples is not None
            rows, own = self.samples(first.name, layers), ()
        else:
            index = [self.row(vector, layer) for layer in layers]
            d = vector.directions
            rows = (d.unit[index].double() * d.raw_norm[index][..., None]).flatten(0, 1)
            own = tuple(layer for layer in layers for _ in range(d.unit.shape[1]))
        norms = rows.norm(dim=-1)
        live = norms > 0
        own = tuple(layer for layer, kept in zip(own, live.tolist(), strict=False) if kept)
        return (rows / norms[:, None] if expr.rows == "unit" else rows)[live], own

    def row(self, vector: Vector, layer: int) -> int:
        """Which row of a vector belongs to a layer; MethodError when none does."""
        found = (vector.layers == layer).nonzero().flatten().tolist()
        if not found:
            has = ", ".join(str(int(x)) for x in vector.layers)
            raise MethodError(
                f"`{vector.name}` has no direction at layer {layer}; it has layer {has}",
                f"act with one of them everywhere: `{vector.name}[{int(vector.layers[0])}]`",
            )
        return int(found[0])

    def position(self, vector: Vector) -> str:
        """Where a vector was read, in the words of the recipe."""
        return f"position {vector.meta.get('position', 'unknown')}"

    def class_mean(self, vector: Vector, mean: r.Mean, layer: int) -> Tensor:
        """The mean activation [d] of one of the classes that a vector was fitted on."""
        sides: Mapping[str, Any] = {
            str(vector.meta.get("positive")): vector.mean_positive,
            str(vector.meta.get("negative")): vector.mean_negative,
        }
        means = sides.get(mean.data)
        if means is None:
            known = " and ".join(f"mean({s})" for s in sides if s != "None") or "none"
            raise MethodError(
                f"`{vector.name}` has no mean of {mean.data}",
                f"it was fitted on what gives {known}",
            )
        own = vector.meta.get("own_layers", vector.layers.tolist())
        if layer not in own:
            raise MethodError(f"`{vector.name}` has no class mean at layer {layer}", "act at a layer it was read at")
        row: Tensor = means[own.index(layer)]
        return row

"""The values that a run has computed so far, by name, and what expressions over them give.

In: vectors, planes and choices as steps produce them. Out: the `Vector` or `Plane` that an
operation acts with, and the row of a vector that belongs to a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from steerdsl.lang import recipe as r
from steerdsl.methods import algebra
from steerdsl.methods import layers as by_layer
from steerdsl.methods.doses import Scale
from steerdsl.methods.numbers import each
from steerdsl.methods.types import MethodError, Operand, Plane, Vector
from steerdsl.planning import formatting
from steerdsl.planning.classes import origin
from steerdsl.planning.layers import resolve_layers
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.planning.targets import Target

# Gives each sample's difference from the other class's mean at some layers of a vector: [K, d].
Sampler = Callable[[str, tuple[int, ...]], "Tensor"]
# Runs a prompt and gives its activations [S, d] at each target of a patch.
Patcher = Callable[[r.Op], "dict[Target, Tensor]"]
# Gives the lengths that an addition of a vector is measured in at a target.
Scaler = Callable[[r.VectorExpr, "Target"], Scale]


NO_LENGTH = "the training activations do not spread along this direction"


@dataclass(slots=True)
class Values:
    """Named values of one run on a model of `n_layers` layers. `chosen` are the layers that each
    select step chose, best first; `tuned` are the numbers that searches chose, by "best.strength"; `made` every plane
    that an expression gave, by its text, `made_of` the vectors of which a named one is the sum or a part."""

    n_layers: int
    vectors: dict[str, Vector] = field(default_factory=dict)
    planes: dict[str, Plane] = field(default_factory=dict)
    chosen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tuned: dict[str, float] = field(default_factory=dict)
    made: dict[str, Plane] = field(default_factory=dict)
    made_of: dict[str, r.VectorExpr] = field(default_factory=dict)
    samples: Sampler | None = None
    patches: Patcher | None = None
    scales: Scaler | None = None

    def take(self, other: Values) -> None:
        """Know what `other` knows by name, now. Planes that an expression gave are made again."""
        for name in ("vectors", "planes", "chosen", "tuned", "made_of"):
            setattr(self, name, dict(getattr(other, name)))

    def operand(self, op: r.Op) -> Vector | Plane | dict[Target, Tensor] | None:
        """What an operation acts with: a vector, a plane, or another prompt's activations."""
        if "prompt" in find("op", op.name).needs:
            assert self.patches is not None
            return self.patches(op)
        if isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
            return self.plane(op.operand)
        return None if op.operand is None else self.vector(op.operand)

    def measured(self, op: r.Op, found: Operand, target: Target) -> Operand:
        """What acts at a target, with the lengths that the strength of an addition is measured in. Raises MethodError
        where there is none."""
        units = {strength.unit for strength in each(op.args.get("by")) if isinstance(strength, r.Strength)}
        if units.isdisjoint(("sd", "dose")):
            return found
        assert self.scales is not None and isinstance(op.operand, r.VectorRef | r.VectorSum | r.Orthogonal)
        scale = self.scales(op.operand, target)
        for unit, length in (("sd", scale.sd), ("dose", scale.norm)):
            if unit in units and not length:
                title = f"`{op.text or op.name}` cannot be measured at layer {target.layer}: {scale.why or NO_LENGTH}"
                raise MethodError(title, "write multiples of the raw vector, or a share of each token's norm")
        return replace(found, sd=scale.sd, stream_norm=scale.norm)

    def vector(self, expr: r.VectorExpr) -> Vector:
        """The vector that an expression means; `v[6,16]` is the same at every layer."""
        match expr:
            case r.VectorRef(name=name, layers=None):
                return self.vectors[name]
            case r.VectorRef(name=name, layers=layers) if layers is not None:
                numbers = resolve_layers(layers, self.n_layers, self.chosen)
                return by_layer.everywhere(self.vectors[name], numbers, self.n_layers)
            case r.VectorSum(terms=terms):
                return algebra.combine(formatting.vector(expr), [(c, self.vector(v)) for c, v in terms])
            case r.Orthogonal(vector=v, against=u):
                return algebra.orthogonalize(formatting.vector(expr), self.vector(v), self.vector(u))
        raise TypeError(f"not a vector expression: {expr!r}")

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
        return by_layer.axis(vector, layer)

    def _candidates(self, expr: r.PlaneExpr) -> tuple[Tensor, tuple[int, ...]]:
        """The candidate directions [K, d], float64, zero rows dropped, and the layer of each (none
        for samples)."""
        first = origin(expr.first)
        vector = self.vectors[first] if isinstance(expr.first, r.VectorRef) else self.vector(expr.first)
        own = tuple(int(x) for x in vector.layers)
        layers = own if not expr.layers.items else resolve_layers(expr.layers, self.n_layers, self.chosen)
        if expr.candidates == "samples":
            assert self.samples is not None
            rows, own = self.samples(first, layers), ()
        else:
            rows = by_layer.raw_rows(vector, layers)
            own = tuple(layer for layer in layers for _ in range(vector.directions.unit.shape[1]))
        kept = (rows.norm(dim=-1) > 0).tolist()
        own = tuple(layer for layer, live in zip(own, kept, strict=False) if live)
        return by_layer.live(rows, expr.rows == "unit"), own

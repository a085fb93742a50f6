"""What belongs to a layer of a vector: its row, its operand, its class mean; and vectors that act everywhere.

In: `Vector`s and the model's layer numbers. Out: rows, operands, candidates for a plane, new vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from steerdsl.methods.types import Activations, Candidates, Directions, MethodError, ModelProbe, Operand, Vector
from steerdsl.methods.zero import require

if TYPE_CHECKING:
    from torch import Tensor


def row(vector: Vector, layer: int) -> int:
    """Which row of a vector belongs to a layer; MethodError when none does."""
    found = (vector.layers == layer).nonzero().flatten().tolist()
    if not found:
        has = ", ".join(str(int(x)) for x in vector.layers)
        raise MethodError(
            f"`{vector.name}` has no direction at layer {layer}; it has layer {has}",
            f"act with one of them everywhere: `{vector.name}[{int(vector.layers[0])}]`",
        )
    return int(found[0])


def position(vector: Vector) -> str:
    """Where a vector was read, in the words of the recipe."""
    return f"position {vector.meta.get('position', 'unknown')}"


def everywhere(vector: Vector, layers: Sequence[int], n_layers: int) -> Vector:
    """The directions of some layers, as one set that acts wherever it is used: `topic[6,16,22]`."""
    import torch

    rows = [row(vector, layer) for layer in layers]
    d = vector.directions

    def spread(x: Tensor) -> Tensor:
        return x[rows].flatten(0, 1).expand(n_layers, -1, *x.shape[2:])

    directions = Directions(
        unit=spread(d.unit),
        raw_norm=spread(d.raw_norm),
        reader=None if d.reader is None else spread(d.reader),
        offset=None if d.offset is None else d.offset[rows[0]].expand(n_layers, -1),
    )
    name = f"{vector.name}[{','.join(map(str, layers))}]"
    meta = {**vector.meta, "from_layers": list(layers), "own_layers": vector.layers.tolist()}
    return replace(vector, name=name, directions=directions, layers=torch.arange(n_layers), meta=meta)


def axis(vector: Vector, layer: int) -> Tensor:
    """The one direction of a layer as an axis of a plane, float64 [d]."""
    unit = vector.directions.unit[row(vector, layer)]
    if len(unit) != 1:
        raise MethodError(
            f"an axis of a plane is one direction, and `{vector.name}` has {len(unit)}",
            "name one layer, as in `plane(topic[16], pc1)`",
        )
    return unit[0].double()


def raw_rows(vector: Vector, layers: Sequence[int]) -> Tensor:
    """The raw directions of some layers, one below another: float64 [K, d]."""
    index = [row(vector, layer) for layer in layers]
    d = vector.directions
    return (d.unit[index].double() * d.raw_norm[index][..., None]).flatten(0, 1)


def lengths(vector: Vector) -> Tensor:
    """The raw norm of each layer's direction, of several that of their sum: float64 [L]."""
    d = vector.directions
    norms: Tensor = (d.raw_norm[..., None] * d.unit.double()).sum(dim=1).norm(dim=-1)
    return norms


def differences(positive: Activations, negative: Activations, rows: Sequence[int]) -> Tensor:
    """Each sample's difference from the other class's mean, at some of the captured layers: float64 [K, d].
    A sample of the negative class is turned round, so that every row points toward the positive."""
    import torch

    assert positive.rows is not None and negative.rows is not None
    found = []
    for i in rows:
        found.append(positive.rows[:, i].double() - negative.mean[i])
        found.append(positive.mean[i] - negative.rows[:, i].double())
    return torch.cat(found)


def live(rows: Tensor, unit: bool) -> Tensor:
    """Candidate directions [K, d] without zero rows, of length 1 if asked."""
    norms = rows.norm(dim=-1)
    return (rows / norms[:, None] if unit else rows)[norms > 0]


def operand(vector: Vector, layer: int, mean: Tensor | None = None) -> Operand:
    """What an operation acts with at one layer. Raises MethodError where the vector has nothing there."""
    i = row(vector, layer)
    d = vector.directions
    return Operand(
        unit=require(d.unit[i], layer, position(vector), f"`{vector.name}`"),
        norm=d.raw_norm[i],
        reader=None if d.reader is None else d.reader[i],
        offset=None if d.offset is None else d.offset[i],
        mean=mean,
    )


def require_stated(vector: Vector, verb: str, stream: str) -> None:
    """Raise MethodError R952 where a vector's file states another operation or stream than this one."""
    stated, own = vector.meta.get("operation"), vector.stream
    if stated is None or (verb == stated and stream == own):
        return
    did = verb if verb != stated else f"{verb} on {stream}"
    raise MethodError(
        f"the file of `{vector.name}` states that it is made for `{stated}` on {own}, and this steer is to {did}",
        f"write `{stated} {vector.name} on {own}`, or `1 * {vector.name}` in its place if this is what you mean",
        "R952",
    )


def read_direction(vector: Vector, layer: int) -> Tensor:
    """The one unit direction [d] that a condition reads at a layer."""
    unit = vector.directions.unit[row(vector, layer)]
    if len(unit) > 1:
        several = "from_layers" in vector.meta
        raise MethodError(
            f"a condition needs one direction and `{vector.name}` has {len(unit)} at layer {layer}",
            "name one layer in the brackets" if several else "extract it with a method that gives one",
        )
    return require(unit, layer, position(vector), f"`{vector.name}`")[0]


def class_mean(vector: Vector, data: str, layer: int) -> Tensor:
    """The mean activation [d] of one of the classes that a vector was fitted on."""
    sides = {
        str(vector.meta.get("positive")): vector.mean_positive,
        str(vector.meta.get("negative")): vector.mean_negative,
    }
    means = sides.get(data)
    if means is None:
        known = " and ".join(f"mean({s})" for s in sides if s != "None") or "none"
        raise MethodError(f"`{vector.name}` has no mean of {data}", f"it was fitted on what gives {known}")
    own = vector.meta.get("own_layers", vector.layers.tolist())
    if layer not in own:
        raise MethodError(f"`{vector.name}` has no class mean at layer {layer}", "act at a layer it was read at")
    found: Tensor = means[own.index(layer)]
    return found


def candidates(
    vector: Vector,
    positive: Activations,
    negative: Activations,
    layers: Sequence[int],
    n_layers: int,
    probe: ModelProbe | None = None,
) -> Candidates:
    """What a criterion looks at: the directions of some layers, and the statistics that they were made from."""
    import torch

    keep = torch.tensor([layer in layers for layer in vector.layers.tolist()])
    d = vector.directions
    return Candidates(
        narrowed(positive, keep),
        narrowed(negative, keep),
        directions=replace(d, unit=d.unit[keep], raw_norm=d.raw_norm[keep]),
        layers=vector.layers[keep],
        n_layers=n_layers,
        stream=vector.stream,
        probe=probe,
    )


def narrowed(a: Activations, keep: Tensor) -> Activations:
    """The statistics of some of the captured layers; `keep` bool [L]."""
    return Activations(
        a.n,
        a.mean[keep],
        None if a.variance is None else a.variance[keep],
        a.median_norm[keep],
        None if a.rows is None else a.rows[:, keep],
    )

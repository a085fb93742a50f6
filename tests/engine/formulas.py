"""What operations, conditions and layer specs mean, written out in plain float64 torch.

In: checked operations, and what they act with as plain tensors (`Material`). Out: new activations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from steerdsl.lang import recipe as r


@dataclass
class Material:
    """What operations act with. raw: each vector's directions times their norms, float64 [L, k, d].
    stream: where each vector was read. oblique: a vector's readers [L, k, d] and offset [L, d].
    means: class means [L, d] by data set. planes: b1, b2. sources: token ids of a patch's prompt."""

    raw: dict[str, Tensor] = field(default_factory=dict)
    stream: dict[str, str] = field(default_factory=dict)
    oblique: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    means: dict[str, Tensor] = field(default_factory=dict)
    planes: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    sources: dict[str, Sequence[int]] = field(default_factory=dict)

    def rows(self, expr: Any, layer: int, n_layers: int) -> Tensor:
        """The raw rows [k, d] that a vector expression means at a layer."""
        match expr:
            case r.VectorRef(name=name, layers=None):
                return self.raw[name][layer]
            case r.VectorRef(name=name, layers=layers):
                return self.raw[name][numbers(layers, n_layers)].flatten(0, 1)
            case r.VectorSum(terms=terms):
                return sum(c * self.rows(v, layer, n_layers) for c, v in terms)
            case r.Orthogonal(vector=v, against=u):
                along = unit(self.rows(u, layer, n_layers))[0]
                raw = self.rows(v, layer, n_layers)
                return raw - (raw @ along)[:, None] * along
        raise TypeError(expr)

    def plane(self, expr: Any, n_layers: int) -> tuple[Tensor, Tensor]:
        """The axes b1 and b2 [d] of a named plane, or of two vectors that name their layers."""
        if isinstance(expr, r.PlaneRef):
            return self.planes[expr.name]
        first, second = (unit(self.rows(v, 0, n_layers))[0] for v in (expr.first, expr.second))
        return first, unit(second - (second @ first) * first)


def unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)


def changed(op: r.Op, h: Tensor, layer: int, n_layers: int, material: Material) -> Tensor:
    """h [..., d] in float64 after any operation but a patch, wherever no clause holds it back."""
    if op.name == "rotate":
        return rotated(h, *material.plane(op.operand, n_layers), op.args)
    raw = material.rows(op.operand, layer, n_layers)
    if op.name == "ablate":
        return _ablated(op, h, layer, raw, material)
    if op.name == "add":
        by = op.args["by"]
        if by.unit == "raw":
            return h + by.value * raw.sum(0)
        return h + by.value * h.norm(dim=-1, keepdim=True) * unit(raw.sum(0))
    along, to = h @ unit(raw)[0], op.args["to"]
    moved = h + (to - along)[..., None] * unit(raw)[0]
    if op.name == "clamp":
        return moved
    assert op.name == "cap"
    return torch.where((along > to)[..., None], moved, h)


def _ablated(op: r.Op, h: Tensor, layer: int, raw: Tensor, material: Material) -> Tensor:
    by, name = op.args["by"], getattr(op.operand, "name", "")
    if name in material.oblique:
        readers, offset = (x[layer] for x in material.oblique[name])
        return h - by * ((h - offset) @ readers.T) @ unit(raw)
    basis = torch.linalg.qr(raw.T).Q
    centred = h - material.means[op.args["toward"].data][layer] if "toward" in op.args else h
    return h - by * centred @ basis @ basis.T + op.args["alpha"] * raw.sum(0)


def rotated(h: Tensor, b1: Tensor, b2: Tensor, args: Mapping[str, Any]) -> Tensor:
    """Polar coordinates in the plane: the radius stays, the angle is turned by or set to."""
    a, b = h @ b1, h @ b2
    radius = torch.hypot(a, b)
    if "by" in args:
        angle = torch.atan2(b, a) + math.radians(args["by"])
    else:
        angle = torch.full_like(a, math.radians(args["to"]))
    return h + (radius * angle.cos() - a)[..., None] * b1 + (radius * angle.sin() - b)[..., None] * b2


def patched(h: Tensor, rows: Tensor, mask: Tensor, align: str) -> Tensor:
    """h [B, S, d] with the last (or first) real tokens of each row replaced by the last (first) of rows [T, d]."""
    new = h.clone()
    for i, real in enumerate(mask):
        places = real.nonzero().flatten()
        n = min(len(places), len(rows))
        if align == "end":
            new[i, places[len(places) - n :]] = rows[len(rows) - n :]
        else:
            new[i, places[:n]] = rows[:n]
    return new


def figure(op: r.Op, condition: r.Condition, h: Tensor, layer: int, n_layers: int, material: Material) -> Tensor:
    """What a condition compares with its threshold, for activations h [..., d]."""
    if condition.vector is not None:
        direction = unit(material.rows(condition.vector, layer, n_layers))[0]
    elif op.name == "rotate":
        direction = material.plane(op.operand, n_layers)[0]
    else:
        direction = unit(material.rows(op.operand, layer, n_layers))[0]
    value = (h.double() * direction).sum(-1)
    return value / h.double().norm(dim=-1) if condition.kind == "cos" else value


def compare(a: Any, op: str, b: float) -> Any:
    return {">": a > b, ">=": a >= b, "<": a < b, "<=": a <= b}[op]


def in_time(op: r.Op, t: int) -> bool:
    """Whether an operation acts in pass t: 0 reads the prompt, t > 0 the t-th generated token."""
    phase = {"all": True, "prompt": t == 0, "generation": t > 0}[op.phase]
    window = (op.first is None or t <= op.first) and (op.after is None or t > op.after)
    steps = all(compare(t, c.op, c.threshold) for c in op.conditions if c.kind == "step")
    return phase and window and steps and (op.name != "patch" or t == 0)


def number(point: Any, n_layers: int) -> int:
    # Halves up, in hundredths of a percent so that no binary fraction decides.
    return (round(point.value * 10_000) * (n_layers - 1) + 5_000) // 10_000 if point.share else int(point.value)


def numbers(layers: r.Layers, n_layers: int) -> list[int]:
    """The layers of `at layers …` and `v[…]`, in order; all of them when none is named."""
    found: set[int] = set()
    for item in layers.items:
        if isinstance(item, r.LayerRange):
            start, stop = (number(p, n_layers) for p in (item.start, item.stop))
            found |= {x for x in range(start, stop + 1) if (x - start) % item.step == 0}
        else:
            found.add(number(item, n_layers))
    return sorted(found) if layers.items else list(range(n_layers))

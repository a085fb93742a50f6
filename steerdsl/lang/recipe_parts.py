"""What the steps of a checked recipe are made of: layers, vectors, planes, operations.

In and out as for `recipe`, which has these names too. Everything is a value: two that mean the same are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from steerdsl.lang.nodes import NOWHERE
from steerdsl.lang.source import Span

Phase = Literal["all", "prompt", "generation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spanned:
    span: Span = field(default=NOWHERE, compare=False, repr=False)


# ---- layers ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LayerPoint:
    """A layer number (share=False) or a depth (share=True, 0.25 for 25%); "last" is a depth of 1."""

    value: float
    share: bool = False


@dataclass(frozen=True, slots=True)
class LayerRange:
    """`8..22 step 2`, ends included."""

    start: LayerPoint
    stop: LayerPoint
    step: int = 1


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """The layers that the `select` step of this name will choose."""

    select: str


@dataclass(frozen=True, slots=True)
class Layers(Spanned):
    """What `at layers …`, `topic[…]` and `from layers …` hold; no items means all layers."""

    items: tuple[LayerPoint | LayerRange | LayerChoice, ...] = ()


# ---- vectors and planes ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VectorRef(Spanned):
    """`topic` (layers None: each layer's own) or `topic[6,16,22]` (the span of those, anywhere)."""

    name: str
    layers: Layers | None = None


@dataclass(frozen=True, slots=True)
class VectorSum(Spanned):
    """`warm - 0.5 * formal`: coefficients times raw vectors, layer by layer."""

    terms: tuple[tuple[float, VectorExpr], ...]


@dataclass(frozen=True, slots=True)
class Orthogonal(Spanned):
    """`orthogonalize v against u`."""

    vector: VectorExpr
    against: VectorExpr


VectorExpr: TypeAlias = VectorRef | VectorSum | Orthogonal


@dataclass(frozen=True, slots=True)
class PlaneExpr(Spanned):
    """`plane(first, second)`. `second` is a registry name of kind "plane" ("pc1", "last2pc",
    "random", "mean_candidate") or a vector. `layers` restricts the candidates; `rows` says whether
    they enter as unit vectors or raw; `candidates` is "layers" or "samples"."""

    first: VectorExpr
    second: str | VectorExpr
    layers: Layers = Layers()
    rows: Literal["unit", "raw"] = "unit"
    candidates: Literal["layers", "samples"] = "layers"
    first_layer: LayerChoice | None = None  # the select step that chooses b1's layer, where `first` has none
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlaneRef(Spanned):
    """A plane bound to a name earlier."""

    name: str


# ---- operations --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strength:
    """`value` in multiples of the raw vector ("raw"), as a share of the token's norm ("share"), in standard deviations
    of the training projections on the direction ("sd"), as a share of the mean norm of the training tokens where it is
    added ("dose"), or a plain coordinate along the unit direction ("unit", for clamp and cap)."""

    value: float
    unit: Literal["raw", "share", "sd", "dose", "unit"]


@dataclass(frozen=True, slots=True)
class Mean(Spanned):
    """`mean(generic)`: the class mean of a data set that the vector was fitted on; of pairs, with the
    side (`mean(caa.negative)`)."""

    data: str


@dataclass(frozen=True, slots=True)
class Condition(Spanned):
    """`when proj(v) > 0`, `when cos(v) > 0.3 at layer 12`, `when step < 16`.
    `kind` is a registry name of kind "condition"; `layer` None reads it where the operation acts;
    `vector` None reads the operation's own direction, or its plane's first axis."""

    kind: str
    op: Literal["<", "<=", ">", ">="]
    threshold: float
    vector: VectorExpr | None = None
    layer: LayerPoint | LayerChoice | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """A place in a block: `resid_post`, `attn_out`, … or `head` with its layer and head numbers."""

    name: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Op(Spanned):
    """One operation of a steer. `everywhere` overrides `streams` and `layers`: embeddings, and
    every attn_out and mlp_out. `args` holds what is particular to the registry entry, already in
    IR types (Strength, float degrees, Mean, str)."""

    name: str
    operand: VectorExpr | PlaneExpr | PlaneRef | None
    args: Mapping[str, Any] = field(default_factory=dict)
    layers: Layers = Layers()
    streams: tuple[Stream, ...] = (Stream("resid_post"),)
    everywhere: bool = False
    phase: Phase = "all"
    first: int | None = None
    after: int | None = None
    conditions: tuple[Condition, ...] = ()
    keep_norm: bool = False
    text: str = field(default="", compare=False)  # as written, one line, for tables and errors


@dataclass(frozen=True, slots=True)
class TuneAxis:
    """The range that a search has on one axis, ends included, in the axis's own unit. `layers`: it says where
    something acts, so that its values are the model's layers; `step` None means any number in between."""

    name: str
    low: float
    high: float
    unit: str = ""
    step: float | None = None
    layers: bool = False

"""What methods take and give: activations of a class, directions, planes, operands, rankings.

In: the engine fills `Activations` from forward passes. Out: `Vector` and `Plane`, which the
operations act with, as the `Operand` of one site. All tensors are on the CPU; statistics are
float64, directions float32.

Shapes: n samples, L layers that were captured, k directions a layer, d = d_model (or d_head).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from steerdsl.methods.errors import MethodError as MethodError
from steerdsl.methods.finite import require_rows, require_tensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Activations:
    """One class of prompts at one stream and position.

    mean: float64 [L, d]. variance: float64 [L, d], unbiased, per feature (None when n < 2).
    median_norm: float64 [L], the median of the samples' norms. rows: float32 [n, L, d], kept only
    when the method's entry asks for "rows" (or "pairs": row i of both classes belong together).
    mean_inverse_norm: float64 [L], the mean of 1 / norm of the samples (None where older versions kept none).
    """

    n: int
    mean: Tensor
    variance: Tensor | None
    median_norm: Tensor
    rows: Tensor | None = None
    mean_inverse_norm: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Directions:
    """What an extraction method returns.

    unit: float32 [L, k, d], each row of norm 1 (zero rows where a layer gave nothing).
    raw_norm: float64 [L, k]: `raw vector = raw_norm * unit`.
    reader, offset: for oblique erasers (leace): h -> h - unit^T (reader (h - offset)),
    reader float32 [L, k, d], offset float32 [L, d].
    figures: per-layer numbers worth keeping in the record (explained variance, max_act, …).
    """

    unit: Tensor
    raw_norm: Tensor
    reader: Tensor | None = None
    offset: Tensor | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vector:
    """A named vector of a recipe: directions for each captured layer, and where they came from. Every
    vector comes by here, so one with a number that is not finite is none: NotFinite R813.

    layers: int64 [L], the model's layer numbers of the rows of `unit`.
    mean_positive, mean_negative: float32 [L, d] class means (None for loaded or random vectors).
    """

    name: str
    directions: Directions
    layers: Tensor
    stream: str
    mean_positive: Tensor | None = None
    mean_negative: Tensor | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        d, layers = self.directions, self.layers.tolist()
        parts = {"direction": d.unit, "length": d.raw_norm, "reader": d.reader, "offset": d.offset}
        require_rows(self.name, self.stream, layers, parts)
        own = self.meta.get("own_layers", layers)
        require_rows(self.name, self.stream, own, {"mean": self.mean_positive, "other mean": self.mean_negative})

    def __getitem__(self, layer: int) -> Tensor:
        """The raw vector of a layer, float32 [d]; [k, d] where a layer has k directions. Raises KeyError."""
        rows = (self.layers == layer).nonzero().flatten().tolist()
        if not rows:
            has = ", ".join(map(str, self.layers.tolist()))
            raise KeyError(f"`{self.name}` has no direction at layer {layer}; it has layer {has}")
        raw = self.directions.unit[rows[0]] * self.directions.raw_norm[rows[0], :, None]
        return (raw[0] if len(raw) == 1 else raw).float()


@dataclass(frozen=True, slots=True)
class Plane:
    """An ordered orthonormal basis (b1, b2), float64 [d] each; angles run counter-clockwise from b1.

    explained: share of the candidates' variance along the component behind b2 (None if there is
    none). coordinates: float64 [K, 2], the candidates projected, for pictures. layers: the layer
    that each of them came from, empty where they are samples. Raises NotFinite R813, as `Vector`.
    """

    b1: Tensor
    b2: Tensor
    explained: float | None = None
    coordinates: Tensor | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        require_tensors("a plane", {"its first axis": self.b1, "its second axis": self.b2})


@dataclass(frozen=True, slots=True)
class Operand:
    """What one operation acts with at one site, looked up by the engine.

    unit: float32 [k, d] and norm: float64 [k] (None for planes and patches). reader, offset:
    float32 [k, d] and [d], of an oblique eraser. plane: of a rotation. mean: [d], the class mean of
    `ablate … toward`. rows: float32 [S, d], another prompt's activations, of a patch. sd, stream_norm: the standard
    deviation of the training projections on the direction, and the mean norm of the training tokens there (None
    unless an addition is measured in them).
    """

    unit: Tensor | None = None
    norm: Tensor | None = None
    reader: Tensor | None = None
    offset: Tensor | None = None
    plane: Plane | None = None
    mean: Tensor | None = None
    rows: Tensor | None = None
    sd: float | None = None
    stream_norm: float | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What a criterion does to the model. `ablate`: unit rows [k, d] removed everywhere. `add`: (layer, raw
    vector [d]) added at that layer, on the stream that the vector was extracted from."""

    ablate: Tensor | None = None
    add: tuple[int, Tensor] | None = None


class ModelProbe(Protocol):
    """The model as a criterion sees it: training prompts in, figures of the next token out."""

    def figures(
        self,
        class_: Literal["positive", "negative"],
        trials: Sequence[Trial],
        figure: Callable[[Tensor, Tensor], Tensor],
    ) -> Tensor:
        """A figure of each trial and each prompt of a class, float64 [trials, n]. `figure` is given logits at
        the last position, [b, vocab], of the model as it is and in the trial, and gives [b]. It runs
        where the model is, so it uses torch alone."""
        ...

    def first_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """The id of the first token of each text, as the beginning of an answer."""
        ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a choice of layer looks at: training statistics and the directions made from them.

    layers: int64 [L], the model's layer numbers of the rows. n_layers: of the whole model.
    probe: for criteria with needs "model".
    """

    positive: Activations
    negative: Activations
    directions: Directions
    layers: Tensor
    n_layers: int
    stream: str
    probe: ModelProbe | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a criterion answers.

    figures: name -> float64 [L]. score: float64 [L], smaller is better, nan where dropped. kept:
    bool [L]. order: the model's layer numbers of the kept rows, best first. notes: what the plan
    and the record should say.
    """

    figures: Mapping[str, Tensor]
    score: Tensor
    kept: Tensor
    order: list[int]
    notes: tuple[str, ...] = ()

"""`sae`: a feature of a sparse autoencoder, read from a safetensors file.

In: the file's decoder rows. Out: one direction, at the layer that the autoencoder was trained on.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.forms.files import Misread
from steerdsl.forms.tensors import open_tensors
from steerdsl.methods.types import Directions, MethodError
from steerdsl.registry import Arg, Entry

if TYPE_CHECKING:
    from torch import Tensor


_LAYER = re.compile(r"[0-9]{1,6}")


def run(*, file: str, feature: int, width: int, layer: int | None = None, tensor: str = "W_dec") -> Directions:
    """The unit decoder row of `feature`: unit float32 [1, 1, d], raw norm the row's own.

    `width` is the model's d_model, which the engine supplies. `tensor` may hold the features as
    rows [n, d] or as columns [d, n]; square ones are read by rows. figures: `layers` (the one
    layer, from `layer` or the file's metadata), and `max_act` when the file has a tensor so named.
    Raises MethodError when the file cannot be read, is of another width, lacks the feature, or
    does not say its layer.
    """
    try:
        with open_tensors(Path(file), most=None) as opened:
            row = _decoder_row(opened, file, tensor, feature, width)
            where = _layer(opened.metadata() or {}, file, layer)
            figures: dict[str, Any] = {"layers": [where]}
            if "max_act" in opened.keys():  # noqa: SIM118  (the handle is not a mapping)
                figures["max_act"] = _largest(opened.get_slice("max_act"), file, feature)
    except (OSError, Misread) as error:
        raise MethodError(f"{file} cannot be read as safetensors: {error}", "name a .safetensors file") from error
    norm = row.norm()
    if norm == 0:
        raise MethodError(f"feature {feature} of {file} is zero: it is dead", "name another feature")
    return Directions((row / norm).float()[None, None], norm[None, None], figures=figures)


def _decoder_row(opened: Any, file: str, tensor: str, feature: int, width: int) -> Tensor:
    if tensor not in opened.keys():  # noqa: SIM118
        raise MethodError(f"{file} has no tensor {tensor}", f"it has {', '.join(sorted(opened.keys()))}")
    part = opened.get_slice(tensor)
    shape = tuple(part.get_shape())
    if len(shape) != 2 or width not in shape:
        raise MethodError(
            f"the decoder in {file} is {' x '.join(map(str, shape))}, and the model's stream is {width} wide",
            "use an autoencoder that was trained on this model",
        )
    by_rows = shape[1] == width
    count = shape[0] if by_rows else shape[1]
    if not 0 <= feature < count:
        raise MethodError(f"{file} has features 0 to {count - 1}, not {feature}", "name one of them")
    row: Tensor = part[feature] if by_rows else part[:, feature]
    return row.flatten().double()


def _layer(metadata: dict[str, str], file: str, layer: int | None) -> int:
    found = metadata.get("layer") if layer is None else layer
    if found is None or not _LAYER.fullmatch(str(found)):
        raise MethodError(f"{file} does not say which layer it belongs to", "write `layer: 12`")
    return int(found)


def _largest(part: Any, file: str, feature: int) -> float:
    """The feature's largest activation, where the file has one for each."""
    shape = part.get_shape()
    if len(shape) != 1 or feature >= shape[0]:
        raise MethodError(f"max_act in {file} has not one number for each feature", "leave max_act out of the file")
    return float(part[feature : feature + 1].double())


ENTRY = Entry(
    kind="extract",
    name="sae",
    summary="a decoder row of a sparse autoencoder, read from a safetensors file",
    when=(
        "Use it when a sparse autoencoder of this model, layer and stream has a feature for the concept. Not with "
        "another model's autoencoder: the width may fit, but its features mean nothing here."
    ),
    run=run,
    args=(
        Arg("file", "text", doc="the safetensors file", files=(".",)),
        Arg("feature", "int", doc="the feature's number", least=0),
        Arg("layer", "int", None, "the layer it was trained on; by default `layer` of the file's metadata", least=0),
        Arg("tensor", "text", "W_dec", "the decoder's name in the file"),
    ),
    needs=frozenset({"file"}),
    formula="r̂ = unit(W_dec[feature])",
    paper="Bricken et al. 2023; Templeton et al. 2024",
    example='bridge = extract sae with file: "sae.safetensors", feature: 31',
    aliases=("sae_feature", "autoencoder", "feature"),
)

"""Low-rank factors of the weight edits that equal an ablation.

In: a transformers model, and what is cut out at each site. Out: `Factors` for each module that writes
there; the model is not touched. Refused wherever two factors of a matrix cannot say it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from steerdsl.methods.ops.ablate import basis
from steerdsl.methods.types import MethodError
from steerdsl.methods.weights import Model, matrices

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.written import WriteSite

Cut: TypeAlias = "tuple[Tensor, float]"  # rows [k, d], and the share of their span that is removed


@dataclass(frozen=True, slots=True)
class Factors:
    """ΔW = up @ down for a matrix that writes: down float64 [k, in], up float64 [d_model, k]. Of an
    embedding, W has a column for each token (it is stored transposed)."""

    down: Tensor
    up: Tensor
    embedding: bool


def ablation_factors(model: Model, cuts: Mapping[WriteSite, Sequence[Cut]]) -> dict[str, Factors]:
    """ΔW = -λQᵀ(QW) for every matrix that writes at the sites, by the path of its module.

    Q is an orthonormal basis of a cut's rows; several cuts of one site act one after another, each
    on what the one before has left. Source: Arditi et al. 2024, section 4.1, as in `weights`. Raises
    MethodError where a writer is not a plain matrix (a bias, fused experts, a transposed layout), and
    wherever an edit of weights would not be exact.
    """
    import torch

    found: dict[str, Factors] = {}
    for place, made in cuts.items():
        for name, weight, axis in matrices(model, place):
            module = name.removesuffix(".weight")
            owner = model.get_submodule(module) if module != name else None
            embedding = isinstance(owner, torch.nn.Embedding) and axis == 1
            if not embedding and not (isinstance(owner, torch.nn.Linear) and axis == 0):
                problem = f"{name} writes to the stream and is not a plain matrix; no pair of factors equals its edit"
                raise MethodError(problem, "export a checkpoint instead")
            left = weight.double().T if embedding else weight.double()
            downs, ups = [], []
            for rows, share in made:
                q = basis(rows).to(left.device)
                downs.append(q @ left)
                ups.append(-share * q.T)
                left = left + ups[-1] @ downs[-1]
            found[module] = Factors(torch.cat(downs).cpu(), torch.cat(ups, dim=1).cpu(), embedding)
    return found

"""Edits of a model's weights that equal an ablation or an addition of its activations.

In: a transformers model and directions. Out: an `WeightEdit`, the changed tensors by name and what they
equal; the model is not touched until `write`. Refused, with the reason, wherever it would not be
exact: norms between write and stream, quantised weights, layouts that have no place for a bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from steerdsl.methods.ops.ablate import basis
from steerdsl.methods.types import MethodError

if TYPE_CHECKING:
    from torch import Tensor

Model: TypeAlias = Any  # transformers.PreTrainedModel, whose attributes depend on the architecture
Write: TypeAlias = Literal["embed", "attn_out", "mlp_out"]
WriteSite: TypeAlias = tuple[Write, int]  # the embeddings are ("embed", 0)


@dataclass(frozen=True, slots=True)
class Writers:
    """Where an architecture writes to the residual stream, as module or parameter paths.

    `embed` from the root; `blocks`, the list of blocks; `attn_out` and `mlp_out` within a block, of
    which those that exist are used. `biases`: the config fields that give every linear module of
    the attention or MLP a bias, where the layout has none by default. `parallel`: attention and MLP
    read the same stream, so that there is nothing between them.
    """

    embed: tuple[str, ...] = ("model.embed_tokens",)
    blocks: str = "model.layers"
    attn_out: tuple[str, ...] = ("self_attn.o_proj",)
    mlp_out: tuple[str, ...] = ("mlp.down_proj",)
    biases: Mapping[str, str] = field(default_factory=dict)
    parallel: bool = False


_MOE = Writers(mlp_out=("mlp.experts.down_proj", "mlp.shared_expert.down_proj", "mlp.down_proj"))
WRITERS: Mapping[str, Writers] = {
    "llama": Writers(biases={"attn_out": "attention_bias", "mlp_out": "mlp_bias"}),
    **dict.fromkeys(("mistral", "qwen2", "qwen3", "phi3", "gemma"), Writers()),
    **dict.fromkeys(("mixtral", "qwen2_moe", "qwen3_moe"), _MOE),
    "gpt2": Writers(("transformer.wte", "transformer.wpe"), "transformer.h", ("attn.c_proj",), ("mlp.c_proj",)),
    "gpt_neox": Writers(
        ("gpt_neox.embed_in",), "gpt_neox.layers", ("attention.dense",), ("mlp.dense_4h_to_h",), parallel=True
    ),
    "opt": Writers(
        ("model.decoder.embed_tokens", "model.decoder.embed_positions"),
        "model.decoder.layers",
        ("self_attn.out_proj",),
        ("fc2",),
    ),
    "phi": Writers(attn_out=("self_attn.dense",), mlp_out=("mlp.fc2",), parallel=True),
}
POST_NORM = ("gemma2", "gemma3", "gemma3_text", "olmo2", "olmo3")


@dataclass(frozen=True, slots=True)
class WeightEdit:
    """Changed parameters by their names in the state dict, config fields that go with them, and in
    words what the edited model equals."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    equals: str


def ablate_weights(model: Model, directions: Tensor | Mapping[WriteSite, Tensor], share: float = 1.0) -> WeightEdit:
    """W' = (I - share·QᵀQ)W and b' = (I - share·QᵀQ)b for every matrix that writes to the stream.

    directions: rows [k, d] for the whole model, which equals ablation everywhere; or rows for each
    of some sites, which equals ablation there. Q is an orthonormal basis of the rows. Computed in
    float64, kept in the weights' dtype, so that what is left is the rounding of that dtype. Tied
    embeddings are untied, since the output side must stay as it is. Source: Arditi et al. 2024,
    section 4.1. Raises MethodError where it would not be exact.
    """
    writers = _writers(model)
    at = dict.fromkeys(sites(model), directions) if not isinstance(directions, Mapping) else directions
    tensors: dict[str, Tensor] = {}
    for site, rows in at.items():
        q = basis(rows)
        for name, weight, rowwise in matrices(model, site):
            tensors[name] = _without(weight, q, share, rowwise)
    config = _untie(model, writers, tensors)
    everywhere = set(at) == set(sites(model))
    where = "everywhere" if everywhere else "at " + ", ".join(f"{write} {layer}" for write, layer in at)
    return WeightEdit(tensors, config, f"ablate {where}" + (f" by {share:.0%}" if share != 1.0 else ""))


def add_bias(model: Model, layer: int, v: Tensor, stream: str = "resid_post") -> WeightEdit:
    """`v` [d] as a bias of the matrix that writes last before `stream` of `layer`.

    It equals the addition at every token, added to any bias already there. Raises MethodError where
    the architecture has no place for the bias, and before the first block.
    """
    writers = _writers(model)
    writes: dict[str, tuple[Write, int]] = {
        "resid_post": ("mlp_out", layer),
        "mlp_out": ("mlp_out", layer),
        "attn_out": ("attn_out", layer),
        "resid_mid": ("attn_out", layer),
        "resid_pre": ("mlp_out", layer - 1),
    }
    if stream not in writes or (stream == "resid_mid" and _parallel(model, writers)):
        raise MethodError(f"an addition on {stream} is not a bias of this model", "add on resid_post")
    write, block = writes[stream]
    if block < 0:
        raise MethodError("there is no block before layer 0 whose bias could carry the addition", "add on resid_post")
    path = _paths(model, writers, (write, block))[0]
    found = getattr(model.get_submodule(path), "bias", None) if _is_module(model, path) else None
    tensors: dict[str, Tensor] = {}
    config: dict[str, Any] = {}
    if found is None:
        config = {_bias_field(model, writers, write): True}
        tensors = _zero_biases(model, writers, write)
        found = tensors[f"{path}.bias"]
    tensors[f"{path}.bias"] = (found.detach().double() + v.double().to(found.device)).to(found.dtype)
    return WeightEdit(tensors, config, f"add on {stream} at layer {layer}, at every token")


def matrices(model: Model, site: WriteSite) -> list[tuple[str, Tensor, bool]]:
    """Each parameter that writes at a site: its name, its values, and whether the stream is its last
    axis (else the one before). Raises MethodError where they are unknown, quantised or not loaded."""
    writers = _writers(model)
    found = (each for path in _paths(model, writers, site) for each in _parameters(model, path, site[0]))
    return [(name, _loaded(model, name), rowwise) for name, rowwise in found]


def sites(model: Model) -> list[WriteSite]:
    """Every place that writes to the residual stream: embeddings, then each block's two outputs."""
    n = len(model.get_submodule(_writers(model).blocks))
    found: list[WriteSite] = [("embed", 0)]
    for layer in range(n):
        found += [("attn_out", layer), ("mlp_out", layer)]
    return found


def write(model: Model, edit: WeightEdit) -> None:
    """Put an edit into the model, in place, so that it runs and saves as edited."""
    import torch

    for name, tensor in edit.tensors.items():
        parent, _, leaf = name.rpartition(".")
        module = model.get_submodule(parent)
        old = getattr(module, leaf)
        setattr(module, leaf, torch.nn.Parameter(tensor, requires_grad=old is not None and old.requires_grad))
    for key, value in edit.config.items():
        setattr(model.config, key, value)
    if "tie_word_embeddings" in edit.config:
        model.all_tied_weights_keys = {}


def require_known(config: Any) -> None:
    """Raise MethodError for a model, by its config, whose weights cannot carry an edit."""
    _writers(SimpleNamespace(config=config))


def _writers(model: Model) -> Writers:
    kind = model.config.model_type
    if kind in POST_NORM:
        raise MethodError(
            f"{kind} has a norm between each write and the stream, so no weight edit equals the operation",
            "run the steer on the model instead of exporting it",
        )
    writers = WRITERS.get(str(kind))
    if writers is None:
        raise MethodError(
            f"where {kind} writes to its residual stream is not known", f"known are {', '.join(sorted(WRITERS))}"
        )
    if kind == "opt" and not (model.config.do_layer_norm_before and _same_width(model)):
        raise MethodError("this OPT normalises or widens its stream after writing", "run the steer instead")
    return writers


def _parallel(model: Model, writers: Writers) -> bool:
    return writers.parallel and bool(getattr(model.config, "use_parallel_residual", True))


def _same_width(model: Model) -> bool:
    return bool(model.config.word_embed_proj_dim == model.config.hidden_size)


def _is_module(model: Model, path: str) -> bool:
    parent, _, leaf = path.rpartition(".")
    return leaf in dict(model.get_submodule(parent).named_children())


def _exists(model: Model, path: str) -> bool:
    module: Any = model
    for part in path.split("."):
        module = getattr(module, part, None)
    return module is not None


def _paths(model: Model, writers: Writers, site: WriteSite) -> list[str]:
    """The full paths of what writes at a site: modules, or parameters of fused experts."""
    kind, layer = site
    if kind == "embed":
        return list(writers.embed)
    inside: Sequence[str] = writers.attn_out if kind == "attn_out" else writers.mlp_out
    paths = [path for path in (f"{writers.blocks}.{layer}.{p}" for p in inside) if _exists(model, path)]
    if not paths:
        raise MethodError(f"no matrix that writes {kind} of layer {layer} was found", "run the steer instead")
    return paths


def _parameters(model: Model, path: str, kind: Write) -> list[tuple[str, bool]]:
    """The parameters of a writer, and whether the stream is their last axis (else the one before)."""
    if not _is_module(model, path):
        return [(path, False)]
    module = model.get_submodule(path)
    if not hasattr(module, "weight"):
        raise MethodError(f"{path} has no plain weight: the model is quantised", "load it unquantised")
    conv1d = type(module).__name__ == "Conv1D"
    found = [(f"{path}.weight", kind == "embed" or conv1d)]
    return [*found, (f"{path}.bias", True)] if getattr(module, "bias", None) is not None else found


def _loaded(model: Model, name: str) -> Tensor:
    """The parameter's values. MethodError when they are quantised or not in memory."""
    import torch

    tensor: Tensor = model.get_parameter(name).detach()
    plain = type(tensor) is torch.Tensor and tensor.is_floating_point() and tensor.element_size() >= 2
    if not plain or tensor.is_meta:
        state = "not loaded" if tensor.is_meta else f"quantised ({tensor.dtype})"
        raise MethodError(f"{name} is {state}, so it cannot be edited exactly", "load the model whole and unquantised")
    return tensor


def _without(weight: Tensor, q: Tensor, share: float, rowwise: bool) -> Tensor:
    w, q = weight.double(), q.to(weight.device)
    removed = (w @ q.T) @ q if rowwise else q.T @ (q @ w)
    return (w - share * removed).to(weight.dtype)


def _untie(model: Model, writers: Writers, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Keep the output side of tied embeddings as it was, in `tensors`; return the config's change."""
    inside = f"{writers.embed[0]}.weight"
    head = model.get_output_embeddings()
    if inside not in tensors or head is None or head.weight is not model.get_parameter(inside):
        return {}
    name = next(name for name, module in model.named_modules() if module is head)
    tensors[f"{name}.weight"] = model.get_parameter(inside).detach().clone()
    return {"tie_word_embeddings": False}


def _bias_field(model: Model, writers: Writers, kind: Write) -> str:
    if kind not in writers.biases:
        raise MethodError(
            f"a {model.config.model_type} checkpoint has no place for a bias there",
            "run the steer on the model instead of exporting it",
        )
    return writers.biases[kind]


def _zero_biases(model: Model, writers: Writers, kind: Write) -> dict[str, Tensor]:
    """Zero biases for every linear module besides the writers of `kind`, as the config field implies."""
    import torch

    tensors: dict[str, Tensor] = {}
    for site in sites(model):
        for path in _paths(model, writers, site) if site[0] == kind else ():
            parent = path.rpartition(".")[0]
            for name, module in model.get_submodule(parent).named_children():
                if isinstance(module, torch.nn.Linear) and module.bias is None:
                    weight = module.weight
                    tensors[f"{parent}.{name}.bias"] = torch.zeros(
                        len(weight), dtype=weight.dtype, device=weight.device
                    )
    return tensors

"""PEFT LoRA adapters that carry an ablation: ΔW = -λQᵀ(QW) for every matrix that writes.

In: a steer of ablations and the model's weights. Out: a folder `NAME.peft` that peft loads on the same
model: `adapter_config.json` and `adapter_model.safetensors`, float32, scale 1. Embeddings have their own
pair of factors; tied output embeddings stay as they are while the adapter is not merged.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.formats.steady import refusal
from steerdsl.formats.types import Carried
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.lora import Cut, Factors, ablation_factors
from steerdsl.methods.types import MethodError
from steerdsl.methods.weights import Model, WeightEdit, untie, write

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.models.sites import Architecture
    from steerdsl.models.written import WriteSite

TITLE = "a PEFT adapter"
_EMBEDDING = ("lora_embedding_A", "lora_embedding_B")


def write_steer(steer: Carried, path: Path) -> None:
    """Write the adapter's folder."""
    from safetensors.torch import save_file

    cuts: dict[WriteSite, list[Cut]] = {}
    for act in steer.acts:
        if act.operand.reader is not None:
            raise refusal(TITLE, "an oblique eraser (leace) has an offset", "ablate an extracted direction")
        require_place(act.op, act.stream, act.layer, steer.arch)
        assert act.operand.unit is not None
        cuts.setdefault((act.stream, act.layer), []).append((act.operand.unit, act.op.args.get("by", 1.0)))
    try:
        factors = ablation_factors(steer.model, cuts)
    except MethodError as error:
        raise refusal(TITLE, error.problem, error.way_out) from error
    rank = max(len(f.down) for f in factors.values())
    tensors: dict[str, Tensor] = {}
    for module, f in factors.items():
        tensors |= _named(module, f, rank)
    require_tensors(TITLE, tensors, EXPORT_LESS)
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / "adapter_model.safetensors", {"format": "pt"})
    config = json.dumps(_config(steer.model_id, rank, sorted(factors)), indent=2, sort_keys=True)
    (path / "adapter_config.json").write_text(config + "\n", encoding="utf-8")


def require_place(op: r.Op, stream: str, layer: int, arch: Architecture) -> None:
    """Raise MethodError R847 where an ablation is not a change of what one matrix writes."""
    if not has_place(arch, stream, layer):
        problem = f"an ablation of {stream} at layer {layer} also removes what earlier layers wrote"
        raise refusal(TITLE, problem, "ablate `everywhere`, or on attn_out and mlp_out")


def has_place(arch: Architecture, stream: str, layer: int) -> bool:
    """Whether an ablation there is a change of what the block writes, or the embeddings."""
    return stream in arch.kind(layer).writes or (stream, layer) == ("resid_pre", 0)


def merge(model: Model, folder: Path) -> None:
    """Add what an adapter's files say to a model's weights, in place. The output side of tied embeddings stays."""
    import torch
    from safetensors.torch import load_file

    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    tensors, tensor_of = load_file(folder / "adapter_model.safetensors"), "base_model.model.{}.{}"
    edited = {}
    for module in config["target_modules"]:
        weight = model.get_submodule(module).weight.detach()
        ends = ("lora_A.weight", "lora_B.weight")
        embedding = tensor_of.format(module, ends[0]) not in tensors
        down, up = (tensors[tensor_of.format(module, e)] for e in (_EMBEDDING if embedding else ends))
        step = (up.double() @ down.double()).to(weight.device) * (config["lora_alpha"] / config["r"])
        edited[f"{module}.weight"] = (weight.double() + (step.T if embedding else step)).to(weight.dtype)
    untied = untie(model, edited)
    with torch.no_grad():
        write(model, WeightEdit(edited, "an adapter", untied=untied))


def _named(module: str, f: Factors, rank: int) -> dict[str, Tensor]:
    """Both factors by the names of PEFT, filled up with zeros to the adapter's one rank."""
    from torch.nn.functional import pad

    missing = rank - len(f.down)
    down, up = pad(f.down, (0, 0, 0, missing)), pad(f.up, (0, missing))
    ends = _EMBEDDING if f.embedding else ("lora_A.weight", "lora_B.weight")
    values = (down.float().contiguous(), up.float().contiguous())
    return {f"base_model.model.{module}.{end}": value for end, value in zip(ends, values, strict=True)}


def _config(model_id: str, rank: int, modules: list[str]) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model_id,
        "r": rank,
        "lora_alpha": rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": modules,
        "inference_mode": True,
    }

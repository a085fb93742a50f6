"""Weights of fewer bits: quantised on loading, as a recipe asks, or in the model's own files.

In: a name of the language, a config, a device. Out: transformers' settings for loading, what the record says in words,
and whether anything was quantised. What acts on activations stays in float32 and statistics in float64: only the
weights of linear maps have fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.quiet import quiet

if TYPE_CHECKING:
    import torch

GROUP = 32  # weights of an `int4` that share a scale
# The packages that open weights of a kind of quantisation.
PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "awq": "gptqmodel",
        "gptq": "gptqmodel optimum",
        "bitsandbytes": "bitsandbytes",
        "compressed-tensors": "compressed-tensors",
        "torchao": "torchao",
        "quanto": "optimum-quanto",
        "hqq": "hqq",
        "aqlm": "aqlm",
        "eetq": "eetq",
        "fbgemm_fp8": "fbgemm-gpu",
        "mxfp4": "kernels",
        "spqr": "spqr_quant",
        "vptq": "vptq",
        "auto-round": "auto-round",
    }
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to quantise on loading: the package that does it, what it is in words, the bits of a weight with its
    share of the scales, and transformers' settings for a dtype."""

    package: str
    words: str
    bits: float
    settings: Callable[[torch.dtype], Any]


def _torchao(build: Callable[[Any], Any]) -> Callable[[torch.dtype], Any]:
    def settings(dtype: torch.dtype) -> Any:
        import torchao.quantization
        from transformers import TorchAoConfig

        return TorchAoConfig(build(torchao.quantization))

    return settings


def _int4(ao: Any) -> Any:
    import torch

    int4: Any = getattr(torch, "int4")  # noqa: B009, the type checker does not know it
    return ao.IntxWeightOnlyConfig(weight_dtype=int4, granularity=ao.PerGroup(GROUP))


def _bnb_8bit(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


def _bnb_4bit(dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "int8": Kind("torchao", "8 bits, a scale a row", 8, _torchao(lambda ao: ao.Int8WeightOnlyConfig())),
        "int4": Kind("torchao", f"4 bits kept in 8, a scale for {GROUP} weights", 9, _torchao(_int4)),
        "fp8": Kind("torchao", "float8, a scale a weight matrix", 8, _torchao(lambda ao: ao.Float8WeightOnlyConfig())),
        "bnb_8bit": Kind("bitsandbytes", "LLM.int8", 8, _bnb_8bit),
        "bnb_4bit": Kind("bitsandbytes", "NF4", 4.5, _bnb_4bit),
    }
)


def method_of(config: Any) -> str | None:
    """The method with which a config says that its weights are quantised, or None."""
    found = getattr(config, "quantization_config", None)
    method = found.get("quant_method") if isinstance(found, dict) else getattr(found, "quant_method", None)
    if method is None and isinstance(found, dict) and any(str(k).startswith("load_in_") for k in found):
        method = "bitsandbytes"
    return None if method is None else str(getattr(method, "value", method))


def described(quantization: str | None, config: Any) -> str | None:
    """How weights are quantised, in words; None where they are not."""
    if quantization is None:
        method = method_of(config)
        return None if method is None else f"{method}, in the model's files"
    kind = KINDS[quantization]
    return f"{quantization} on loading ({kind.package}: {kind.words})"


def settings(model_id: str, quantization: str, config: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """transformers' settings for quantising on loading. Raises RecipeError M664 where this model, this machine or
    this device cannot."""
    kind = KINDS[quantization]
    if method := method_of(config):
        raise refused(model_id, quantization, f"its files are quantised already ({method})", "leave it out")
    if device.type not in ("cpu", "cuda"):
        reason = f"{kind.package} has no such weights on {device.type}"
        raise refused(model_id, quantization, reason, "use --device cpu, or leave it out")
    try:
        metadata.version(kind.package)
        with quiet():
            return kind.settings(dtype)
    except (ImportError, metadata.PackageNotFoundError) as error:
        way_out = f"run `pip install {kind.package}`, or leave it out"
        raise refused(model_id, quantization, f"the package {kind.package} is not installed", way_out) from error


def require_quantised(model: Any, model_id: str, quantization: str) -> None:
    """Raise RecipeError M664 for a model of which no weight has been quantised."""
    import torch

    plain = (torch.nn.Parameter, torch.Tensor)
    if all(type(p) in plain and type(p.data) in plain for p in model.parameters()):
        reason = "none of its weights is of a kind that this quantises"
        raise refused(model_id, quantization, reason, "take another one, or leave it out")


def refused(model_id: str, quantization: str, reason: str, way_out: str) -> RecipeError:
    """The message for a quantisation on loading that cannot be (M664)."""
    title = f"`{model_id}` cannot be quantised as `{quantization}` here: {reason}"
    return RecipeError([Diagnostic("M664", title, help=way_out)], Exit.FAILED)

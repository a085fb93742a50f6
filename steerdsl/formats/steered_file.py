"""The file of lm-evaluation-harness's `steered` model: one edit of a module's output for each hook point.

In: a steer of additions, clamps and whole ablations of one direction. Out: a `.pt` file, a dict by
hook point (a module's path inside the base model). An ablation is a clamp to 0. Written for lm-eval
0.4.13; tensors and plain values alone, so that it loads with `weights_only` as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steerdsl.formats.steady import refusal
from steerdsl.formats.types import Act, Carried
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.numbers import plain
from steerdsl.methods.ops.add import step
from steerdsl.models.sites import Architecture
from steerdsl.registry import find

TITLE = "a steered model's file of lm-eval"
INSTEAD = "run the steer instead"


def write_steer(steer: Carried, path: Path) -> None:
    """Write one entry for each place where the steer acts; two at one place are refused."""
    import torch

    found: dict[str, dict[str, Any]] = {}
    for act in steer.acts:
        hook = _hookpoint(steer.arch, act.op, act.stream, act.layer)
        if hook in found:
            raise refusal(TITLE, f"it holds one edit of `{hook}`, and this steer makes two", INSTEAD)
        found[hook] = _entry(act)
    numbers = {
        f"{part} of {hook}": torch.as_tensor(entry[part], dtype=torch.float32)
        for hook, entry in found.items()
        for part in ("steering_vector", "steering_coefficient")
    }
    require_tensors(TITLE, numbers, EXPORT_LESS)
    torch.save(found, path)


def _entry(act: Act) -> dict[str, Any]:
    unit, norm = act.operand.unit, act.operand.norm
    assert unit is not None and norm is not None
    effect = find("op", act.op.name).effect
    if effect == "adds":
        by = act.op.args["by"]
        if by.unit == "raw":
            return _said("add", norm.double() @ unit.double(), by.value)
        return _said("add", step(act.operand, by), 1.0)
    if act.operand.reader is not None:
        raise refusal(TITLE, "an oblique eraser (leace) is not a clamp of one direction", INSTEAD)
    if len(unit) > 1:
        raise refusal(TITLE, f"it holds one direction a place, and here are {len(unit)}", INSTEAD)
    if effect == "removes" and act.op.args.get("by", 1.0) != 1.0:
        raise refusal(TITLE, "a partial ablation is not a clamp", INSTEAD)
    value = 0.0 if effect == "removes" else plain(act.op.args["to"])
    return _said("clamp", unit[0], value)


def _said(action: str, vector: Any, coefficient: float) -> dict[str, Any]:
    return {
        "action": action,
        "steering_vector": vector.float().clone(),
        "steering_coefficient": float(coefficient),
        "bias": None,
        "head_index": None,
    }


def require_place(op: r.Op, stream: str, layer: int, arch: Architecture) -> None:
    """Raise MethodError R847 where a stream is not the output of a module."""
    _hookpoint(arch, op, stream, layer)


def _hookpoint(arch: Architecture, op: r.Op, stream: str, layer: int) -> str:
    """The module, from the base model on, whose output is the stream."""
    site = arch.read("resid_post", layer - 1) if stream == "resid_pre" and layer > 0 else arch.write(stream, layer)
    module = site.module
    if stream == "resid_pre" and layer == 0:
        # What is between embedding and first block (a scale) is linear, so it keeps a zero alone.
        if find("op", op.name).effect != "removes" or len(arch.embeddings) > 1:
            raise refusal(TITLE, "the first block's input is not the output of a module", "act on another stream")
        module = arch.embeddings[0]
    elif site.side != "output" or site.onto is not None:
        raise refusal(TITLE, f"{stream} is not the output of a module", "act on resid_post, attn_out or mlp_out")
    elif site.factor != 1.0:
        reason = f"{stream} is the output of a module times {site.factor:g}"
        raise refusal(TITLE, reason, "act on resid_post or resid_pre")
    return module.partition(".")[2]

"""Export a steer as a transformers checkpoint whose weights carry it.

In: an opened model, a steer's operations, the run's values. Out: a folder that transformers loads,
and what it equals in words. What no weights can carry exactly is refused.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.formats.steady import require_linear
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.layers import operand
from steerdsl.methods.ops import add
from steerdsl.methods.types import MethodError, Vector
from steerdsl.methods.weights import WeightEdit, ablate_weights, add_bias, write
from steerdsl.models.quiet import quiet
from steerdsl.planning.targets import targets
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.values import Values
    from steerdsl.models.opened import Opened

WRITES = {"resid_pre": "embed", "attn_out": "attn_out", "mlp_out": "mlp_out"}


def export_checkpoint(opened: Opened, ops: Sequence[r.Op], values: Values, folder: Path) -> list[str]:
    """Write a copy of the model with the steer in its weights; returns what each edit equals.

    The folder appears whole or not at all. Raises MethodError for an operation that is not linear
    in the activation and the same at every token.
    """
    model = copy.deepcopy(opened.model)
    said = []
    for op in sorted(ops, key=_after_writes):
        for edit in _edits(model, op, opened, values):
            write(model, edit)
            said.append(edit.equals)
    require_tensors("the checkpoint", dict(model.named_parameters()), EXPORT_LESS)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with quiet():
            model.save_pretrained(fresh)
            opened.tokenizer.save_pretrained(fresh)
        fresh.chmod(0o755)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return said


def _after_writes(op: r.Op) -> bool:
    """Whether an operation acts behind a block's writes, as an addition on the stream does: an
    ablation of what is written does not see it, whichever comes first in the text."""
    return find("op", op.name).effect == "adds" and any(stream.name.startswith("resid") for stream in op.streams)


def _edits(model: Any, op: r.Op, opened: Opened, values: Values) -> Iterator[WeightEdit]:
    """The weight edits of one operation, each to be written before the next is made."""
    require_linear(op)
    value = values.operand(op)
    assert isinstance(value, Vector)
    if value.directions.reader is not None:
        raise MethodError(
            f"`{value.name}` is an oblique eraser (leace) with an offset, which no edit of weights equals",
            "export a steer whose vector is an extracted direction",
        )
    if find("op", op.name).effect == "removes":
        yield ablate_weights(model, _rows(op, value, opened, values), float(op.args.get("by", 1.0)))
        return
    strength = op.args["by"]
    for target in targets(op, opened.arch, values.chosen):
        acting = values.measured(op, operand(value, target.layer), target)
        yield add_bias(model, target.layer, add.step(acting, strength), target.stream)


def _rows(op: r.Op, value: Vector, opened: Opened, values: Values) -> Any:
    """Directions for each site that writes to the stream."""
    found: dict[tuple[str, int], Tensor | None] = {}
    for target in targets(op, opened.arch, values.chosen):
        if target.stream not in WRITES or (target.stream == "resid_pre" and target.layer > 0):
            raise MethodError(
                f"ablating {target.stream} at layer {target.layer} cannot be done by editing weights: it also "
                "removes what earlier layers wrote",
                "ablate `everywhere`, or on attn_out and mlp_out",
            )
        found[WRITES[target.stream], target.layer] = operand(value, target.layer).unit
    return found

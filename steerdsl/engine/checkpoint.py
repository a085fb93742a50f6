"""Export a steer as a transformers checkpoint whose weights carry it, or as an adapter of low rank.

In: an opened model, a steer's operations, the run's values. Out: a folder that transformers or PEFT loads, and what
it equals in words. What no weights can carry exactly is refused, and so is an export whose logits are not those of
the steer; the folder appears whole and verified, or not at all.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from steerdsl.engine.export_check import in_float32, wanted
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.formats.lora_adapter import has_place, merge
from steerdsl.formats.steady import require_linear
from steerdsl.lang import recipe as r
from steerdsl.methods.finite import EXPORT_LESS, require_tensors
from steerdsl.methods.layers import operand, require_stated
from steerdsl.methods.ops import add
from steerdsl.methods.types import MethodError, Operand, Vector
from steerdsl.methods.weights import WeightEdit, ablate_weights, add_bias, write
from steerdsl.models.quiet import quiet
from steerdsl.models.small import model_class
from steerdsl.planning.targets import Target, targets
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.values import Values
    from steerdsl.models.opened import Opened


def export_checkpoint(opened: Opened, ops: Sequence[r.Op], values: Values, folder: Path) -> list[str]:
    """Write a copy of the model with the steer in its weights; returns what each edit equals, and how far it is off.

    Raises MethodError for an operation that is not linear in the activation and the same at every token, and M670
    for a checkpoint whose logits are not those of the steer.
    """
    for op in ops:
        require_linear(op)
    model = copy.deepcopy(opened.model)
    dtype = next(model.parameters()).dtype
    said = _put(model, ops, opened, values)
    require_tensors("the checkpoint", dict(model.named_parameters()), EXPORT_LESS)
    copied = in_float32(opened.model)
    goal = wanted(opened, copied, compile_steer(ops, opened.arch, values))
    if dtype != torch.float32:  # the edit itself, before its weights are rounded
        _put(copied, ops, opened, values)
        goal.require(copied, "the edited model")
    del copied
    with fresh(folder) as made:
        with quiet():
            model.save_pretrained(made)
            opened.tokenizer.save_pretrained(made)
        share = goal.require(_read_back(made, model.config).to(goal.ids.device), "the exported checkpoint", dtype)
    return [*said, f"its logits differ from the steer's by {share:.1g} of the largest"]


def export_adapter(
    opened: Opened, ops: Sequence[r.Op], values: Values, write_to: Callable[[Path], None], folder: Path
) -> str:
    """Write an adapter by `write_to`, hold it to the steer, and give it its name. Raises as `export_checkpoint`."""
    with fresh(folder) as made:
        write_to(made)
        copied = in_float32(opened.model)
        goal = wanted(opened, copied, compile_steer(ops, opened.arch, values))
        merge(copied, made)
        share = goal.require(copied, "the adapter")
    return f"its logits differ from the steer's by {share:.1g} of the largest"


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """A new folder that gets its name once all is well, and is gone otherwise."""
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield made
        made.chmod(0o755)
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _read_back(folder: Path, config: Any) -> Any:
    """The checkpoint as transformers reads it, in float32. Raises MethodError M670 where it lacks a tensor."""
    with quiet():
        model, report = model_class(config).from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    if missing := sorted(report["missing_keys"]):
        title = f"the exported checkpoint has no {missing[0]}, so transformers would fill it in"
        raise MethodError(title, "run the steer on the model instead of exporting it", "M670")
    return model.eval()


def _put(model: Any, ops: Sequence[r.Op], opened: Opened, values: Values) -> list[str]:
    """Edit a model's weights; returns what each edit equals."""
    said = []
    steps = [step for op in ops for step in _steps(op, opened, values)]
    for _, make in sorted(steps, key=lambda step: step[0]):
        edit = make(model)
        write(model, edit)
        said.append(edit.equals)
    return said


# Whether it acts behind a block's writes, and the edit of a model as it is by then.
Step = tuple[bool, Callable[[Any], WeightEdit]]


def _steps(op: r.Op, opened: Opened, values: Values) -> Iterator[Step]:
    """The weight edits of one operation. An addition on the stream acts behind a block's writes: an ablation of what is
    written does not see it, whichever comes first in the text."""
    value = values.operand(op)
    assert isinstance(value, Vector)
    if value.directions.reader is not None:
        raise MethodError(
            f"`{value.name}` is an oblique eraser (leace) with an offset, which no edit of weights equals",
            "export a steer whose vector is an extracted direction",
        )
    if find("op", op.name).effect == "removes":
        rows, share = _rows(op, value, opened, values), float(op.args.get("by", 1.0))
        yield False, lambda model: ablate_weights(model, rows, share)
        return
    for target in targets(op, opened.arch, values.chosen):
        require_stated(value, op.name, target.stream)
        yield _behind(target), _addition(op, values.measured(op, operand(value, target.layer), target), target)


def _behind(target: Target) -> bool:
    return target.stream.startswith("resid") and (target.stream, target.layer) != ("resid_pre", 0)


def _addition(op: r.Op, acting: Operand, target: Target) -> Callable[[Any], WeightEdit]:
    added = add.step(acting, op.args["by"])
    return lambda model: add_bias(model, target.layer, added, target.stream)


def _rows(op: r.Op, value: Vector, opened: Opened, values: Values) -> dict[tuple[str, int], Tensor]:
    """Directions for each place that writes to the stream."""
    found: dict[tuple[str, int], Tensor] = {}
    for target in targets(op, opened.arch, values.chosen):
        if not has_place(opened.arch, target.stream, target.layer):
            raise MethodError(
                f"ablating {target.stream} at layer {target.layer} cannot be done by editing weights: it also "
                "removes what earlier layers wrote",
                "ablate `everywhere`, or on attn_out and mlp_out",
            )
        require_stated(value, op.name, target.stream)
        unit = operand(value, target.layer).unit
        assert unit is not None
        found[target.stream, target.layer] = unit
    return found

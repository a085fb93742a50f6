"""What happens inside a forward pass: reading and writing activations at sites, step by step.

In: plain data (`Touch`es: functions with the tensors that they act with). Out: edited activations, captured rows.
Everything here may be sent to a server by value, so it uses torch, builtins and kernels of
`methods.ops` alone, and no class of this package; `tracing` calls it from inside nnsight's blocks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from steerdsl.methods.ops.keep_norm import keep_norm as rescale

if TYPE_CHECKING:
    from torch import Tensor

# The number of a forward pass: 0 is the prompt's, k reads the k-th generated token. A text that is
# read in one pass has a number for each token instead, int64 [B, S].
Step = Any

# An edit takes the activation [B, S, d], the step, the mask of real tokens [B, S] (None when nothing
# is padded) and the memory of this generation, and gives the new activation.
Edit = Callable[["Tensor", Step, "Tensor | None", dict[str, Any]], "Tensor"]

# A touch is one visit to one module: a dict with
#   path, side ("input" | "output")
#   factor: what the model multiplies the value there by (`models.sites`); edits see the product
#   edits: edits of what is read there
#   stash: name under which the value is kept for later touches of the same pass, or None
#   plus: name of a stashed value to add before `late` edits and to take away after them, or None
#   late: edits of the sum (resid_mid is written through what attention adds to resid_pre)
# A probe is an edit that gives back what it was given and remembers what it saw.
Touch = dict[str, Any]


def walk(root: Any, path: str) -> Any:
    """The module at a dotted path such as `model.layers.3.mlp`."""
    for part in path.split("."):
        # nnsight serves some names on every module; a child of such a name has this one there.
        child = None if part.isdigit() else getattr(root, f"E_{part}", None)
        root = root[int(part)] if part.isdigit() else getattr(root, part) if child is None else child
    return root


def read(module: Any, side: str, rows: int, factor: float) -> tuple[Any, Any]:
    """The activation [rows, S, d] at a module's input or output, times `factor`, and the whole value that holds it."""
    whole = held(module, side)
    return activation(whole, rows, factor), whole


def held(module: Any, side: str) -> Any:
    """What a module is given or gives, once a pass has come there."""
    return module.input if side == "input" else module.output


def activation(whole: Any, rows: int, factor: float) -> Any:
    """The activation [rows, S, d] in what a module is given or gives, times `factor`."""
    # Some modules wrap their output in a tuple or a list, in some versions; OPT flattens its tokens.
    value = whole[0] if isinstance(whole, tuple | list) else whole
    value = value.unflatten(0, (rows, -1)) if value.ndim == 2 else value
    return value if factor == 1.0 else value * factor


def write(module: Any, side: str, whole: Any, value: Any, factor: float) -> None:
    """Put `value` back where `read` found it, in the same shape and without the factor."""
    first = whole[0] if isinstance(whole, tuple | list) else whole
    value = unscaled(value.reshape(first.shape), first, factor)
    if isinstance(whole, tuple | list):
        value = [value, *whole[1:]] if isinstance(whole, list) else (value, *whole[1:])
    if side == "input":
        module.input = value
    else:
        module.output = value


def unscaled(value: Tensor, first: Tensor, factor: float) -> Tensor:
    """`value`, which edits made of `first` times the factor, without the factor. What no edit touched stays bit for
    bit: first * factor / factor need not be first."""
    return value if factor == 1.0 else first.where(value == first * factor, value / factor)


def place(model: Any, touches: Sequence[Touch]) -> list[tuple[Any, Touch]]:
    """Each touch with its module, looked up once for all passes."""
    return [(walk(model, touch["path"]), touch) for touch in touches]


def visit(
    placed: Sequence[tuple[Any, Touch]], rows: int, step: Step, mask: Tensor | None, memory: dict[str, Any]
) -> None:
    """Make every touch of one pass over `rows` rows, in the order in which the modules run."""
    stash: dict[str, Any] = {}
    for module, touch in placed:
        value, whole = read(module, touch["side"], rows, touch["factor"])
        new = touched(touch, value, step, mask, memory, stash)
        if new is not value:
            write(module, touch["side"], whole, new, touch["factor"])


def touched(
    touch: Touch, value: Tensor, step: Step, mask: Tensor | None, memory: dict[str, Any], stash: dict[str, Any]
) -> Tensor:
    """The activation [rows, S, d] that a touch makes of the one it finds."""
    new = value
    for edit in touch["edits"]:
        new = edit(new, step, mask, memory)
    if touch["late"]:
        base = stash[touch["plus"]]
        total = base + new
        edited = total
        for edit in touch["late"]:
            edited = edit(edited, step, mask, memory)
        if edited is not total:
            # What no edit touched stays bit for bit: (base + new) - base need not be new.
            new = new.where(edited == total, edited - base)
    if touch["stash"] is not None:
        stash[touch["stash"]] = new
    return new


def make_edit(
    kernel: Callable[[Tensor, dict[str, Tensor]], Tensor],
    params: dict[str, Tensor],
    steps: tuple[int, int | None],
    gates: Sequence[Callable[..., Any]],
    keep_norm: bool,
    part: tuple[int, int] | None,
    align: Callable[[Tensor, int], Tensor] | None = None,
) -> Edit:
    """A kernel with its tensors and the conditions under which it acts.

    steps: first pass and one past the last pass that it acts in. gates: functions (x, step, mask,
    memory) -> bool [B, S] or [B, 1], or None while undecided (then nothing happens). align: for
    patches, which source row each token takes, from the mask. The arithmetic is float32 (float64 stays).
    """
    # One function over plain data, here and below: a closure for each site would be sent as text once for each.
    return partial(_edit, (kernel, params, steps, tuple(gates), keep_norm, part, align))


def _edit(does: tuple[Any, ...], h: Tensor, step: Step, mask: Tensor | None, memory: dict[str, Any]) -> Tensor:
    kernel, params, steps, gates, keep_norm, part, align = does
    y: Tensor
    if isinstance(step, int):
        if step < steps[0] or (steps[1] is not None and step >= steps[1]):
            return h
        gate = mask if step == 0 else None
    else:
        gate = step >= steps[0] if steps[1] is None else (step >= steps[0]) & (step < steps[1])
        gate = gate if mask is None else gate & mask
    whole = h
    if part is not None:
        h = h[..., part[0] : part[1]]
    x = h if h.dtype.itemsize == 8 else h.float()
    p = _local(params, x, memory)
    if align is not None:
        here = gate if gate is not None else x.new_ones(x.shape[:-1])
        p = {**p, "index": align(here.to(x.device), len(p["rows"]))}
    y = kernel(x, p)
    if keep_norm:
        y = rescale(x, y)
    for condition in gates:
        decided = condition(x, step, mask, memory)
        if decided is None:
            return whole
        decided = decided.to(x.device)  # it may be of a layer on another device
        gate = decided if gate is None else gate.to(x.device) & decided
    if gate is not None:
        y = y.where(gate.to(x.device)[..., None], x)
    y = y.to(h.dtype)
    return y if part is None else _join(whole, y, part)


def _local(params: dict[str, Tensor], x: Tensor, memory: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of an edit where `x` is: one copy for each generation, device and dtype. The memory has them, not
    the edit, which is sent again with the next batch."""
    key = f"local {id(params)} {x.device} {x.dtype}"
    if key not in memory:
        memory[key] = {
            k: v.to(device=x.device, dtype=x.dtype if v.is_floating_point() else v.dtype) for k, v in params.items()
        }
    found: dict[str, Tensor] = memory[key]
    return found


def by_rows(parts: Sequence[tuple[int, int, Sequence[Edit]]]) -> Edit:
    """One edit made of several that have rows of the batch to themselves: the first row, one past the
    last, and the edits of those rows, one after another. The memory's "rows", where it has them, are those
    that a pass still has (`decoding.Present`)."""
    return partial(_by_rows, list(parts))


def _by_rows(
    parts: Sequence[tuple[int, int, Sequence[Edit]]],
    h: Tensor,
    step: Step,
    mask: Tensor | None,
    memory: dict[str, Any],
) -> Tensor:
    out, rows = None, memory.get("rows")
    for start, stop, edits in parts:
        if rows is not None and bisect_left(rows, start) == bisect_left(rows, stop):
            continue  # none of these rows is in this pass
        own = new = h[start:stop]
        at = step if isinstance(step, int) else step[start:stop]
        real = None if mask is None else mask[start:stop]
        for inner in edits:
            new = inner(new, at, real, memory)
        if new is not own:
            out = h.clone() if out is None else out
            out[start:stop] = new
    return h if out is None else out


def _join(whole: Tensor, y: Tensor, part: tuple[int, int]) -> Tensor:
    """`whole` with the features of `part` replaced; out of place, since others may hold `whole`."""
    out = whole.clone()
    out[..., part[0] : part[1]] = y
    return out


def compare(value: Tensor, op: str, threshold: float) -> Tensor:
    """`value op threshold`, elementwise."""
    if op == ">":
        return value > threshold
    if op == ">=":
        return value >= threshold
    return value < threshold if op == "<" else value <= threshold


def make_gate(figure: Callable[[Tensor, Tensor], Tensor], direction: Tensor, op: str, threshold: float) -> Any:
    """A condition that is read token by token where the operation acts: bool [B, S]."""
    return partial(_gate, (figure, direction, op, threshold))


def _gate(reads: tuple[Any, ...], x: Tensor, step: Step, mask: Tensor | None, memory: dict[str, Any]) -> Tensor:
    figure, direction, op, threshold = reads
    return compare(figure(x, direction.to(device=x.device, dtype=x.dtype)), op, threshold)


def make_memory_gate(key: str) -> Any:
    """A condition that a probe decides, row by row, on the prompt pass: bool [B, 1], or [B, S].

    A site before the probe's does not know yet while the prompt is read: nothing happens there. In
    a text that is read in one pass, the generated tokens must know all the same: a first reading of
    it (`memory["before"]`) tells them.
    """
    return partial(_memory_gate, key)


def _memory_gate(key: str, x: Tensor, step: Step, mask: Tensor | None, memory: dict[str, Any]) -> Tensor | None:
    decided: Tensor | None = memory.get(key)
    if decided is not None:
        return decided.to(x.device)[:, None]
    if isinstance(step, int):
        return None
    if "before" not in memory:
        memory["late"] = True
        return None
    later: Tensor = memory["before"][key].to(x.device)[:, None] & (step > 0).to(x.device)
    return later


def make_probe(
    figure: Callable[[Tensor, Tensor], Tensor], direction: Tensor, op: str, threshold: float, key: str
) -> Edit:
    """Decide a condition once, on the prompt pass, from the mean over each row's real tokens."""
    return partial(_probe, (figure, direction, op, threshold, key))


def _probe(reads: tuple[Any, ...], h: Tensor, step: Step, mask: Tensor | None, memory: dict[str, Any]) -> Tensor:
    figure, direction, op, threshold, key = reads
    if key in memory or (isinstance(step, int) and step > 0):
        return h
    x = h if h.dtype.itemsize == 8 else h.float()
    real = x.new_ones(x.shape[:-1]).bool() if mask is None else mask.to(x.device)
    if not isinstance(step, int):
        real = real & (step == 0).to(x.device)
    mean = x.where(real[..., None], 0).sum(dim=1) / real.sum(dim=1, keepdim=True)
    memory[key] = compare(figure(mean, direction.to(mean)), op, threshold)
    return h


def sizes(h: Tensor, part: slice) -> Tensor:
    """The norm of some features of each token, float64 [B, S, 1]: of the activations themselves nothing is kept."""
    import torch

    if h.device.type == "mps":
        h = h.cpu()  # Apple's GPU has no float64
    found: Tensor = torch.linalg.vector_norm(h[..., part], dim=-1, keepdim=True, dtype=torch.float64)
    return found


def gather(h: Tensor, columns: Tensor | None, average: bool, picked: Tensor) -> Tensor:
    """float64 rows on the CPU: for each prompt the token at `columns` [B], or the mean of its tokens
    of the mask `picked` [B, S]; else every token of that mask."""
    if h.device.type == "mps":
        h = h.cpu()  # Apple's GPU has no float64
    if columns is not None:
        return h[range(h.shape[0]), columns.to(h.device)].double().cpu()
    picked = picked.to(h.device)
    if not average:
        return h[picked].double().cpu()
    # Left out, not multiplied by zero: half-precision padding may hold infinities.
    total = h.where(picked[..., None], 0).double().sum(dim=1)
    return (total / picked.sum(dim=1, keepdim=True)).cpu()

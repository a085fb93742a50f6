"""The sites of a decoder, found from one recorded pass and proved by arithmetic.

In: a model whose weights are all at random, so that two activations are equal only where the model makes them
so. Out: `Found`: the stack of blocks, and for each block which modules' outputs are added to the residual stream,
in which order and with which factor. Raises `Unsteerable` where an identity fails.

The identities: every block takes what the one before gave; `post = gain * (pre + sum of factor * writer)`, or for
blocks that normalise after an addition, the same for what each of their norms takes; no token's activations depend
on a later token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from steerdsl.models.block_streams import kind_of
from steerdsl.models.block_sums import Answer, Block, close, normlike, solve
from steerdsl.models.recorded import ModuleCall, prompt, record
from steerdsl.models.sites import BlockKind
from steerdsl.models.unsteerable import Unsteerable

_OTHER_INPUT = re.compile(r"(^|\.)(vision|visual|image|audio|vit|speech|img)[^.]*(\.|$)")


@dataclass(frozen=True, slots=True)
class Found:
    """What a probe found. `kinds` has one for each block; paths are from the causal LM on, sites with `{l}`."""

    blocks: str
    kinds: tuple[BlockKind, ...]
    embeddings: tuple[str, ...]
    norm: str | None
    unembedding: str | None
    error: float


def probe(model: Any, heads: Any) -> Found:
    """Find the sites of `model`, in eval mode, weights at random. `heads(layer, width)` gives the number of
    attention heads of a layer whose output projection takes `width` numbers, and one head's width."""
    ids = prompt(model.config.get_text_config().vocab_size)
    try:
        calls = record(model, ids)
    except Exception as error:  # what an odd config trips in the library is not foreseeable
        raise Unsteerable("run", (str(error).strip() or type(error).__name__).splitlines()[0]) from error
    path, stack = _stack(calls)
    idle = len(model.get_submodule(path)) - len(stack)
    if idle:
        raise Unsteerable("stack", f"{idle} of the blocks of {path} do not run on text alone")
    _require_chain(stack)
    _require_causal(model, ids, path, stack)
    kinds, worst = list[BlockKind](), 0.0
    known: list[Answer] = []
    for layer, call in enumerate(stack):
        block = Block(call, [c for c in calls if c.path.startswith(f"{call.path}.")])
        sums = solve(block, known)
        worst = max(worst, sums.error)
        kinds.append(kind_of(block, sums, f"{path}.{{l}}", partial(heads, layer)))
    first, last = stack[0], stack[-1]
    assert first.taken is not None and last.given is not None
    return Found(path, tuple(kinds), _embeddings(model, calls, first), _norm(calls, last), _unembedding(model), worst)


def _stack(calls: Sequence[ModuleCall]) -> tuple[str, list[ModuleCall]]:
    """The longest list of modules that each take and give activations of the prompt."""
    lists: dict[str, dict[int, list[ModuleCall]]] = {}
    for call in calls:
        parent, _, leaf = call.path.rpartition(".")
        if leaf.isdigit() and not _OTHER_INPUT.search(parent):
            lists.setdefault(parent, {}).setdefault(int(leaf), []).append(call)
    # A list within another's blocks (experts) belongs to these.
    outer = {p: c for p, c in lists.items() if not any(p.startswith(f"{other}.") for other in lists if other != p)}
    whole = {p: c for p, c in outer.items() if all(_streams(call) for own in c.values() for call in own)}
    if not whole:
        raise Unsteerable("stack", _no_stack(outer))
    chained = {p: c for p, c in whole.items() if _chained(c)}
    if not chained and len(whole) > 1:
        raise Unsteerable("stack", _no_stack({p: c for p, c in outer.items() if p not in whole} or outer))
    whole = chained or whole
    path = max(whole, key=lambda p: (len(whole[p]), -len(p)))
    rivals = [p for p in whole if p != path and len(whole[p]) > 1]
    if rivals:
        raise Unsteerable("stack", f"it has more than one stack of blocks: {path} and {', '.join(sorted(rivals))}")
    blocks = whole[path]
    often = next((n for n, own in sorted(blocks.items()) if len(own) > 1), None)
    if often is not None:
        raise Unsteerable("stack", f"{path}.{often} runs {len(blocks[often])} times in one pass")
    return path, [blocks[n][0] for n in sorted(blocks)]


def _chained(blocks: dict[int, list[ModuleCall]]) -> bool:
    """Whether each block takes what the one before it gave."""
    calls = [blocks[n][0] for n in sorted(blocks)]
    return all(_equal(b.taken, a.given) for a, b in pairwise(calls) if b.taken is not None)


def _streams(call: ModuleCall) -> bool:
    taken, given = call.taken, call.given
    return taken is not None and given is not None and taken.shape == given.shape and not call.flat


def _no_stack(lists: dict[str, dict[int, list[ModuleCall]]]) -> str:
    if not lists:
        return "no list of blocks runs"
    path = max(lists, key=lambda p: len(lists[p]))
    shapes = {call.shape for own in lists[path].values() for call in own if call.shape}
    if not shapes:
        return f"the modules of {path} give no tensor"
    shape = " × ".join(map(str, min(shapes)))
    return f"what the blocks of {path} give has the shape {shape}, where one stream has prompts × tokens × width"


def _require_chain(stack: Sequence[ModuleCall]) -> None:
    """Each block takes what the one before gave."""
    for layer, (one, next_one) in enumerate(pairwise(stack)):
        assert one.given is not None and next_one.taken is not None
        if not torch.equal(one.given, next_one.taken):
            off = _share(one.given - next_one.taken, one.given)
            reason = f"block {layer + 1} does not take what block {layer} gives: it differs by {off}"
            raise Unsteerable("chain", reason)


def _share(difference: Tensor, of: Tensor) -> str:
    return f"{float(difference.abs().max() / of.abs().max()):.1%} of the largest number"


def _require_causal(model: Any, ids: Tensor, path: str, stack: Sequence[ModuleCall]) -> None:
    """No token's activations depend on the last one."""
    other = ids.clone()
    other[:, -1] = ids[:, 0]
    last = f"{path}.{len(stack) - 1}"
    again = [c for c in record(model, other) if c.path == stack[-1].path]
    before, after = stack[-1].given, again[0].given
    assert before is not None and after is not None
    if not close(before[:, :-1], after[:, :-1]):
        off = _share(before[:, :-1] - after[:, :-1], before)
        raise Unsteerable("causal", f"tokens see those after them (at the end of {last}, by {off}): it is an encoder")


def _embeddings(model: Any, calls: Sequence[ModuleCall], first: ModuleCall) -> tuple[str, ...]:
    """The embeddings whose sum is the first block's input, up to one factor; where something else stands
    between, all that run before it."""
    assert first.taken is not None
    found = [c for c in calls if c.stop < first.start and c.stop > 0 and isinstance(c.module, torch.nn.Embedding)]
    values = []
    for call in found:
        value = call.given
        if value is None and call.shape is not None and call.shape[-1] == first.taken.shape[-1]:
            value = _broadcast(call, first.taken)
        values.append(value)
    for many in (1, 2, 3):
        for start in range(len(found) - many + 1):
            chosen = values[start : start + many]
            if all(v is not None and v.shape == first.taken.shape for v in chosen):
                total = torch.stack([v for v in chosen if v is not None]).sum(0)
                scale = (first.taken * total).sum() / total.square().sum()
                if close(first.taken, scale * total):
                    return tuple(dict.fromkeys(c.path for c in found[start : start + many]))
    if found:
        return tuple(dict.fromkeys(c.path for c in found))
    inside = model.get_input_embeddings()
    return tuple(path for path, module in model.named_modules() if module is inside)[:1]


def _broadcast(call: ModuleCall, like: Tensor) -> Tensor | None:
    shape = call.shape or ()
    if shape not in ((1, *like.shape[1:]), tuple(like.shape[1:])):
        return None
    weight = call.module.weight.detach().double()
    offset = getattr(call.module, "offset", 0)
    rows = torch.arange(like.shape[1]) + offset
    return weight[rows].expand_as(like) if int(rows[-1]) < len(weight) else None


def _norm(calls: Sequence[ModuleCall], last: ModuleCall) -> str | None:
    after = (c for c in calls if c.start > last.stop and c.taken is not None and last.given is not None)
    readers = (c for c in after if c.taken is not None and _equal(c.taken, last.given))
    return next((c.path for c in readers if normlike(c)), None)


def _equal(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)


def _unembedding(model: Any) -> str | None:
    head = model.get_output_embeddings()
    return next((path for path, module in model.named_modules() if module is head), None)

"""The streams of one block, named, from the sums that were proved.

In: a block's recorded calls and its writers. Out: its `BlockKind`: a site for each stream that it has, and for each
that it lacks the reason. Words decide one thing alone: which writer is called attention and which MLP.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from steerdsl.models.block_sums import Addend, Block, Sums, close, normlike
from steerdsl.models.recorded import ModuleCall
from steerdsl.models.sites import NORMED, STREAMS, BlockKind, Site

# What a module that mixes tokens is called, what one that does not, and what may stand before or behind either.
_MIXES = re.compile(r"att(entio)?n|mamba|ssm|lstm|recurrent|temporal|delta|time_mix|rnn|rglru|retention")
_ALONE = re.compile(r"mlp|moe|ffn|feed_?forward|channel_mix|expert|^ff_|^fc|dense_4h|_ffw")
_MAY_MIX = re.compile(r"conv|mixer")
# Attention whose heads are not those of the config, or that has none.
_NO_HEADS = re.compile(r"linear|delta|mamba|lightning|conv|recurrent|lstm|rglru|ssm|rwkv", re.IGNORECASE)

# The number of heads of an output projection that takes `width` numbers, and one head's width; None where it has none.
Heads = Callable[[int], tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A writer and the outermost module that makes what it adds (Gemma normalises that once more)."""

    writer: Addend
    root: ModuleCall
    mixes: bool


def kind_of(block: Block, sums: Sums, prefix: str, heads: Heads) -> BlockKind:
    """The sites of a block; `prefix` is its path with `{l}` in it."""
    branches = [_branch(block, writer) for writer in sums.writers]
    branches = _told_apart(branches)
    sites: dict[str, Site] = {
        "resid_pre": Site(prefix, "input"),
        "resid_post": Site(prefix, "output", block.call.tupled),
    }
    missing: dict[str, str] = {}
    at: dict[str, int] = {"resid_pre": block.call.start, "resid_post": block.call.stop}

    def put(stream: str, call: ModuleCall, side: str, factor: float = 1.0) -> None:
        inside = side == "input"
        flat = call.flat_in if inside else call.flat
        path = f"{prefix}.{block.relative(call)}"
        sites[stream] = Site(path, "input" if inside else "output", call.tupled and not inside, flat, None, factor)
        at[stream] = call.start if inside else call.stop

    writes = []
    for name, mixes in (("attn_out", True), ("mlp_out", False)):
        own = [b for b in branches if b.mixes == mixes]
        if len(own) == 1:
            put(name, own[0].writer.call, "output", own[0].writer.factor)
        else:
            missing[name] = _none_or_many(block, own, mixes)
    named = {sites[name].module for name in ("attn_out", "mlp_out") if name in sites}
    for branch in branches:
        path = f"{prefix}.{block.relative(branch.writer.call)}"
        if path in named:
            writes.append("attn_out" if branch.mixes else "mlp_out")
        else:
            writes.append(f"added_{len(writes)}")
            put(writes[-1], branch.writer.call, "output", branch.writer.factor)
    attention = next((b for b in branches if b.mixes), None) if "attn_out" in sites else None
    mlp = next((b for b in branches if not b.mixes), None) if "mlp_out" in sites else None
    mid = _mid(block, sums, branches, attention, missing)
    if isinstance(mid, ModuleCall):
        put("resid_mid", mid, "input")
    elif mid is not None:
        missing["resid_mid"] = mid
    _put_norms(block, sums, attention, mlp, missing, put)
    mixer = _mixer_of_heads(block, branches)
    found = None
    if isinstance(mixer, ModuleCall) and mixer.taken is not None:
        found = heads(mixer.taken.shape[-1])
        mixer = mixer if found else "the width of what its projection takes is not that of its heads"
    if isinstance(mixer, ModuleCall) and found:
        put("head", mixer, "input")
    else:
        missing["head"] = str(mixer)
    order = sorted((s for s in at if s != "resid_mid"), key=lambda s: (at[s], STREAMS.index(s) if s in STREAMS else 9))
    inside = {s: sites[s] for s in (*STREAMS, *(w for w in writes if w not in STREAMS)) if s in sites}
    lacks = {s: missing[s] for s in STREAMS if s in missing}
    n_heads, d_head = found or (0, 0)
    return BlockKind(
        MappingProxyType(inside), MappingProxyType(lacks), tuple(writes), tuple(order), sums.gain, n_heads, d_head
    )


def _branch(block: Block, writer: Addend) -> _Branch:
    root = writer.call
    while normlike(root):
        before = [c for c in block.calls if c.stop < root.start and c.given is not None and c is not root]
        source = [c for c in before if _same(c.given, root.taken) and not _idle(c)]
        if not source:
            break
        root = min(source, key=lambda c: (c.path.count("."), c.start))
    return _Branch(writer, root, _mixes(block, root) is True)


def _idle(call: ModuleCall) -> bool:
    return call.taken is not None and _same(call.taken, call.given)


def _mixes(block: Block, root: ModuleCall) -> bool | None:
    """Whether a module mixes tokens, by its names, the most telling first; None where they do not say."""
    first, *rest = block.relative(root).lower().split(".")
    kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(root.module).__name__).lower()
    for name in (first, ".".join(rest), kind):
        if _ALONE.search(name) and not _MIXES.search(name):
            return False
        if _MIXES.search(name) and not _ALONE.search(name):
            return True
    return True if any(_MAY_MIX.search(name) for name in (first, kind)) else None


def _told_apart(branches: Sequence[_Branch]) -> list[_Branch]:
    """Where no name says attention, the first of two is."""
    if len(branches) == 2 and not any(b.mixes for b in branches):
        first, second = branches
        return [_Branch(first.writer, first.root, True), second]
    return list(branches)


def _none_or_many(block: Block, own: Sequence[_Branch], mixes: bool) -> str:
    what = "attention or its like" if mixes else "an MLP"
    if not own:
        return f"nothing in the block is {what}"
    return "several modules write it: " + ", ".join(block.relative(b.writer.call) for b in own)


def _mid(
    block: Block, sums: Sums, branches: Sequence[_Branch], attention: _Branch | None, missing: dict[str, str]
) -> ModuleCall | str:
    """The call whose input is what attention has added to the block's input, or why there is none."""
    if len(branches) == 1:
        return "the block adds to the stream once"
    if attention is None:
        return missing.get("attn_out", "no module is its attention")
    if sums.normed:
        return NORMED
    own = attention.writer
    assert own.call.given is not None
    if branches[0] is not attention:
        return "another module writes before attention does"
    value = block.pre + own.factor * own.call.given
    readers = [c for c in block.calls if c.start > own.call.stop and c.taken is not None and close(c.taken, value)]
    readers = [c for c in readers if not _idle(c)] or readers
    if readers:
        return min(readers, key=lambda c: (c.start, c.path.count(".")))
    other = next((b for b in branches if b is not attention), attention)
    inside = [c for c in block.calls if c.stop <= other.writer.call.stop and c.taken is not None and normlike(c)]
    fed = any(close(c.taken, block.pre) and _feeds(block, c, other, attention) for c in inside if c.taken is not None)
    if fed:
        return "attention and MLP read the same input and are added together"
    return "no module reads the plain sum of what comes in and what attention adds"


def _put_norms(
    block: Block,
    sums: Sums,
    attention: _Branch | None,
    mlp: _Branch | None,
    missing: dict[str, str],
    put: Callable[[str, ModuleCall, str], None],
) -> None:
    """The norms of the stream whose outputs the branches read."""
    if sums.normed:
        for stream in ("attn_norm_out", "mlp_norm_out"):
            missing[stream] = NORMED
        return
    written = {id(w.call) for w in sums.writers}
    norms = [c for c in block.calls if normlike(c) and id(c) not in written and c.path.count(".") > 0]
    for stream, branch in (("attn_norm_out", attention), ("mlp_norm_out", mlp)):
        if branch is None:
            missing[stream] = missing["attn_out" if stream == "attn_norm_out" else "mlp_out"]
            continue
        before = {w.call.stop: w for w in sums.writers if w.call.stop < branch.root.start}
        states = [block.pre]
        total = block.pre
        for stop in sorted(before):
            given = before[stop].call.given
            assert given is not None
            total = total + before[stop].factor * given
            states.append(total)
        fits = [
            n
            for n in norms
            if n.start < branch.writer.call.stop and n.taken is not None and any(close(n.taken, s) for s in states)
        ]
        found = next((n for n in reversed(fits) if _feeds(block, n, branch, attention)), None)
        if found is None:
            missing[stream] = "no norm of the stream is what it reads"
        else:
            put(stream, found, "output")


def _feeds(block: Block, norm: ModuleCall, branch: _Branch, attention: _Branch | None) -> bool:
    """Whether a branch reads a norm's output."""
    top = block.relative(branch.root).partition(".")[0]
    theirs = block.relative(attention.root).partition(".")[0] if attention is not None else None
    for call in block.calls:
        if call.start <= norm.stop or call.taken is None or not _same(call.taken, norm.given):
            continue
        here = block.relative(call).partition(".")[0]
        if here == top or (branch is not attention and here != theirs):
            return True
    return False


def _mixer_of_heads(block: Block, branches: Sequence[_Branch]) -> ModuleCall | str:
    """The projection that mixes the heads of a block's attention, or why there is none."""
    if not any(b.mixes for b in branches):
        return "the block has no attention"
    able = [b.root for b in branches if b.mixes and not _headless(block, b.root)]
    if len(able) != 1:
        return "several modules of the block have heads" if able else "its mixer has no attention heads"
    for root in able:
        inside = [c for c in block.calls if c.path == root.path or c.path.startswith(f"{root.path}.")]
        ends = [c for c in inside if _matrix(c) and _same(c.given, root.given)]
        if ends and ends[-1].taken is not None:
            return ends[-1]
    return "no projection alone makes what attention adds of its heads"


def _headless(block: Block, root: ModuleCall) -> bool:
    """Whether a mixer is another than attention, by its names."""
    kind = "" if _matrix(root) else type(root.module).__name__
    return bool(_NO_HEADS.search(kind) or _NO_HEADS.search(block.relative(root)))


def _matrix(call: ModuleCall) -> bool:
    weight = getattr(call.module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and not list(call.module.children())


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    return a is not None and b is not None and a.shape == b.shape and torch.equal(a, b)

"""Where the streams of a model are, for people.

In: an `Architecture`. Out: lines: a head, then each kind of block with the module of each stream, or the reason why
it has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.models.sites import NORMED, STREAMS, Architecture, BlockKind, spans


def site_lines(arch: Architecture) -> list[str]:
    """The whole table."""
    heads = f", {arch.n_heads} heads of width {arch.d_head}" if arch.n_heads else ""
    head = f"{arch.family}: {arch.n_layers} layers of width {arch.d_model}{heads}"
    lines = [head, f"the sums of every block hold to {arch.error:.0e} on a small copy with random weights"]
    ends = (("embeddings", ", ".join(arch.embeddings)), ("last norm", arch.norm), ("unembedding", arch.unembedding))
    lines += [f"  {name:14}{path}" for name, path in ends if path]
    for number, kind in enumerate(arch.kinds):
        layers = [layer for layer, which in enumerate(arch.which) if which == number]
        lines += ["", f"layers {spans(layers)}, {_sum(kind)}", *_streams(kind)]
    return lines


def _sum(kind: BlockKind) -> str:
    """The identity that a block obeys."""
    terms = [s if kind.sites[s].factor == 1.0 else f"{kind.sites[s].factor:g} · {s}" for s in kind.writes]
    if NORMED in kind.missing.values():
        return f"which add {', '.join(terms)} and normalise the stream"
    total = " + ".join(["resid_pre", *terms])
    return f"resid_post = {total}" if kind.gain == 1.0 else f"resid_post = {kind.gain:g} · ({total})"


def _streams(kind: BlockKind) -> Iterator[str]:
    for stream in (*STREAMS, *(w for w in kind.writes if w not in STREAMS)):
        if stream in kind.sites:
            site = kind.sites[stream]
            factor = "" if site.factor == 1.0 else f", times {site.factor:g}"
            yield f"  {stream:14}the {site.side} of {site.module}{factor}"
        else:
            yield f"  {stream:14}none: {kind.missing[stream]}"

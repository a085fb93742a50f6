"""Where each stream of a block is read and written.

In: what the probe found of an architecture (`models.probe`), and the sizes of one model of it. Out: `Architecture`,
whose `read` and `write` give a `Site`, plain data that both PyTorch hooks and nnsight can act on. Module paths start
at the causal LM itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from steerdsl.lang.diagnostics import Diagnostic, RecipeError

STREAMS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "attn_norm_out", "mlp_norm_out", "head")

# Why a block that normalises what it has added lacks what is between.
NORMED = "this one normalises after each addition, so there is nothing between the two"

# The order in which the modules of most blocks run, for what is printed; `Architecture.rank` has a block's own.
RANK = {
    "resid_pre": 0,
    "attn_norm_out": 1,
    "head": 2,
    "attn_out": 3,
    "resid_mid": 3,
    "mlp_norm_out": 4,
    "mlp_out": 5,
    "resid_post": 6,
}


@dataclass(frozen=True, slots=True)
class Site:
    """A module's input or output that holds a stream, [batch, sequence, width].

    module: dotted path from the causal LM. tupled: the tensor is the first of a tuple.
    flat: tokens are flattened to [batch * sequence, width] (OPT's MLP).
    onto: the stream's value is `onto` plus this site's; to give the stream a value, write that
    value minus `onto`. Assigning a norm's input would change the MLP's branch only.
    factor: what the model multiplies the module's value by before it adds it; the stream's value is the product.
    """

    module: str
    side: Literal["input", "output"]
    tupled: bool = False
    flat: bool = False
    onto: Site | None = None
    factor: float = 1.0

    @property
    def tap(self) -> tuple[str, str, float]:
        """What a pass needs to read the stream here: path, side and factor."""
        return self.module, self.side, self.factor


@dataclass(frozen=True, slots=True)
class BlockKind:
    """The sites of blocks that are made alike.

    sites: for each stream, where it is read, with `{l}` for the layer. missing: why a stream does not exist.
    writes: the streams that are added to the residual stream, in the order in which they run; a writer that has
    no name of its own is `added_N`. order: streams in the order in which their modules run. gain: what the block
    multiplies the whole stream by at its end. n_heads, d_head: the heads of its attention, 0 where it has none.
    """

    sites: Mapping[str, Site]
    missing: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[str, ...] = ("attn_out", "mlp_out")
    order: tuple[str, ...] = tuple(sorted(RANK, key=lambda s: RANK[s]))
    gain: float = 1.0
    n_heads: int = 0
    d_head: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model's sites together with its sizes.

    kinds: the kinds of its blocks, the most frequent first. which: for each block, its kind. embeddings: the modules
    whose sum is the first block's input (before any scaling). norm, unembedding: the last norm and the module that
    gives logits. error: the largest error of an identity, as a share of the stream's largest number.
    """

    family: str
    blocks: str
    embeddings: tuple[str, ...]
    kinds: tuple[BlockKind, ...]
    which: tuple[int, ...]
    norm: str | None = None
    unembedding: str | None = None
    d_model: int = 0
    n_heads: int = 0
    d_head: int = 0
    max_positions: int | None = None
    error: float = 0.0

    @property
    def n_layers(self) -> int:
        """The number of blocks."""
        return len(self.which)

    @property
    def sites(self) -> Mapping[str, Site]:
        """The sites of the most frequent kind of block."""
        return self.kinds[0].sites

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams that some block of this model has."""
        return tuple(s for s in STREAMS if any(s in kind.sites for kind in self.kinds))

    def kind(self, layer: int) -> BlockKind:
        """How block `layer` (from 0) is made."""
        return self.kinds[self.which[layer]]

    def width(self, stream: str, layer: int | None = None) -> int:
        """The size of one direction of `stream`: one head's, or the residual stream's."""
        if stream != "head":
            return self.d_model
        return self.d_head if layer is None else self.kind(layer).d_head

    def read(self, stream: str, layer: int) -> Site:
        """Where `stream` of block `layer` (from 0) is read. Raises RecipeError P710 when it has none."""
        kind = self.kind(layer)
        if stream not in kind.sites:
            raise RecipeError([self._no_stream(stream, layer)])
        site = kind.sites[stream]
        return replace(site, module=site.module.format(l=layer))

    def write(self, stream: str, layer: int) -> Site:
        """Where `stream` of block `layer` is written; differs from `read` for `resid_mid` alone."""
        if stream != "resid_mid":
            return self.read(stream, layer)
        self.read("resid_mid", layer)  # refuses a stream that this model lacks
        return replace(self.read("attn_out", layer), onto=self.read("resid_pre", layer))

    def rank(self, stream: str, layer: int) -> int:
        """The place of `stream` in the order in which the modules of block `layer` run."""
        order = self.kind(layer).order
        return order.index("attn_out" if stream == "resid_mid" else stream)

    def normed(self, layer: int) -> bool:
        """Whether a norm stands between the additions of block `layer`, so that its output is no plain sum."""
        return NORMED in self.kind(layer).missing.values()

    def everywhere(self) -> tuple[tuple[str, int], ...]:
        """Every write to the residual stream as (stream, layer), in the order of the forward pass:
        the embeddings (the first block's input), then what each block adds."""
        blocks = [(stream, layer) for layer in range(self.n_layers) for stream in self.kind(layer).writes]
        return (("resid_pre", 0), *blocks)

    def lacking(self, stream: str) -> tuple[int, ...]:
        """The layers whose block has no `stream`."""
        return tuple(layer for layer in range(self.n_layers) if stream not in self.kind(layer).sites)

    def head_slice(self, head: int, layer: int = 0) -> slice:
        """The columns of the `head` site of block `layer` that belong to head `head`. Raises RecipeError P711."""
        kind = self.kind(layer)
        if not 0 <= head < kind.n_heads:
            title = f"head {head} does not exist: the model has {kind.n_heads} heads a layer"
            raise RecipeError([Diagnostic("P711", title, help=f"heads are numbered 0 to {kind.n_heads - 1}")])
        return slice(head * kind.d_head, (head + 1) * kind.d_head)

    def _no_stream(self, stream: str, layer: int) -> Diagnostic:
        reason = self.kind(layer).missing.get(stream, "no block of it has one")
        lacking = self.lacking(stream)
        whose = f"{self.family} models have"
        if len(lacking) < self.n_layers:
            whose = f"layer {layer} of this {self.family} model has"
        title = f"{whose} no `{stream}`: {reason}"
        if len(lacking) < self.n_layers:
            has = [layer for layer in range(self.n_layers) if layer not in lacking]
            return Diagnostic("P710", title, help=f"`{stream}` is there at layers {spans(has)}")
        return Diagnostic("P710", title, help=f"this model has {', '.join(self.streams)}")


def spans(layers: Iterable[int]) -> str:
    """Ascending numbers as text, runs as `first..last`."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs)


def grouped(kinds: Iterable[BlockKind]) -> tuple[tuple[BlockKind, ...], tuple[int, ...]]:
    """Each kind of block once, the most frequent first, and which one each block is."""
    given = list(kinds)
    different: list[BlockKind] = []
    for kind in given:
        if kind not in different:
            different.append(kind)
    counts = Counter(different.index(kind) for kind in given)
    ranked = sorted(counts, key=lambda i: (-counts[i], i))
    return tuple(different[i] for i in ranked), tuple(ranked.index(different.index(kind)) for kind in given)

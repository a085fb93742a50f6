"""Where the streams of one model are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steerdsl.models.sites import Site


@dataclass(frozen=True)
class BlockKind:
    """Blocks that are made alike: the streams that the recipe names, by module path, with `{l}` for the layer, in
    the order in which they run, and those that are added to the residual stream."""

    sites: Mapping[str, Site]
    order: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    """The kinds of this model's blocks, and which kind each block is."""

    kinds: Sequence[BlockKind]
    which: Sequence[int]

    @property
    def n_layers(self) -> int:
        """The number of blocks."""
        return len(self.which)

    def read(self, stream: str, layer: int) -> Site:
        """Where a stream of a block is read."""
        site = self.kinds[self.which[layer]].sites[stream]
        return replace(site, module=site.module.format(l=layer))

    def write(self, stream: str, layer: int) -> Site:
        """Where a stream of a block is written: resid_mid belongs to no module, so through what attention adds."""
        if stream != "resid_mid":
            return self.read(stream, layer)
        return replace(self.read("attn_out", layer), onto=self.read("resid_pre", layer))

    def rank(self, stream: str, layer: int) -> int:
        """The place of a stream in the order in which a block's modules run."""
        return self.kinds[self.which[layer]].order.index("attn_out" if stream == "resid_mid" else stream)

    def everywhere(self) -> list[tuple[str, int]]:
        """Every write to the residual stream: the embeddings, then what each block adds."""
        blocks = [(stream, layer) for layer, kind in enumerate(self.which) for stream in self.kinds[kind].writes]
        return [("resid_pre", 0), *blocks]

"""Where the streams of one model are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from steerdsl.models.sites import Site


@dataclass(frozen=True)
class Architecture:
    """The streams of this model that the recipe names, by module path, with `{l}` for the layer."""

    n_layers: int
    sites: Mapping[str, Site]

    def read(self, stream: str, layer: int) -> Site:
        """Where a stream of a block is read."""
        site = self.sites[stream]
        return replace(site, module=site.module.format(l=layer))

    def write(self, stream: str, layer: int) -> Site:
        """Where a stream of a block is written: resid_mid belongs to no module, so through what attention adds."""
        if stream != "resid_mid":
            return self.read(stream, layer)
        return replace(self.read("attn_out", layer), onto=self.read("resid_pre", layer))

    def everywhere(self) -> list[tuple[str, int]]:
        """Every write to the residual stream: the embeddings, then what each attention and each MLP adds."""
        blocks = [(stream, layer) for layer in range(self.n_layers) for stream in ("attn_out", "mlp_out")]
        return [("resid_pre", 0), *blocks]

"""Where this model's streams are, as source: module paths of this family, for the streams of a recipe.

In: an `Architecture` and streams. Out: the constant `ARCH`.
"""

from __future__ import annotations

from collections.abc import Collection

from steerdsl.eject import literals
from steerdsl.models.sites import RANK, Architecture


def arch(model: Architecture, streams: Collection[str]) -> str:
    """The table of some streams, and of those through which they are written."""
    needed = set(streams) | ({"attn_out", "resid_pre"} if "resid_mid" in streams else set())
    lines = ["ARCH = Architecture(", "    n_layers=N_LAYERS,", "    sites={"]
    for stream in sorted(needed, key=lambda name: (RANK[name], name)):
        site = model.sites[stream]
        lines.append(
            f"        {literals.text(stream)}: Site({literals.text(site.module)}, {literals.text(site.side)}),"
        )
    return "\n".join([*lines, "    },", ")"])

"""Where this model's streams are, as source: module paths of its blocks, for the streams of a recipe.

In: an `Architecture` and streams. Out: the constant `ARCH`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from steerdsl.eject import literals
from steerdsl.models.sites import RANK, Architecture, BlockKind, Site


def arch(model: Architecture, streams: Collection[str]) -> str:
    """The table of some streams, and of those through which they are written."""
    needed = set(streams) | ({"attn_out", "resid_pre"} if "resid_mid" in streams else set())
    which = "(0,) * N_LAYERS" if len(model.kinds) == 1 else repr(model.which)
    lines = ["ARCH = Architecture(", "    kinds=("]
    for kind in model.kinds:
        lines += [f"        {line}" for line in _kind(kind, needed)]
    return "\n".join([*lines, "    ),", f"    which={which},", ")"])


def _kind(kind: BlockKind, needed: set[str]) -> Iterator[str]:
    if {"attn_out", "mlp_out"} <= needed:  # an operation acts everywhere, or may
        needed = needed | set(kind.writes)
    yield "BlockKind("
    yield "    sites={"
    for stream in sorted(needed & kind.sites.keys(), key=lambda name: (RANK.get(name, len(RANK)), name)):
        yield f"        {literals.text(stream)}: {_site(kind.sites[stream])},"
    yield "    },"
    yield f"    order={literals.literal(tuple(s for s in kind.order if s in needed))},"
    yield f"    writes={literals.literal(kind.writes)},"
    yield "),"


def _site(site: Site) -> str:
    factor = "" if site.factor == 1.0 else f", factor={site.factor!r}"
    return f"Site({literals.text(site.module)}, {literals.text(site.side)}{factor})"

"""Where this model's streams are, as source: how they are read, and how they are written.

In: an `Architecture` and the streams that a recipe reads and steers. Out: the functions `blocks`,
one for each stream that is read, and `apply`, with the module paths of this family written out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator

from steerdsl.models.sites import RANK, Architecture, Site
from steerdsl.registry import find

APPLY = '''\
def apply(model: Any, edits: Edits, step: int, real: Tensor) -> None:
    """Make the edits of one forward pass.

    nnsight hands each value over when its module has run, so modules are visited in the
    order in which they run; asking for an earlier one after a later one is an error.
    """
    for layer, block in enumerate(blocks(model)):
'''


def blocks(arch: Architecture) -> str:
    """The function that gives the model's blocks."""
    return f'''\
def blocks(model: Any) -> Any:
    """The transformer blocks, in the order in which they run."""
    return model.{arch.blocks}'''


def reader(arch: Architecture, stream: str) -> str:
    """The function that reads one stream of a block, and has the stream's name."""
    summary = find("stream", stream).summary
    site = arch.sites[stream]
    value = f"{_path(arch, site)}.{site.side}" + ("[0]" if site.tupled else "")
    doc = "\n".join(_doc(f"{summary[0].upper()}{summary[1:]}."))
    return f"def {stream}(block: Any) -> Any:\n{doc}\n    return {value}"


def apply(arch: Architecture, streams: Collection[str]) -> str:
    """The function that edits these streams in every block where a steer has edits for them."""
    parts: list[str] = []
    for stream in sorted(set(streams) | ({"attn_out"} if "resid_mid" in streams else set()), key=RANK.__getitem__):
        if stream == "resid_pre":
            continue
        if stream == "attn_out" and "resid_mid" in streams:
            parts += _middle(arch, "attn_out" in streams)
        elif stream != "resid_mid":
            parts += _edited(arch, stream)
    body = [*_entering(streams), *parts]
    return APPLY + textwrap.indent("\n".join(body), " " * 8)


def _entering(streams: Collection[str]) -> Iterator[str]:
    """What happens as a block is entered."""
    if "resid_pre" in streams:
        yield 'if ("resid_pre", layer) in edits:'
        yield '    h = change(block.input, edits["resid_pre", layer], step, real)'
        yield "    block.input = h"
    if "resid_mid" in streams:
        yield 'if ("resid_mid", layer) in edits:'
        yield "    before = block.input"


def _edited(arch: Architecture, stream: str) -> Iterator[str]:
    """Edit one stream where it is."""
    site = arch.sites[stream]
    place = f"{_path(arch, site)}.{site.side}"
    yield f'if ("{stream}", layer) in edits:'
    if site.tupled:
        yield f"    h, *rest = {place}"
        yield f'    h = change(h, edits["{stream}", layer], step, real)'
        yield f"    {place} = (h, *rest)"
    elif site.flat:
        yield "    # Here prompts and tokens share one axis: [B * S, d]."
        yield f"    flat = {place}"
        yield "    h = flat.unflatten(0, (len(real), -1))"
        yield f'    h = change(h, edits["{stream}", layer], step, real)'
        yield f"    {place} = h.reshape(flat.shape)"
    else:
        yield f"    h = {place}"
        yield f'    h = change(h, edits["{stream}", layer], step, real)'
        yield f"    {place} = h"


def _middle(arch: Architecture, both: bool) -> Iterator[str]:
    """Edit the stream between attention and MLP, through what attention adds to it."""
    site = arch.sites["attn_out"]
    place = f"{_path(arch, site)}.{site.side}"
    if both:
        yield 'if ("attn_out", layer) in edits or ("resid_mid", layer) in edits:'
    else:
        yield 'if ("resid_mid", layer) in edits:'
    yield f"    h, *rest = {place}" if site.tupled else f"    h = {place}"
    if both:
        yield '    h = change(h, edits.get(("attn_out", layer), []), step, real)'
        yield '    if ("resid_mid", layer) in edits:'
    pad = "        " if both else "    "
    for line in (
        "# The stream between attention and MLP belongs to no module. It is changed",
        "# through what attention adds; adding the difference of both sums keeps what",
        "# no edit touched as it is, bit for bit.",
        "total = before + h",
        'new = change(total, edits["resid_mid", layer], step, real)',
        "h = (h.float() + (new.float() - total.float())).to(h.dtype)",
    ):
        yield pad + line
    yield f"    {place} = (h, *rest)" if site.tupled else f"    {place} = h"


def _path(arch: Architecture, site: Site) -> str:
    """A site's module, seen from its block."""
    inside = site.module.removeprefix(f"{arch.blocks}.{{l}}")
    return f"block{inside}"


def _doc(words: str) -> list[str]:
    """A docstring of a function at the top of a file."""
    lines = textwrap.wrap(f'"""{words}', 84)
    if len(lines) == 1 and len(lines[0]) <= 81:
        return [f'    {lines[0]}"""']
    return [*(f"    {line}" for line in lines), '    """']

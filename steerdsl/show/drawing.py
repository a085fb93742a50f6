"""From a plot's view to a file.

In: the name of an entry of kind "plot", its view and options. Out: a PNG or SVG, whole or not at all,
with the same bytes for the same figures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from steerdsl.lang.recipe import Plot
from steerdsl.registry import find
from steerdsl.show.style import styled

# What would tell one writing of a picture from the next: versions and dates.
METADATA: Mapping[str, Mapping[str, None]] = MappingProxyType(
    {"png": {"Software": None}, "svg": {"Creator": None, "Date": None}}
)


def draw(entry_name: str, view: Any, options: Mapping[str, Any], path: Path) -> None:
    """Write the picture to `path`, whose ending, `.png` or `.svg`, says how.

    Written under a temporary name and renamed; missing folders are made. Raises MethodError, and
    writes nothing, when the view lacks what the plot draws.
    """
    content = picture(entry_name, view, options, path.suffix.lower().removeprefix("."))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def picture(entry_name: str, view: Any, options: Mapping[str, Any], kind: str) -> bytes:
    """The picture as the bytes of a file; `kind` is "png" or "svg". Raises as `draw`."""
    with styled():
        figure = find("plot", entry_name).run(view, **options)
        buffer = BytesIO()
        figure.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()


def default_name(plot: Plot, taken: Collection[str] = ()) -> str:
    """A file name for a plot without `to`, of all that was asked for: `pca-topic-layer-12.png`; with a
    number when it is `taken`, as it is for each further point of a sweep."""
    over = ("over", *plot.over) if plot.over else ()
    parts = ("" if plot.what == "scores" else plot.what, plot.target, *over, "polar" if plot.polar else "")
    defaults = {arg.name: arg.default for arg in find("plot", plot.what).args}
    chosen = [f"{name} {value}" for name, value in plot.options.items() if value != defaults.get(name)]
    stem = re.sub(r"\W+", "-", " ".join((*parts, *chosen))).strip("-")
    name, count = f"{stem}.png", 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}.png"
    return name

"""From a plot's view to files.

In: the name of an entry of kind "plot", its view and options. Out: PNG and SVG, whole or not at all,
with the same bytes for the same figures.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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


def draw(entry_name: str, view: Any, options: Mapping[str, Any], *paths: Path) -> None:
    """Write the picture to each of `paths`, whose endings, `.png` or `.svg`, say how.

    Written under a temporary name and renamed; missing folders are made. Raises MethodError, and
    writes nothing, when the view lacks what the plot draws.
    """
    kinds = [path.suffix.lower().removeprefix(".") for path in paths]
    for path, content in zip(paths, pictures(entry_name, view, options, kinds), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def pictures(entry_name: str, view: Any, options: Mapping[str, Any], kinds: Sequence[str]) -> list[bytes]:
    """The picture as the bytes of files of these kinds, "png" or "svg". Raises as `draw`."""
    found = []
    with styled():
        figure = find("plot", entry_name).run(view, **options)
        for kind in kinds:
            buffer = BytesIO()
            figure.savefig(buffer, format=kind, metadata=METADATA[kind])
            found.append(buffer.getvalue())
    return found


def default_name(plot: Plot, taken: Collection[str] = ()) -> str:
    """The name, without an ending, of the files of a plot without `to`, from all that was asked for:
    `pca-topic-layer-12`; with a number when it is `taken`, as it is for each further point of a sweep."""
    over, args = ("over", *plot.over) if plot.over else (), find("plot", plot.what).args
    parts = (
        "" if args[0].type == "score" else plot.what,
        plot.target,
        *plot.others,
        *over,
        "polar" if plot.polar else "",
    )
    defaults = {arg.name: arg.default for arg in args}
    chosen = [f"{name} {value}" for name, value in plot.options.items() if value != defaults.get(name)]
    stem = re.sub(r"\W+", "-", " ".join((*parts, *chosen))).strip("-")
    name, count = stem, 1
    while name in taken:
        count += 1
        name = f"{stem}-{count}"
    return name

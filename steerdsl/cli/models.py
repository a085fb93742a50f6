"""`steerdsl models`: the models in the caches of this machine, and fetching one.

In: nothing, or `fetch` and an id. Out: a table, or JSON; progress goes to standard error.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.show.door import json_text


def models(
    what: Annotated[str | None, typer.Argument(metavar="fetch", help="download a model", show_default=False)] = None,
    model: Annotated[
        str | None, typer.Argument(metavar="ID", help="a hub id (default: the default model)", show_default=False)
    ] = None,
    sites: Annotated[
        str | None,
        typer.Option("--sites", metavar="MODEL", help="show where a model's streams are", show_default=False),
    ] = None,
    offline: o.Offline = False,
    as_json: o.Json = False,
) -> None:
    """List the models that run without a network, download one, or show where the streams of one are.

    \b
    Example:
      steerdsl models
      steerdsl models fetch HuggingFaceTB/SmolLM2-135M-Instruct
      steerdsl models --sites HuggingFaceTB/SmolLM2-135M-Instruct
    """
    from steerdsl.cli.progress import Progress
    from steerdsl.models.catalog import cached, locate

    if what not in (None, "fetch"):
        raise typer.BadParameter(f"`{what}` is not a models command; write `models` or `models fetch ID`")
    if sites is not None:
        if what is not None:
            raise typer.BadParameter("`--sites MODEL` stands alone")
        _sites(sites, offline, as_json)
        return
    if what == "fetch":
        with Progress(shown=True) as progress:
            found = [locate(model, offline=offline, progress=progress)]
    else:
        found = cached()
    _print([_row(located) for located in found], as_json)


def _sites(model: str, offline: bool, as_json: bool) -> None:
    """What was found of a model's blocks, from its config alone."""
    from steerdsl.models.facts import read_facts
    from steerdsl.models.kept_sites import to_plain
    from steerdsl.show.site_table import site_lines

    arch = read_facts(model, offline=offline).arch
    print(json_text(to_plain(arch), indent=1) if as_json else "\n".join(site_lines(arch)))


def _row(located: Any) -> dict[str, Any]:
    """What is shown of one model; a damaged one is listed without the contents of its files."""
    from steerdsl.models.config import model_type
    from steerdsl.models.weights import Contents, contents

    try:
        held = contents(located.path)
    except ValueError:
        held = Contents(0, 0, ("damaged",))
    return {
        "id": located.id,
        "source": located.source,
        "revision": located.revision,
        "family": model_type(located.path),
        "parameters": held.parameters,
        "bytes": held.bytes,
        "dtype": ", ".join(held.dtypes),
        "path": str(located.path),
        "weights_sha256": located.weights_sha256,
    }


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json_text(rows, indent=2))
        return
    if not rows:
        print("no model is cached yet; `steerdsl models fetch` gets the default one")
        return
    from steerdsl.models.cache import size_text
    from steerdsl.show.sheet import Sheet
    from steerdsl.show.terminal import Terminal

    head = ("model", "family", "parameters", "size", "dtype", "source")
    lines = []
    for row in rows:
        millions = f"{row['parameters'] / 1e6:,.1f} M"
        size = size_text(row["bytes"])
        lines.append((row["id"], str(row["family"]), millions, size, row["dtype"], row["source"]))
    Terminal().print(Sheet(head, lines, left=(0, 1, 4, 5)))

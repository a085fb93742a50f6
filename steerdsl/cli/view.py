"""`steerdsl view`: runs, looked at in a browser."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steerdsl.cli import options as o

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions
    from steerdsl.running.progress import StepProgress
    from steerdsl.serving.steers import Steers

Places = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUNS]...", help="runs, folders of runs, packs and recipes", show_default="runs"),
]


@o.run_options("sets", "model", "device", "dtype", "offline", "allow")
def view(
    places: Places = None,
    *,
    chosen: RunOptions,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port to listen on; 0 takes a free one", min=0, max=65535)] = 8080,
    api_key: Annotated[
        str | None,
        typer.Option(help="the key that browsers must give", show_default="STEERDSL_API_KEY", metavar="KEY"),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="the most tokens of an answer of the dial", min=1)] = 256,
) -> None:
    """Look at runs in a browser: scores, pictures, answers side by side, and a dial that steers a prompt by hand.

    Without an argument it shows the runs in `runs`. In the picture of a sweep a click on a point shows its answers.
    The dial opens the model when it is first asked for. Ctrl-C ends the server.

    \b
    Example:
      steerdsl view
      steerdsl view runs/rotation recipes/econ.steer --port 9000
    """
    from steerdsl.serving.listen import http_server, listen, require_serving
    from steerdsl.serving.served import RequestLimits
    from steerdsl.viewing.desk import Desk
    from steerdsl.viewing.shelf import Shelf

    key = api_key or os.environ.get("STEERDSL_API_KEY") or None
    require_serving(host, key)
    from steerdsl.viewing.app import Viewer

    shelf = Shelf(places or ())

    def open_steers(source: Path, progress: StepProgress) -> Steers:
        from steerdsl.cli.opening import opened
        from steerdsl.share.pack_inputs import unpacked

        file, options = unpacked(str(source), chosen)
        assert file is not None
        return opened(file, options, progress)

    with listen(host, port) as place:
        desk = Desk(open_steers, RequestLimits(tokens=max_tokens))
        sys.stdout.write(f"{place.url}/\n")
        sys.stdout.flush()
        try:
            http_server(Viewer(shelf, desk, key, host).app(), desk.limits.waiting).run(sockets=[place.socket])
        finally:
            desk.close()

"""`steerdsl serve`: a model and its steers behind OpenAI's HTTP interface."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from steerdsl.cli import options as o

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions

Source = Annotated[
    str | None, typer.Argument(metavar="[RECIPE|RUN|PACK]", help="whose steers are served", show_default=False)
]


@o.run_options("sets", "model", "device", "dtype", "offline", "allow")
def serve(
    file: Source = None,
    *,
    chosen: RunOptions,
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="the port to listen on; 0 takes a free one", min=0, max=65535)] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(help="the key that clients must give", show_default="STEERDSL_API_KEY", metavar="KEY"),
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="the most tokens of an answer", min=1)] = 1024,
    max_rows: Annotated[int, typer.Option(help="the most answers that share a batch", min=1, max=1024)] = 32,
    max_waiting: Annotated[int, typer.Option(help="the most answers that may wait", min=1)] = 256,
    timeout: Annotated[float, typer.Option(help="seconds after which a request is given up", min=1)] = 600.0,
) -> None:
    """Serve a model with its steers: as BASE without a steer, as BASE:STEER with one.

    Programs that know OpenAI's interface use it at http://127.0.0.1:8000/v1. Requests that wait together are answered
    as rows of one batch, each with its own steer. Ctrl-C ends the server.

    \b
    Example:
      steerdsl serve recipes/econ.steer
      steerdsl serve runs/econ --port 9000 --dtype float32
    """
    from steerdsl.cli.opening import opened
    from steerdsl.cli.progress import Progress
    from steerdsl.serving.listen import listen, require_serving
    from steerdsl.serving.served import RequestLimits, Served

    key = api_key or os.environ.get("STEERDSL_API_KEY") or None
    require_serving(host, key)
    with listen(host, port) as place:
        with Progress(shown=True) as progress:
            steers = opened(file, chosen, progress)
            session = steers.session()
        limits = RequestLimits(tokens=max_tokens, rows=max_rows, waiting=max_waiting, seconds=timeout)
        served = Served(steers, limits)
        sys.stdout.write(f"{place.url}/v1\n" + "".join(f"  {name}\n" for name in served.models()))
        sys.stdout.flush()
        place.run(served, session, key)

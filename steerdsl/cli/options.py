"""Options that several commands share, each written once.

The aliases are for a parameter of a command; the options of a run come to it as one value, by `run_options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.arguments import LARGEST_SEED, MOST_ROWS
from steerdsl.models.places import require_device, require_dtype
from steerdsl.share.pack_inputs import unpacked

if TYPE_CHECKING:
    from steerdsl.planning.plan import RunOptions

Command = Callable[..., None]

File = Annotated[str | None, typer.Argument(help="a recipe, a pack, or - for standard input", show_default=False)]
Text = Annotated[str | None, typer.Option("-e", help="the recipe itself, instead of a file", metavar="TEXT")]
Sets = Annotated[list[str], typer.Option("--set", help="give a param another value", metavar="NAME=VALUE")]
Offline = Annotated[bool, typer.Option("--offline", help="do not use the network")]
Allow = Annotated[list[Path], typer.Option("--allow", help="another folder that the recipe may read")]
RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory, or a pack", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]

COMMON = ("sets", "model", "device", "dtype", "batch_size", "seed", "offline", "allow")


def run_options(*names: str) -> Callable[[Command], Command]:
    """Give a command the parameters `names` of `_chosen` for its parameter `chosen`, which gets their value.

    The help lists them where `chosen` is, in the order of `names`. A pack that is given as the
    command's `file` is opened: the command gets its recipe, and the options that its run was made with.
    """
    shared = [_signature(_chosen).parameters[name] for name in names]

    def decorated(command: Command) -> Command:
        own = _signature(command).parameters.values()
        parameters = [p for mine in own for p in (shared if mine.name == "chosen" else [mine])]

        @wraps(command)
        def called(**given: Any) -> None:
            _check_server(given)
            require_device(str(given.get("device", "auto")))
            require_dtype(given.get("dtype"))
            chosen = _chosen(**{name: given.pop(name) for name in names})
            if "file" in given:
                given["file"], chosen = unpacked(given["file"], chosen)
            command(chosen=chosen, **given)

        # What typer reads a command's parameters from.
        called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorated


def _signature(function: Callable[..., Any]) -> Signature:
    """Its annotations are evaluated, except RunOptions, which only type checkers import: help is quick."""
    return signature(function, eval_str=True, locals={"RunOptions": Any})


def _rows(text: str) -> int | None:
    """What `--batch-size` says; None for `auto`."""
    if text == "auto":
        return None
    try:
        rows = int(text)
    except ValueError:
        rows = 0
    if not 1 <= rows <= MOST_ROWS:
        raise typer.BadParameter(f"{text!r} is neither auto nor a whole number from 1 to {MOST_ROWS}")
    return rows


def _chosen(
    *,
    sets: Sets = [],  # noqa: B006  (typer's way to say a repeatable option)
    model: Annotated[str | None, typer.Option(help="run on this model: a hub id or a folder", metavar="ID")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps")] = "auto",
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bf16 or fp16", show_default="auto")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="maximum rows per batch; auto fits each batch", parser=_rows, metavar="N", show_default="auto"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="seed for every generation", min=0, max=LARGEST_SEED, show_default="the recipe's")
    ] = None,
    on: Annotated[str, typer.Option(help="where the model runs: local, simulate or ndif")] = "local",
    host: Annotated[
        str | None, typer.Option(help="the NDIF server", show_default="NDIF_HOST, else nnsight's", metavar="URL")
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="allow an unencrypted NDIF server")] = False,
    offline: Offline = False,
    allow: Allow = [],  # noqa: B006
    judge_url: Annotated[
        str | None, typer.Option(help="an OpenAI-compatible endpoint; its key is in STEERDSL_JUDGE_KEY", metavar="URL")
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="the model to request from the judge's endpoint", metavar="ID")
    ] = None,
    keep_unsafe: Annotated[
        bool, typer.Option("--keep-unsafe", help="print and keep answers to data sets declared unsafe")
    ] = False,
) -> RunOptions:
    """The options of a run, one for each field."""
    from steerdsl.planning.plan import RunOptions

    return RunOptions(
        model=model,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        seed=seed,
        on=on,
        offline=offline,
        allow=tuple(allow),
        keep_unsafe=keep_unsafe,
        sets=tuple(sets),
        host=host,
        insecure=insecure,
        judge_url=judge_url,
        judge_model=judge_model,
    )


def _check_server(given: Mapping[str, Any]) -> None:
    """Refuse the options of a server where none is asked; `verify`, whose place is the record's, does so itself."""
    for name in ("host", "insecure"):
        if given.get(name) and given.get("on", "ndif") != "ndif":
            raise typer.BadParameter(f"--{name} needs --on ndif")

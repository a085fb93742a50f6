"""`steerdsl show`: a finished run, printed from its directory alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from steerdsl.cli import options as o

if TYPE_CHECKING:
    from rich.console import RenderableType

    from steerdsl.store.finished import Finished

SHOWN = 1000  # steps and choices that are printed; --json has them all
TOOLS = ("steerdsl", "nnsight", "torch", "transformers")


def show(
    run: o.RunDirectory,
    as_json: o.Json = False,
) -> None:
    """Print a run: the recipe, the model, choices, answers, scores, claims and timings.

    Everything is read from the run directory; nothing is computed. --json prints the record with the
    scores and the answers in it.

    \b
    Example:
      steerdsl show runs/econ-20260301-101500
      steerdsl show runs/econ-20260301-101500 --json
    """
    from steerdsl.cli.packed import run_folder
    from steerdsl.store.finished import open_run

    found = open_run(run_folder(run))
    if as_json:
        whole = {**found.record, "scores": found.scores, "generations": list(found.answers)}
        print(json.dumps(whole, indent=1, ensure_ascii=False))
        return
    from rich.text import Text

    from steerdsl.show.tables import results
    from steerdsl.show.terminal import Terminal

    console = Terminal()
    # As it was written: a line that is broken anew is no recipe.
    console.print(Text(found.record["recipe"]["text"].strip() + "\n", style="dim"), soft_wrap=True)
    for part in _before(found):
        console.print(part)
    console.print(results(found.scores, found.answers, found.record["checks"]))
    console.print(_timings(found.record))


def _before(found: Finished) -> Iterator[RenderableType]:
    """How the run ended, what it ran on, and the layers that were chosen."""
    from rich.text import Text

    record = found.record
    yield _facts(record)
    yield from (
        Text(f"warning: {warning}", style="yellow") for warning in islice(dict.fromkeys(record["warnings"]), SHOWN)
    )
    if record["choices"]:
        yield _choices(record["choices"])


def _batches(rows: Any) -> str:
    return "batches by memory" if rows == "auto" else f"{rows} rows a batch"


def _facts(record: Mapping[str, Any]) -> RenderableType:
    """A line for each thing that a reader asks first."""
    from rich.table import Table
    from rich.text import Text

    model, run = record["model"], record["run"]
    state = record["state"] if record["state"] == "complete" else f"{record['state']}, reached {record['reached']}"
    revision = f" at {model['revision']}" if model["revision"] else ""
    facts = {
        "state": state + (f": {record['error']}" if record.get("error") else ""),
        "recipe": f"{record['recipe']['name']} (sha256 {record['recipe']['sha256'][:12]})",
        "params": ", ".join(f"{name} = {value}" for name, value in record["plan"]["params"].items()),
        "model": f"{model['id']}{revision}, {run['dtype']} on {run['device']}, {_batches(run['batch_size'])}",
        "data": ", ".join(f"{name} ({data['rows']} rows)" for name, data in record["data"].items()),
        "run": f"{record['started']}, {record['seconds']:.1f} s",
        "with": ", ".join(f"{name} {record['packages'].get(name, '–')}" for name in TOOLS),
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, text in facts.items():
        if text:
            table.add_row(Text(name, style="bold"), Text(text))
    return table


def _choices(choices: Mapping[str, Any]) -> RenderableType:
    """The layers that each selection kept, best first."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("choice", "of", "by", "layers", title="choices", title_justify="left", box=SIMPLE_HEAD)
    for name, choice in islice(choices.items(), SHOWN):
        table.add_row(name, choice["vector"], choice["criterion"], ", ".join(map(str, choice["chosen"])))
    return table


def _timings(record: Mapping[str, Any]) -> RenderableType:
    """What each step took."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("step", "", "", title="timings", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("seconds", justify="right")
    timings = record["timings"]
    for timing in timings[:SHOWN]:
        table.add_row(str(timing["step"]), timing["verb"], timing["name"], f"{timing['seconds']:.1f}")
    if len(timings) > SHOWN:
        table.add_row("", f"and {len(timings) - SHOWN} more", "", "")
    return table

"""`steerdsl show`: a finished run, printed from its directory alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from steerdsl.cli import options as o
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from steerdsl.store.finished_run import Finished

SHOWN = 1000  # steps and choices that are printed; --json has them all
TOOLS = ("steerdsl", "nnsight", "torch", "transformers")


def show(
    run: o.RunDirectory,
    as_json: o.Json = False,
) -> None:
    """Print a run: the recipe, the model, choices, answers, scores, claims and timings.

    Reads everything from the run directory and computes nothing. --json prints the record with the
    scores and the answers.

    \b
    Example:
      steerdsl show runs/econ-20260301-101500
      steerdsl show runs/econ-20260301-101500 --json
    """
    from steerdsl.share.pack_inputs import run_folder
    from steerdsl.store.finished_run import open_run

    found = open_run(run_folder(run))
    if as_json:
        whole = {**found.record, "scores": found.scores.to_json(), "generations": list(found.answers)}
        print(json_text(whole, indent=1))
        return
    from rich.text import Text

    from steerdsl.show import doses
    from steerdsl.show.curves import curves
    from steerdsl.show.searches import tables
    from steerdsl.show.summary import summary
    from steerdsl.show.tables import results
    from steerdsl.show.terminal import Terminal

    console = Terminal()
    # As it was written: a line that is broken again is not a recipe.
    console.print(Text(found.record["recipe"]["text"].strip() + "\n", style="dim"), soft_wrap=True)
    for part in _before(found):
        console.print(part)
    console.print(summary(run, found.record, found.scores, found.answers))
    tried = found.record.get("searches", {})
    scores = found.scores.without(name for search in tried.values() for name in search["evaluations"])
    added = doses.table(found.record.get("doses", []))
    for table in (*([added] if added else []), *tables(tried), *curves(scores, found.record["choices"])):
        console.print(table)
    console.print(results(scores, found.answers, found.record["checks"]))
    console.print(_timings(found.record))


def _before(found: Finished) -> Iterator[RenderableType]:
    """How the run ended, what it ran on, and its warnings."""
    from rich.text import Text

    record = found.record
    yield _facts(record)
    yield from (
        Text(f"warning: {warning}", style="yellow") for warning in islice(dict.fromkeys(record["warnings"]), SHOWN)
    )


def _batches(rows: Any) -> str:
    return "batches by memory" if rows == "auto" else f"{rows} rows a batch"


def _facts(record: Mapping[str, Any]) -> RenderableType:
    """A line for each thing that a reader asks first."""
    from steerdsl.show.sheet import Sheet

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
    rows = [(name, text) for name, text in facts.items() if text]
    return Sheet(("", ""), rows, prose=(1,), bold=(0,))


def _timings(record: Mapping[str, Any]) -> RenderableType:
    """What each step took."""
    from steerdsl.show.sheet import Sheet

    timings = record["timings"]
    rows = [(str(t["step"]), t["verb"], t["name"], f"{t['seconds']:.1f}") for t in timings[:SHOWN]]
    if len(timings) > SHOWN:
        rows.append(("", f"and {len(timings) - SHOWN} more", "", ""))
    return Sheet(("step", "", "", "seconds"), rows, "timings", left=(0, 1, 2))

"""`steerdsl verify`: run a record again from its own plan, and say what is equal."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.lang.diagnostics import Exit
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.pipeline import Prepared
    from steerdsl.planning.plan import RunOptions
    from steerdsl.share.receipt import Item

SHOWN = 20  # fields of a section that are printed


@dataclass(slots=True)
class Verdict:
    """What was compared. `now` is the record of the run made now; None where none was made."""

    before: Mapping[str, Any]
    items: list[Item]
    now: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False

    def of(self, status: str) -> list[Item]:
        return [item for item in self.items if item.status == status]


@o.run_options("model", "device", "host", "insecure", "judge_url", "offline", "allow")
def verify(
    run: o.RunDirectory,
    recipe: Annotated[Path | None, typer.Option(help="path to the recipe, if it has moved", metavar="FILE")] = None,
    *,
    chosen: RunOptions,
    allow_versions: Annotated[bool, typer.Option("--allow-versions", help="tolerate other package versions")] = False,
    keep: Annotated[Path | None, typer.Option(help="keep the new run in this folder", metavar="DIR")] = None,
    as_json: o.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print no progress")] = False,
) -> None:
    """Repeat a recorded run without the store, and compare everything in its record.

    Exit code 0 means that everything is equal, or equal within tolerance; 4 that something differs, which
    is named. A changed file of the run is reported first. If the data, the model or a setting differs,
    nothing is run.

    \b
    Example:
      steerdsl verify runs/econ
      steerdsl verify econ.steerpack --allow-versions
    """
    from steerdsl.share.pack_inputs import in_pack, open_pack, require_model

    folder = run
    if in_pack(run):
        # A stranger's record may name any folder: the recipe is the one in the pack.
        recipe, record = open_pack(run)
        require_model(run.name, record, chosen.model)
        folder = recipe.parents[1] / "run"
    with tempfile.TemporaryDirectory(prefix="steerdsl-") as place:
        verdict = _verdict(folder, recipe, chosen, allow_versions, Path(place), keep, quiet)
    if as_json:
        sys.stdout.write(json_text(_json(verdict), indent=1) + "\n")
    else:
        _print(verdict)
    raise typer.Exit(Exit.DIFFERS if verdict.of("different") else Exit.OK)


def _verdict(
    folder: Path,
    recipe: Path | None,
    options: RunOptions,
    allow_versions: bool,
    place: Path,
    keep: Path | None,
    quiet: bool,
) -> Verdict:
    from steerdsl.cli.progress import Progress
    from steerdsl.models.device import threads
    from steerdsl.share.held import pins_of
    from steerdsl.share.pins import differences, pins
    from steerdsl.share.receipt import compare_files, compare_pins, compare_results, compare_rows, read_record

    record = read_record(folder)
    on = record["run"]["on"]
    if on != "ndif" and (options.host or options.insecure):
        raise typer.BadParameter(f"--host and --insecure are only for a run on ndif, and this one was made on {on}")
    verdict = Verdict(record, list(compare_files(folder, record)))
    for item in verdict.of("different"):
        sys.stderr.write(f"{folder / item.name} is not the file that was recorded\n")
    with Progress(shown=not quiet) as progress:
        prepared = _prepared(folder, record, recipe, options, place / "store", progress)
        before, now = pins(record), pins_of(prepared.plan)
        found = differences(before, now)
        verdict.items += compare_rows(record, prepared.plan.data)
        verdict.items += compare_pins(before, now, found, allow_versions)
        if any(d.severity == "meaning" for d in found):
            return verdict
        with threads(_threads(record)):
            made = _again(prepared, keep or place / "run", progress)
    verdict.now, verdict.again = json.loads((made / "record.json").read_text("utf-8")), True
    verdict.items += compare_results(folder, made, record["run"]["dtype"])
    return verdict


def _threads(record: Mapping[str, Any]) -> int | None:
    """With how many threads a run was made; None where its record does not say."""
    found = record["machine"].get("threads")
    return found if type(found) is int else None


def _prepared(
    folder: Path, record: Mapping[str, Any], recipe: Path | None, options: RunOptions, store: Path, progress: Any
) -> Prepared:
    """The plan of a record's own text and options, in the recipe's folder, with an empty store."""
    from steerdsl.cli.recipe import check_recipe, prepare
    from steerdsl.lang.source import Source
    from steerdsl.share.recorded import as_recorded, recipe_folder, with_model
    from steerdsl.store.results import Store

    root = recipe.parent if recipe is not None else recipe_folder(folder, record)
    options = with_model(folder, record, options)
    chosen = replace(as_recorded(record, options), on=record["run"]["on"])
    source = Source(record["recipe"]["name"], record["recipe"]["text"])
    checked = check_recipe(source, root, chosen.sets, chosen.allow)
    return replace(prepare(checked, chosen, fetch=True, progress=progress), store=Store(store))


def _again(prepared: Prepared, path: Path, progress: Any) -> Path:
    """Run the plan; the directory of the run."""
    from steerdsl.cli.printing import print_diagnostics
    from steerdsl.cli.run import execute

    outcome = execute(prepared, path.name, progress, out=path)
    if outcome.state == "interrupted":
        raise typer.Exit(Exit.INTERRUPTED)
    if outcome.error is not None:
        print_diagnostics(outcome.error.diagnostics, sys.stderr)
    return outcome.directory.path


def _json(verdict: Verdict) -> dict[str, Any]:
    sides = {"before": verdict.before, "now": verdict.now}
    return {
        "equal": len(verdict.of("equal")),
        "tolerated": [asdict(item) for item in verdict.of("tolerated")],
        "different": [asdict(item) for item in verdict.of("different")],
        "run_again": verdict.again,
        **{side: {key: found.get(key) for key in ("packages", "machine", "run")} for side, found in sides.items()},
    }


def _print(verdict: Verdict) -> None:
    from steerdsl.show.sheet import Sheet
    from steerdsl.show.terminal import Terminal

    console = Terminal()
    statuses = ("equal", "tolerated", "different")
    counts = []
    for section in dict.fromkeys(item.section for item in verdict.items):
        found: list[str] = [item.status for item in verdict.items if item.section == section]
        counts.append((section, *(str(found.count(status)) for status in statuses)))
    console.print(Sheet(("", *statuses), counts))
    for status in statuses[1:]:
        for section in dict.fromkeys(item.section for item in verdict.of(status)):
            items = [item for item in verdict.of(status) if item.section == section]
            rows = [tuple(map(_cell, (item.name, item.before, item.now))) for item in items[:SHOWN]]
            console.print(Sheet(("field", "recorded", "here"), rows, f"{section}: {status}", prose=(1, 2)))
            if len(items) > SHOWN:
                console.print(f"and {len(items) - SHOWN} more; --json has them all")
    if verdict.again:
        console.print(_sides(verdict))
    console.print(_sentence(verdict), soft_wrap=True)


def _cell(value: Any) -> str:
    from steerdsl.cli.lock import shown

    text = shown(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _sides(verdict: Verdict) -> Any:
    """Versions and hardware of both sides, where they were run."""
    from steerdsl.cli.lock import shown
    from steerdsl.show.sheet import Sheet

    rows = []
    sides: Sequence[Mapping[str, Any]] = (verdict.before, verdict.now)
    for room, names in (("machine", None), ("run", ("device", "dtype", "batch_size")), ("packages", None)):
        for name in names or verdict.before[room]:
            rows.append(tuple(map(shown, (name, *(side[room].get(name) for side in sides)))))
    return Sheet(("", "recorded", "here"), rows, prose=(1, 2))


def _sentence(verdict: Verdict) -> str:
    wrong = verdict.of("different")
    if not wrong:
        return f"verified: {len(verdict.items)} fields, {len(verdict.of('tolerated'))} of them tolerated"
    names = "; ".join(f"{item.section}: {item.name}" for item in wrong[:3])
    more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    run = "" if verdict.again else "; not run again, since what goes in differs"
    return f"not verified: {names}{more}{run}"

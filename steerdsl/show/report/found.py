"""What a run found besides scores: choices of layers, planes, pictures.

In: record.json and the pictures of the folder. Out: sections of the report.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steerdsl.forms.files import is_inside
from steerdsl.show import doses, searches
from steerdsl.show.report.figures import curve, number
from steerdsl.show.report.html import Html, details, joined, section, table, tag
from steerdsl.store.finished_run import Finished

KINDS: Mapping[str, str] = {".svg": "image/svg+xml", ".png": "image/png"}
LARGEST, ALL = 700_000, 8_000_000  # bytes of a drawing that is kept as one, and of all pictures together
OPEN = 12  # trials that are shown without a click
BEST = 8  # layers of a choice that are listed


def choices(run: Finished) -> Html:
    """Each choice of layers with its figures as curves, and each plane."""
    parts = [_choice(name, choice) for name, choice in run.record["choices"].items()]
    planes = run.record.get("planes") or {}
    rows = [
        (name, ", ".join(f"{key} {_plain(value)}" for key, value in plane.items())) for name, plane in planes.items()
    ]
    if rows:
        parts += [tag("h3", "planes"), table((), rows)]
    return section("Choices of layers, and planes", *parts)


def searched(run: Finished) -> Html:
    """Each search: what it chose, the range that works, and every trial."""
    parts = []
    for name, found in run.record.get("searches", {}).items():
        said = [tag("p", text) for _, text in searches.lines({name: found})]
        head = [*found["axes"], "goal", *found["limits"], "chosen"]
        rows = [searches.row(found, trial) for trial in searches.ordered(found)]
        every = details("every trial", table(head, rows, class_="figures"), shown=len(rows) <= OPEN)
        notes = [tag("p", note, class_="note") for note in found["notes"]]
        parts += [tag("h3", f"{name}: {found['goal']}"), *said, *notes, every]
    note = "A limit is compared with the means of the trial's prompts, which were set aside for the search."
    return section("Searches", tag("p", note, class_="note"), *parts) if parts else Html("")


def added(run: Finished) -> Html:
    """How much each steer added, in every unit."""
    rows = list(doses.rows(run.record.get("doses", [])))
    if not rows:
        return Html("")
    return section("What was added", tag("p", doses.NOTE, class_="note"), table(doses.HEAD, rows, class_="figures"))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return number(value) if isinstance(value, int | float) else str(value)


def _choice(name: str, choice: Mapping[str, Any]) -> Html:
    layers, chosen = choice["layers"], choice["chosen"]
    places = [layers.index(layer) for layer in chosen if layer in layers]
    figures = {**choice["figures"], "score": choice["score"]}
    span = f"layers {layers[0]} to {layers[-1]}" if layers else ""
    curves = [
        [figure, curve(values, chosen=places, label=figure), *(number(values[i]) for i in places[:BEST])]
        for figure, values in figures.items()
    ]
    best = ", ".join(map(str, choice["order"][:BEST])) + (", …" if len(choice["order"]) > BEST else "")
    said = f"{name}: layer {', '.join(map(str, chosen))} of {choice['vector']} by {choice['criterion']}"
    head = ["", span, *(f"layer {layer}" for layer in chosen[:BEST])]
    notes = [tag("p", note, class_="note") for note in choice.get("notes", ())]
    order = tag("p", f"best first: {best}", class_="note")
    return joined((tag("h3", said), table(head, curves, class_="figures"), order, *notes))


def pictures(run: Finished) -> Html:
    """Every picture of the folder, inside the page; the drawing where it is small, else its pixels."""
    shown: list[Html] = []
    left: list[str] = []
    room = ALL
    for name, paths in _pictures(run.folder).items():
        path = next((p for p in paths if p.stat().st_size <= LARGEST), paths[-1])
        room -= path.stat().st_size
        if room < 0:
            left.append(name)
            continue
        data = base64.b64encode(path.read_bytes()).decode()
        image = tag("img", src=f"data:{KINDS[path.suffix.lower()]};base64,{data}", alt=name, loading="lazy")
        shown.append(tag("figure", image, tag("figcaption", path.relative_to(run.folder).as_posix())))
    rest = [tag("p", f"left out for their size: {', '.join(left)}", class_="note")] if left else []
    return section("Pictures", tag("div", *shown, class_="pictures"), *rest) if shown or left else Html("")


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """The pictures by name without ending, the drawing before the pixels."""
    found: dict[str, list[Path]] = {}
    for kind in KINDS:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() == kind and is_inside(path, folder) and not path.name.startswith("."):
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return dict(sorted(found.items()))

"""What was run, on what, and how it ended.

In: record.json. Out: the head of the report, its plan, how to run it again, and the record itself.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from steerdsl.forms.record import Record
from steerdsl.measure.table import said as point
from steerdsl.measure.verdict import FAILS, HOLDS, OPEN, outcome, said
from steerdsl.show import sentences
from steerdsl.show.numbers import apart
from steerdsl.show.report.figures import below, number
from steerdsl.show.report.html import Html, details, joined, section, table, tag
from steerdsl.store.finished_run import Finished

NAMELESS = ("-e", "<stdin>")  # recipes that are not files
COPY = "recipe.steer"
NO_CLAIM = "The recipe makes no claim."
STATES = {HOLDS: "complete", FAILS: "failed", OPEN: "open"}


def headline(run: Finished) -> Html:
    """The name, the state, the model, and what went wrong."""
    record, model, state = run.record, run.record["model"], run.record["state"]
    facts = [
        ("recipe", _recipe(run)),
        ("model", " ".join(part for part in (model["id"], model["revision"]) if part)),
        ("layers", f"{model['n_layers']} × {model['d_model']}, {model['dtype'] or ''}"),
        ("started", f"{record['started']}, {number(record['seconds'])} seconds"),
    ]
    if record["reached"] != "the end":
        facts.append(("reached", record["reached"]))
    parts = [
        tag("h1", run.folder.name, " ", tag("span", state, class_=f"state {state.split(' ')[-1]}")),
        table((), facts, class_="facts"),
    ]
    if error := record.get("error"):
        parts.append(tag("pre", error, class_="error"))
    parts += [tag("p", f"warning: {warning}", class_="warning") for warning in dict.fromkeys(record["warnings"])]
    parts += [tag("p", f"note: {note}") for note in dict.fromkeys(record.get("notes", []))]
    return joined(parts)


def _recipe(run: Finished) -> str:
    name = run.record["recipe"]["name"]
    return "given as text" if name in NAMELESS else name


def claims(run: Finished) -> Html:
    """Every claim with its outcome and the figures behind it."""
    rows = []
    for check in run.record["checks"]:
        at = point(check["at"])
        word = outcome(check)
        verdict = tag("span", word, class_=f"state {STATES[word]}")
        claim = check["claim"] + (f" ({at})" if at else "")
        sides = (x.replace("-", "−") for x in apart(check["left"], check["right"]))
        more = joined((sentences.evidence(check), below(said(check))))
        rows.append([tag("code", claim), verdict, *sides, more])
    head = ("claim", "", "found", "against", "")
    return section("Claims", table(head, rows, class_="figures") if rows else tag("p", NO_CLAIM, class_="note"))


def plan(run: Finished) -> Html:
    """Every step with every setting, as `steerdsl plan` prints them."""
    found = run.record["plan"]
    seconds = {timing["step"]: timing["seconds"] for timing in run.record["timings"]}
    steps = []
    for step in found["steps"]:
        title = f"{step['number']}  {step['verb']} {step['name'] + ': ' if step['name'] else ''}{step['title']}"
        took = seconds.get(step["number"])
        end = tag("span", f" {number(took)} s" if took is not None else " not reached", class_="note")
        steps.append(details(joined((title, end)), table((), step["settings"], class_="facts")))
    params = table((), list(found["params"].items()), class_="facts") if found["params"] else ""
    return section("Plan", params, *steps)


def rerun(run: Finished) -> Html:
    """The command that makes this run again, and the files that it reads."""
    unnamed = run.record["recipe"]["name"] in NAMELESS
    first = f"Save the recipe above as {COPY}, then:" if unnamed else "With the recipe above and its data:"
    command = tag("pre", tag("code", shlex.join(command_line(run.record))))
    inputs = [(path, tag("code", digest)) for path, digest in run.record["inputs"].items()]
    parts = [tag("p", first), command]
    return section("Run it again", *parts, table(("file", "SHA-256"), inputs) if inputs else "")


def command_line(record: Record) -> Iterator[str]:
    """The words of the command."""
    name, run = record["recipe"]["name"], record["run"]
    yield from ("steerdsl", "run", COPY if name in NAMELESS else name)
    for value in run["set"]:
        yield from ("--set", value)
    for option, given in (("--model", run["model"]), ("--dtype", run["dtype"]), ("--batch-size", run["batch_size"])):
        if given is not None:
            yield from (option, str(given))
    if run["seed"] is not None:
        yield from ("--seed", str(run["seed"]))
    if run["keep_unsafe"]:
        yield "--keep-unsafe"


def record(run: Finished) -> Html:
    """Model, data, packages and machine, with their hashes; then all of record.json but the recipe. A report is passed
    on, so it names no folder of this machine."""
    found = run.record
    model = {key: value for key, value in found["model"].items() if key != "path"}
    rows = [(name, spec["source"], spec["rows"], tag("code", spec["sha256"])) for name, spec in found["data"].items()]
    parts = [tag("h3", "model"), _facts(model)]
    parts += [tag("h3", "data"), table(("", "source", "rows", "SHA-256"), rows)] if rows else []
    for name, facts in (("run", found["run"]), ("packages", found["packages"]), ("machine", found["machine"])):
        parts += [tag("h3", name), _facts(facts)]
    rest = {key: value for key, value in found.items() if key not in ("recipe", "plan", "choices")} | {"model": model}
    whole = tag("pre", json.dumps(rest, indent=1, ensure_ascii=False, sort_keys=True))
    return section("Record", *parts, details("record.json, without the recipe, the plan and the choices", whole))


def _facts(found: Mapping[str, object]) -> Html:
    rows = [(key, "–" if value is None or value == [] else value) for key, value in found.items()]
    return table((), rows, class_="facts")

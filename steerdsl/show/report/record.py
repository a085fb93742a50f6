"""What was run, on what, and how it ended.

In: record.json. Out: the head of the report, its plan, how to run it again, and the record itself.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from steerdsl.measure.verdict import FAILS, HOLDS, OPEN, outcome, said
from steerdsl.show import sentences
from steerdsl.show.numbers import apart
from steerdsl.show.report.figures import below, number
from steerdsl.show.report.html import Html, details, joined, section, table, tag
from steerdsl.store.finished import Finished

NAMELESS = ("-e", "<stdin>")  # recipes that are no file
COPY = "recipe.steer"
NO_CLAIM = "The recipe makes no claim."
STATES = {HOLDS: "complete", FAILS: "failed", OPEN: "open"}


def headline(run: Finished) -> Html:
    """The name, the state, the model, and what went wrong."""
    record, model = run.record, run.record.get("model") or {}
    state = str(record.get("state", "unknown"))
    facts = [
        ("recipe", _recipe(run)),
        ("model", " ".join(str(model[key]) for key in ("id", "revision") if model.get(key))),
        ("layers", f"{model.get('n_layers', '?')} × {model.get('d_model', '?')}, {model.get('dtype', '')}"),
        ("started", f"{record.get('started', '')}, {number(record.get('seconds'))} seconds"),
    ]
    if record.get("reached") != "the end":
        facts.append(("reached", str(record.get("reached", ""))))
    parts = [
        tag("h1", run.folder.name, " ", tag("span", state, class_=f"state {state.split(' ')[-1]}")),
        table((), facts, class_="facts"),
    ]
    if record.get("error"):
        parts.append(tag("pre", record["error"], class_="error"))
    parts += [
        tag("p", f"warning: {warning}", class_="warning") for warning in dict.fromkeys(record.get("warnings", ()))
    ]
    return joined(parts)


def _recipe(run: Finished) -> str:
    name = str(run.record.get("recipe", {}).get("name", ""))
    return "given as text" if name in NAMELESS else name


def claims(run: Finished) -> Html:
    """Every claim with its outcome and the figures behind it."""
    rows = []
    for check in run.record.get("checks") or ():
        at = ", ".join(f"{axis} {label}" for axis, label in (check.get("at") or {}).items())
        word = outcome(check)
        verdict = tag("span", word, class_=f"state {STATES[word]}")
        claim = check["claim"] + (f" ({at})" if at else "")
        sides = (x.replace("-", "−") for x in apart(check.get("left"), check.get("right")))
        more = joined((sentences.evidence(check), below(said(check))))
        rows.append([tag("code", claim), verdict, *sides, more])
    head = ("claim", "", "found", "against", "")
    return section("Claims", table(head, rows, class_="figures") if rows else tag("p", NO_CLAIM, class_="note"))


def plan(run: Finished) -> Html:
    """Every step with every setting, as `steerdsl plan` prints them."""
    found = run.record["plan"]
    seconds = {t.get("step"): t.get("seconds") for t in run.record.get("timings", ())}
    steps = []
    for step in found.get("steps", ()):
        title = f"{step['number']}  {step['verb']} {step['name'] + ': ' if step.get('name') else ''}{step['title']}"
        took = seconds.get(step["number"])
        end = tag("span", f" {number(took)} s" if took is not None else " not reached", class_="note")
        rows = [(label, setting) for label, setting in step.get("settings", ())]
        steps.append(details(joined((title, end)), table((), rows, class_="facts")))
    params = table((), list((found.get("params") or {}).items()), class_="facts") if found.get("params") else ""
    return section("Plan", params, *steps)


def rerun(run: Finished) -> Html:
    """The command that makes this run again, and the files that it reads."""
    recipe = run.record.get("recipe", {})
    unnamed = recipe.get("name") in NAMELESS
    first = f"Save the recipe above as {COPY}, then:" if unnamed else "With the recipe above and its data:"
    command = tag("pre", tag("code", shlex.join(command_line(run.record))))
    inputs = [(path, tag("code", digest)) for path, digest in (run.record.get("inputs") or {}).items()]
    parts = [tag("p", first), command]
    return section("Run it again", *parts, table(("file", "SHA-256"), inputs) if inputs else "")


def command_line(record: Mapping[str, Any]) -> Iterator[str]:
    """The words of the command; older records do not say what was typed, so what was in force is."""
    name, run = str(record.get("recipe", {}).get("name", COPY)), record.get("run") or {}
    yield from ("steerdsl", "run", COPY if name in NAMELESS else name)
    given = run.get("set")
    params = (record["plan"].get("params") or {}).items()
    for value in [f"{name}={x}" for name, x in params] if given is None else given:
        yield from ("--set", str(value))
    model = run["model"] if "model" in run else (record.get("model") or {}).get("id")
    for option, value in (("--model", model), ("--dtype", run.get("dtype")), ("--batch-size", run.get("batch_size"))):
        if value is not None:
            yield from (option, str(value))
    if run.get("seed") is not None:
        yield from ("--seed", str(run["seed"]))
    if run.get("keep_unsafe"):
        yield "--keep-unsafe"


def record(run: Finished) -> Html:
    """Model, data, packages and machine, with their hashes; then all of record.json but the recipe."""
    found = run.record
    data = found.get("data") or {}
    rows = [
        (name, spec.get("source"), spec.get("rows"), tag("code", spec.get("sha256"))) for name, spec in data.items()
    ]
    parts = [tag("h3", "model"), _facts(found.get("model"))]
    parts += [tag("h3", "data"), table(("", "source", "rows", "SHA-256"), rows)] if rows else []
    for name in ("run", "packages", "machine"):
        parts += [tag("h3", name), _facts(found.get(name))]
    rest = {key: value for key, value in found.items() if key not in ("recipe", "plan", "choices")}
    whole = tag("pre", json.dumps(rest, indent=1, ensure_ascii=False, sort_keys=True))
    return section("Record", *parts, details("record.json, without the recipe, the plan and the choices", whole))


def _facts(found: Mapping[str, Any] | None) -> Html:
    rows = [(key, "–" if value is None or value == [] else value) for key, value in (found or {}).items()]
    return table((), rows, class_="facts")

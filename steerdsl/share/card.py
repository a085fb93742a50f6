"""The card of a pack: the README of its page on the model hub.

In: a checked pack, a licence. Out: Markdown with the hub's header. Every figure is the record's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from steerdsl.forms.record import Record
from steerdsl.measure.table import Row, Table, of_json, said
from steerdsl.measure.verdict import outcome
from steerdsl.share.pack import Pack
from steerdsl.show.sentences import evidence

LICENCE = "unknown"  # the hub's word for one that was not given


def card(pack: Pack, repo: str, licence: str = LICENCE) -> str:
    """The card of `pack` as it will be in `repo`."""
    record = pack.record
    text = pack.members[f"recipe/{pack.recipe}"].decode()
    lines = (f"pull {repo}", f"run {pack.name}", f"verify {pack.name}")
    parts = [
        _header(record, licence),
        f"# {pack.recipe.removesuffix('.steer')}\n",
        "A recipe of steerdsl: an intervention on the activations of a language model, with the data, the "
        "direction and the answers of one run.\n",
        f"{_about(text)}## How to run\n",
        _fenced("\n".join(["pip install steerdsl", *(f"steerdsl {line}" for line in lines)]), "sh"),
        "`run` makes it again; `verify` also compares every vector, answer and score with this run's.\n\n"
        f"SHA-256 of the pack: `{pack.sha256}`\n",
        f"## The recipe\n\n{_fenced(text, '')}",
        _model(record),
        _scores(of_json(json.loads(pack.members["run/scores.json"]))),
        _claims(record),
        _limits(record),
    ]
    return "\n".join(part for part in parts if part)


def _header(record: Record, licence: str) -> str:
    """The YAML that the hub reads; a JSON text is a YAML text."""
    lines = [f"license: {json.dumps(licence)}", "library_name: steerdsl", "tags: [steerdsl, activation-steering]"]
    if record["model"]["source"] != "folder":
        lines.insert(1, f"base_model: {json.dumps(record['model']['id'])}")
    return "---\n" + "\n".join(lines) + "\n---\n"


def _about(text: str) -> str:
    """The comment that a recipe opens with, as a paragraph."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(_plain(line.lstrip("# ").rstrip()))
    return "\n".join(lines) + "\n\n" if any(lines) else ""


def _plain(text: str) -> str:
    """Text that Markdown shows literally, in a table cell too."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)


def _fenced(text: str, language: str) -> str:
    """A block whose fence is longer than any in the text."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _model(record: Record) -> str:
    model, run = record["model"], record["run"]
    rows = [
        ("model", model["id"]),
        ("revision", model["revision"]),
        ("weights, SHA-256", model["weights_sha256"]),
        ("dtype", run["dtype"]),
        ("batch", run["batch_size"]),
        ("params", ", ".join(f"{k} = {v}" for k, v in record["plan"]["params"].items())),
        *((f"data {name}", f"{d['rows']} rows of {d['source']}") for name, d in record["data"].items()),
    ]
    lines = [f"| {name} | {_plain(str(value))} |" for name, value in rows if value not in (None, "")]
    return "## What was run\n\n| | |\n|---|---|\n" + "\n".join(lines) + "\n"


def _scores(scores: Table) -> str:
    """A table for each evaluation and point: means over prompts with 95% intervals."""
    parts = [
        f"### {_plain(name + (f' at {said(rows[0].at)}' if rows.swept else ''))}\n\n{_table(rows)}"
        for name, found in scores.evaluations.items()
        for rows in found.points.values()
    ]
    return "## Scores\n\nMeans over prompts, with 95% intervals.\n\n" + "\n".join(parts) if parts else ""


def _table(found: Table) -> str:
    variants = found.names("variant")
    lines = [f"| metric | data | {' | '.join(map(_plain, variants))} | n |", "|---" * (len(variants) + 3) + "|"]
    for metric, data in dict.fromkeys((row.metric, row.data) for row in found):
        rows = [found.one(metric, data, variant) for variant in variants]
        n = max(row.n for row in rows if row is not None)
        lines.append(f"| {_plain(metric)} | {_plain(data)} | {' | '.join(map(_cell, rows))} | {n} |")
    return "\n".join(lines) + "\n"


def _cell(row: Row | None) -> str:
    if row is None or row.mean is None:
        return "–"
    return f"{row.mean:.3g}" + ("" if row.low is None else f" ({row.low:.3g} to {row.high:.3g})")


def _claims(record: Record) -> str:
    lines = [f"- {_plain(c['claim'])}: {'; '.join(filter(None, (outcome(c), evidence(c))))}" for c in record["checks"]]
    return "## Claims\n\n" + "\n".join(lines) + "\n" if lines else ""


def _limits(record: Record) -> str:
    return "## Limits\n\n" + "".join(f"- {line}\n" for line in _limit_lines(record))


def _limit_lines(record: Record) -> Iterator[str]:
    yield "The figures are of this model, these prompts and these settings; another model is another experiment."
    yield "Intervals are over prompts alone, not over seeds, models or ways to ask."
    yield (
        f"Another machine, dtype or version of a package may change last bits, and with them a token: this run was in "
        f"{record['run']['dtype']} on {record['run']['device']}."
    )
    yield "Scores of texts by words or overlap are stand-ins for a reader's judgement."
    yield from (_plain(warning) for warning in dict.fromkeys(record["warnings"]))

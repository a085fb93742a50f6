"""The end of a run in some fifteen lines: what ran, the layers, each steer against its controls, one pair of
answers, the claims, and where all the rest is.

In: a run directory as it was read back. Out: a `Sheet` for the terminal; the report shows the same lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steerdsl.forms.record import Record
from steerdsl.lang.variants import BASELINE, steered
from steerdsl.measure.table import Table
from steerdsl.measure.verdict import FAILS, HOLDS, OPEN
from steerdsl.show import searches, sentences
from steerdsl.show.numbers import duration
from steerdsl.show.sheet import Sheet

ANSWER = 180  # characters of an answer or a prompt
MOST = 6  # lines of one kind
LOOKS = {HOLDS: "green", FAILS: "bold red", OPEN: "yellow"}

Line = tuple[str, str]  # its name and its text
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt with the unsteered and the steered answer, None where it is withheld."""

    prompt: str
    steer: str
    before: str | None
    after: str | None


def head(record: Record) -> str:
    """`complete in 2 min 5 s on SmolLM2-135M-Instruct (bfloat16 on cpu, 2 threads)`."""
    run, machine = record["run"], record["machine"]
    stop = "" if record["reached"] == "the end" else f" at {record['reached']}"
    device, threads = machine.get("gpu") or run["device"], machine.get("threads")
    shared = f", {threads} thread{'s' * (threads != 1)}" if device == "cpu" and isinstance(threads, int) else ""
    where = f"{run['dtype']} on {device}{shared}"
    name = Path(record["model"]["id"]).name
    return f"{record['state']}{stop} in {duration(record['seconds'])} on {name} ({where})"


def pair(rows: Sequence[Row]) -> Pair | None:
    """The first prompt that both the unsteered model and a steer have answered in one step."""
    first = [row for row in rows if not row.get("sample")]
    bases: dict[tuple[Any, ...], Row] = {}
    for row in first:
        if row.get("variant") == BASELINE:
            bases.setdefault(_place(row), row)
    for row in first:
        steer, base = steered([str(row.get("variant"))]), bases.get(_place(row))
        if steer is not None and base is not None and not sentences.is_random(steer):
            return Pair(str(row.get("prompt")), steer, base.get("text"), row.get("text"))
    return None


def _place(row: Row) -> tuple[Any, ...]:
    """What two answers side by side have in common."""
    own = tuple(row.get(key) for key in ("step", "dataset", "split", "row", "prompt"))
    return (*own, *(row.get("point") or {}).items())


def lines(record: Record, scores: Table, rows: Sequence[Row]) -> Iterator[tuple[Line, str]]:
    """Every line with its style, except the first and the last."""
    if error := record.get("error"):
        yield ("error", error), "red"
    searched = record.get("searches", {})
    tried = {name for found in searched.values() for name in found["evaluations"]}
    figures = sentences.evaluations(scores.without(tried), record["checks"])
    made = sentences.answers(record.get("answers", {}))
    for kind in (made, sentences.layers(record["choices"]), searches.lines(searched), figures):
        every = list(kind)
        yield from ((line, "") for line in every[:MOST])
        if len(every) > MOST:
            yield ("", f"and {len(every) - MOST} more"), ""
    if (found := pair([row for row in rows if row.get("step") not in tried])) is not None:
        answers = (("prompt", found.prompt), (BASELINE, found.before), (found.steer, found.after))
        yield from (((name, short(text)), "") for name, text in answers)
    claims = list(sentences.claims(record["checks"]))
    # What does not hold is printed, however many claims there are.
    claims.sort(key=lambda claim: claim.verdict == HOLDS)
    bad = sum(claim.verdict != HOLDS for claim in claims)
    for claim in claims[: max(MOST, bad)]:
        yield (claim.verdict, f"{claim.text}: {claim.found}"), LOOKS[claim.verdict]
    if len(claims) > max(MOST, bad):
        yield (HOLDS, f"and {len(claims) - max(MOST, bad)} more claims"), ""


def short(text: str | None) -> str:
    """An answer in one line, cut between words."""
    if text is None:
        return "(withheld: the data set is declared unsafe)"
    said = re.sub(r"\s+", " ", text).strip() or "(empty)"
    return said if len(said) <= ANSWER else said[:ANSWER].rsplit(" ", 1)[0] + " …"


def summary(folder: Path, record: Record, scores: Table, rows: Sequence[Row]) -> Sheet:
    """The whole summary."""
    shown = [(("run", head(record)), ""), *lines(record, scores, rows)]
    report = folder / "report.html"
    shown.append((("report", f"{report if report.is_file() else folder}; all of it: steerdsl show {folder}"), ""))
    styles = {(i, 0): style or "bold" for i, (_, style) in enumerate(shown)}
    return Sheet(("", ""), [line for line, _ in shown], prose=(1,), styles=styles)

"""All of a run as tables: scores, answers side by side, claims.

In: the results of a run. Out: rich renderables, whose figures are never cut or broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from steerdsl.lang.variants import BASELINE, RANDOM, REFERENCE, in_order, place, steered
from steerdsl.measure.table import Gap, Row, Table, said
from steerdsl.measure.verdict import outcome
from steerdsl.show import sentences
from steerdsl.show.numbers import NOTHING, drawn, interval, number, p_value, rank, signed
from steerdsl.show.points import one_baseline
from steerdsl.show.sheet import Sheet
from steerdsl.show.summary import LOOKS

SHOWN = 2  # prompts of each data set whose answers are printed; one where there are many variants
FEW = 4
WIDTH = 600  # characters of an answer that are printed


def results(scores: Table, rows: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]) -> Group:
    """Answers, scores, claims."""
    parts: list[RenderableType] = [*answers(rows), *score_tables(scores)]
    parts += [sweep_table(name, found) for name, found in scores.evaluations.items() if found.swept]
    if checks:
        parts.append(claims(checks))
    return Group(*parts)


def cell(row: Row | None) -> str:
    """A mean, and under it the 95% interval, the draws of a random control, and the number of prompts where
    some have no value."""
    if row is None or row.mean is None:
        return NOTHING
    few = f"{row.n} of {len(row.values)}" if row.n < len(row.values) else ""
    return "\n".join(line for line in (number(row.mean), interval(row.low, row.high), drawn(row), few) if line)


def score_tables(scores: Table) -> Iterator[Sheet]:
    """A table for each evaluation outside of sweeps and each data set: a line for each variant, a column for each
    metric, and below them the steer's differences from the others."""
    for name, found in scores.evaluations.items():
        if not found.swept:
            yield from (_score_table(name, data, rows) for data, rows in found.by("data").items())


def _score_table(name: str, data: str, found: Table) -> Sheet:
    n = max(len(row.values) for row in found)
    title = f"{name}, {data}: means over {n} prompt{'s' * (n != 1)} [95% interval]"
    metrics, variants = found.names("metric"), in_order(found.names("variant"))
    rows = [[variant, *(cell(found.one(metric, data, variant)) for metric in metrics)] for variant in variants]
    compared = dict.fromkeys((row.variant, other) for row in found for other in row.against)
    for variant, other in sorted(compared, key=lambda pair: place(pair[1])):
        gaps = {row.metric: row.against.get(other) for row in found.select(variant=variant)}
        rows.append([f"{variant} − {other}", *(_gap(gaps.get(metric)) for metric in metrics)])
    return Sheet(("", *metrics), rows, title, rules=(len(variants),), turns=True)


def _gap(gap: Gap | None) -> str:
    """A difference, under it its interval, its p-value, and its rank among random draws."""
    if gap is None or gap.difference is None:
        return NOTHING
    p = "" if gap.low is None else p_value(gap.p_holm)
    return "\n".join(line for line in (signed(gap.difference), interval(gap.low, gap.high), p, rank(gap)) if line)


def sweep_table(name: str, rows: Table) -> Sheet:
    """One line for each point of a sweep: the steered mean of each metric and data set, and next to it the
    random control's. The unsteered model has the first line; a column where it is not the same at every point."""
    points = list(rows.points.values())
    axes, columns = list(points[0][0].at), list(dict.fromkeys((row.metric, row.data) for row in points[0]))
    steady = one_baseline(rows)
    beside = [v for v in (BASELINE, RANDOM) if v in points[0].names("variant") and not (v == BASELINE and steady)]
    head = [*axes, *(h for metric, data in columns for h in (f"{metric}\n{data}", *(f"{data}\n{v}" for v in beside)))]

    def cells(point: Table, steer: str | None, controls: Sequence[str | None]) -> Iterator[str]:
        for column in columns:
            yield cell(point.one(*column, steer))
            yield from (cell(point.one(*column, control)) if control else "" for control in controls)

    whole = next((point for point in points if not point[0].failed), points[0])
    first = [BASELINE, *[""] * (len(axes) - 1), *cells(whole, BASELINE, [None] * len(beside))]
    lines = [first] if steady else []
    for point in points:
        failed = ["failed", *[""] * (len(head) - len(axes) - 1)]
        shown = failed if point[0].failed else cells(point, steered(point.names("variant")), beside)
        lines.append([*point[0].at.values(), *shown])
    return Sheet(head, lines, f"{name}: steered means over the sweep", rules=(1,) if steady else ())


def answers(rows: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """Of each step and data set the first prompts, with the answers that this step got from each variant
    one under another: those of two steps may be sampled or limited in different ways."""
    by_prompt: dict[tuple[str, str, str], dict[tuple[int, str], dict[str, str]]] = {}
    for row in rows:
        if "point" in row or row["sample"] or row["variant"] == REFERENCE:
            continue
        prompts = by_prompt.setdefault((row["step"], row["dataset"], str(row.get("split"))), {})
        prompts.setdefault((row["row"], row["prompt"]), {}).setdefault(row["variant"], shown_text(row))
    for (step, data, _), prompts in by_prompt.items():
        many = max(map(len, prompts.values())) > FEW
        for (_, prompt), texts in list(prompts.items())[: 1 if many else SHOWN]:
            yield Text.assemble((f"{step}, {data}: ", "dim"), (prompt, "bold"))
            yield Sheet(("", ""), [(v, _short(texts[v])) for v in in_order(texts)], prose=(1,), bold=(0,))


def shown_text(row: Mapping[str, Any]) -> str:
    """An answer's text, or why it is not shown."""
    return "(withheld: the data set is declared unsafe)" if row.get("withheld") else str(row["text"])


def _short(text: str) -> str:
    text = "\n".join(line for line in text.strip().splitlines() if line.strip()) or "(empty)"
    return text if len(text) <= WIDTH else text[:WIDTH].rsplit(" ", 1)[0] + " …"


def claims(checks: Sequence[Mapping[str, Any]]) -> Sheet:
    """Each claim, how it ended, and the figures of both of its sides."""
    rows, styles = [], {}
    for i, check in enumerate(checks):
        at = said(check.get("at") or {})
        verdict = outcome(check)
        rows.append((verdict, check["claim"] + (f"  ({at})" if at else ""), sentences.claim_figures(check)))
        styles[i, 0] = LOOKS[verdict]
    return Sheet(("", "claim", "found"), rows, "claims", prose=(1, 2), styles=styles)

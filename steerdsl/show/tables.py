"""All of a run as tables: scores, answers side by side, claims.

In: the results of a run. Out: rich renderables, whose figures are never cut or broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from steerdsl.lang.variants import BASELINE, RANDOM, REFERENCE, in_order, place, steered
from steerdsl.measure.verdict import outcome
from steerdsl.show import sentences
from steerdsl.show.numbers import NOTHING, drawn, interval, number, p_value, rank, signed
from steerdsl.show.sheet import Sheet
from steerdsl.show.summary import LOOKS

SHOWN = 2  # prompts of each data set whose answers are printed; one where there are many variants
FEW = 4
WIDTH = 600  # characters of an answer that are printed


def results(scores: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]) -> Group:
    """Answers, scores, claims."""
    parts: list[RenderableType] = [*answers(rows)]
    plain = {name: table for name, table in scores.items() if "points" not in table}
    parts += score_tables(plain)
    parts += [sweep_table(name, table["points"]) for name, table in scores.items() if "points" in table]
    if checks:
        parts.append(claims(checks))
    return Group(*parts)


def cell(figures: Mapping[str, Any] | None) -> str:
    """A mean, and under it the 95% interval, the draws of a random control, and the number of prompts where
    some have no value."""
    if figures is None or figures["mean"] is None:
        return NOTHING
    few = f"{figures['n']} of {len(figures['values'])}" if figures["n"] < len(figures["values"]) else ""
    return "\n".join(line for line in (number(figures["mean"]), interval(figures), drawn(figures), few) if line)


def score_tables(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Sheet]:
    """A table for each evaluation and data set: a line for each variant, a column for each metric, and
    below them the steer's differences from the others."""
    for name, table in scores.items():
        for data in dict.fromkeys(data for by_data in table.values() for data in by_data):
            yield _score_table(name, data, {m: by_data[data] for m, by_data in table.items() if data in by_data})


def _score_table(name: str, data: str, by_metric: Mapping[str, Mapping[str, Any]]) -> Sheet:
    n = max(len(figures["values"]) for by_variant in by_metric.values() for figures in by_variant.values())
    title = f"{name}, {data}: means over {n} prompt{'s' * (n != 1)} [95% interval]"
    variants = in_order(variant for by_variant in by_metric.values() for variant in by_variant)
    rows = [[variant, *(cell(by.get(variant)) for by in by_metric.values())] for variant in variants]
    for variant, other in _compared(by_metric):
        rows.append([f"{variant} − {other}", *(_gap(by.get(variant), other) for by in by_metric.values())])
    return Sheet(("", *by_metric), rows, title, rules=(len(variants),), turns=True)


def _compared(by_metric: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Every pair of variants whose difference is known."""
    found = [(v, other) for by in by_metric.values() for v in by for other in by[v].get("against", ())]
    return sorted(dict.fromkeys(found), key=lambda pair: place(pair[1]))


def _gap(figures: Mapping[str, Any] | None, other: str) -> str:
    """A difference, under it its interval, its p-value, and its rank among random draws."""
    gap = (figures or {}).get("against", {}).get(other)
    if gap is None or gap["difference"] is None:
        return NOTHING
    lines = (signed(gap["difference"]), interval(gap), "" if gap["low"] is None else p_value(gap["p_holm"]), rank(gap))
    return "\n".join(line for line in lines if line)


def sweep_table(name: str, points: Sequence[Mapping[str, Any]]) -> Sheet:
    """One line for each point of a sweep: the steered mean of each metric and data set, and beside it the
    random control's."""
    random = any(RANDOM in by_variant for by_data in points[0]["scores"].values() for by_variant in by_data.values())
    axes = list(points[0]["at"])
    columns = [(metric, data) for metric, by_data in points[0]["scores"].items() for data in by_data]
    head = [*axes, *(h for metric, data in columns for h in (f"{metric}\n{data}", *[f"{data}\n{RANDOM}"] * random))]

    def cells(scores: Mapping[str, Any], pick: Callable[[Mapping[str, Any]], Any]) -> Iterator[str]:
        for metric, data in columns:
            yield cell(pick(scores[metric][data]))
            if random:
                yield cell(scores[metric][data].get(RANDOM)) if pick is _steered else ""

    whole = next((point for point in points if not point.get("failed")), points[0])
    rows = [[BASELINE, *[""] * (len(axes) - 1), *cells(whole["scores"], lambda by: by.get(BASELINE))]]
    for point in points:
        failed = ["failed", *[""] * (len(head) - len(axes) - 1)]
        rows.append([*point["at"].values(), *(failed if point.get("failed") else cells(point["scores"], _steered))])
    return Sheet(head, rows, f"{name}: steered means over the sweep", rules=(1,))


def _steered(by_variant: Mapping[str, Any]) -> Any:
    name = steered(by_variant)
    return None if name is None else by_variant[name]


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
        at = ", ".join(f"{k} {v}" for k, v in (check.get("at") or {}).items())
        verdict = outcome(check)
        rows.append((verdict, check["claim"] + (f"  ({at})" if at else ""), sentences.claim_figures(check)))
        styles[i, 0] = LOOKS[verdict]
    return Sheet(("", "claim", "found"), rows, "claims", prose=(1, 2), styles=styles)

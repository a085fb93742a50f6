"""What a run prints at its end: scores, answers side by side, choices of layers, claims.

In: the results of a run. Out: rich renderables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steerdsl.lang.variants import BASELINE, PROMPTED, RANDOM, REFERENCE, in_order, place, steered

SHOWN = 2  # prompts of each data set whose answers are printed; one where there are many variants
FEW = 4
WIDTH = 600  # characters of an answer that are printed


def results(scores: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], checks: Sequence[Mapping[str, Any]]) -> Group:
    """Everything that a finished run prints."""
    parts: list[RenderableType] = [*answers(rows)]
    plain = {name: table for name, table in scores.items() if "points" not in table}
    parts += score_tables(plain)
    parts += [sweep_table(name, table["points"]) for name, table in scores.items() if "points" in table]
    if checks:
        parts.append(claims(checks))
    return Group(*parts)


def cell(figures: Mapping[str, Any] | None) -> str:
    """A mean, and under it the 95% interval, and the number of prompts where some have no value."""
    if figures is None or figures["mean"] is None:
        return "–"
    lines = [f"{figures['mean']:.3g}"]
    if figures["low"] is not None and figures["low"] != figures["high"]:
        lines.append(f"[{figures['low']:.3g}, {figures['high']:.3g}]")
    if figures["n"] < len(figures["values"]):
        lines.append(f"{figures['n']} of {len(figures['values'])}")
    return "\n".join(lines)


def score_tables(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """A table for each evaluation and data set: a line for each variant, a column for each metric, and
    below them the steer's differences from the others."""
    for name, table in scores.items():
        for data in dict.fromkeys(data for by_data in table.values() for data in by_data):
            yield _score_table(name, data, {m: by_data[data] for m, by_data in table.items() if data in by_data})


def _score_table(name: str, data: str, by_metric: Mapping[str, Mapping[str, Any]]) -> Table:
    n = max(len(figures["values"]) for by_variant in by_metric.values() for figures in by_variant.values())
    title = f"{name}, {data}: means over {n} prompts [95% interval]"
    out = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
    out.add_column("")
    for metric in by_metric:
        out.add_column(metric, justify="right")
    for variant in in_order(variant for by_variant in by_metric.values() for variant in by_variant):
        out.add_row(variant, *(cell(by_variant.get(variant)) for by_variant in by_metric.values()))
    out.add_section()
    for variant, other in _compared(by_metric):
        out.add_row(f"{variant} − {other}", *(_gap(by.get(variant), other) for by in by_metric.values()))
    return out


def _compared(by_metric: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Every pair of variants whose difference is known."""
    found = [(v, other) for by in by_metric.values() for v in by for other in by[v].get("against", ())]
    return sorted(dict.fromkeys(found), key=lambda pair: place(pair[1]))


def _gap(figures: Mapping[str, Any] | None, other: str) -> str:
    """A difference, under it its interval and its p-value."""
    gap = (figures or {}).get("against", {}).get(other)
    if gap is None or gap["difference"] is None:
        return "–"
    if gap["low"] is None:
        return f"{gap['difference']:+.3g}"
    return f"{gap['difference']:+.3g}\n[{gap['low']:.3g}, {gap['high']:.3g}]\n{p_value(gap['p_holm'])}"


def p_value(p: float | None) -> str:
    """A p-value as it is printed."""
    return "" if p is None else "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def sweep_table(name: str, points: Sequence[Mapping[str, Any]]) -> Table:
    """One line for each point of a sweep: the steered mean of each metric and data set, and beside it the
    random control's."""
    out = Table(title=f"{name}: steered means over the sweep", title_justify="left", header_style="bold")
    random = any(RANDOM in by_variant for by_data in points[0]["scores"].values() for by_variant in by_data.values())
    for axis in points[0]["at"]:
        out.add_column(axis, justify="right")
    columns = [(metric, data) for metric, by_data in points[0]["scores"].items() for data in by_data]
    for metric, data in columns:
        out.add_column(f"{metric}\n{data}", justify="right")
        if random:
            out.add_column(RANDOM, justify="right", style="dim")

    def cells(scores: Mapping[str, Any], pick: Callable[[Mapping[str, Any]], Any]) -> Iterator[str]:
        for metric, data in columns:
            yield cell(pick(scores[metric][data]))
            if random:
                yield cell(scores[metric][data].get(RANDOM)) if pick is _steered else ""

    axes = len(points[0]["at"])
    out.add_row(BASELINE, *[""] * (axes - 1), *cells(points[0]["scores"], lambda by: by.get(BASELINE)))
    out.add_section()
    for point in points:
        out.add_row(*point["at"].values(), *cells(point["scores"], _steered))
    return out


def _steered(by_variant: Mapping[str, Any]) -> Any:
    name = steered(by_variant)
    return None if name is None else by_variant[name]


def answers(rows: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """The first prompts of each data set with the answers of all variants, one under another."""
    steers = {row["step"]: row["variant"] for row in rows if "point" not in row and steered([row["variant"]])}
    several = len(set(steers.values())) > 1
    by_prompt: dict[tuple[str, str], dict[tuple[int, str], str]] = {}
    for row in rows:
        variant = row["variant"]
        if "point" in row or row["sample"] or variant == REFERENCE:
            continue
        own = f"{variant} for {steers.get(row['step'])}" if several and variant in (RANDOM, PROMPTED) else variant
        texts = by_prompt.setdefault((row["dataset"], row["prompt"]), {})
        texts.setdefault((place(variant), own), shown_text(row))
    shown: dict[str, int] = {}
    for (data, prompt), texts in by_prompt.items():
        shown[data] = shown.get(data, 0) + 1
        if shown[data] > (SHOWN if len(texts) <= FEW else 1):
            continue
        table = Table(title=Text(f"{data}: {prompt}", style="bold"), title_justify="left", show_header=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for (_, variant), text in sorted(texts.items(), key=lambda item: item[0][0]):
            table.add_row(variant, Text(_short(text)))
            table.add_section()
        yield table


def shown_text(row: Mapping[str, Any]) -> str:
    """An answer's text, or why it is not shown."""
    return "(withheld: the data set is declared unsafe)" if row.get("withheld") else str(row["text"])


def _short(text: str) -> str:
    text = "\n".join(line for line in text.strip().splitlines() if line.strip()) or "(empty)"
    return text if len(text) <= WIDTH else text[:WIDTH].rsplit(" ", 1)[0] + " …"


def claims(checks: Sequence[Mapping[str, Any]]) -> Table:
    """Each claim, whether it holds, and both of its sides."""
    out = Table(title="claims", title_justify="left", header_style="bold")
    for name in ("", "claim", "found", "against"):
        out.add_column(name)
    for check in checks:
        at = ", ".join(f"{k} {v}" for k, v in check["at"].items())
        claim = check["claim"] + (f"  ({at})" if at else "")
        verdict = Text("holds", style="green") if check["holds"] else Text("fails", style="bold red")
        out.add_row(
            verdict, claim, *("–" if side is None else f"{side:.4g}" for side in (check["left"], check["right"]))
        )
    return out

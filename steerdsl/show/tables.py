"""What a run prints at its end: scores, answers side by side, choices of layers, claims.

In: the results of a run. Out: rich renderables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

BASELINE = "baseline"
SHOWN = 2  # prompts of each data set whose answers are printed; one where there are many variants
FEW = 3
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
    """A mean, and under it the 95% interval."""
    if figures is None or figures["mean"] is None:
        return "–"
    if figures["low"] == figures["high"] or figures["low"] is None:
        return f"{figures['mean']:.3g}"
    return f"{figures['mean']:.3g}\n[{figures['low']:.3g}, {figures['high']:.3g}]"


def score_tables(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[Table]:
    """A table for each data set: a line for each variant, a column for each metric, over all
    evaluations of the recipe."""
    cells: dict[str, dict[tuple[str, str], Any]] = {}
    for table in scores.values():
        for metric, by_data in table.items():
            for data, by_variant in by_data.items():
                for variant, figures in by_variant.items():
                    cells.setdefault(data, {})[variant, metric] = figures
    for data, found in cells.items():
        variants = list(dict.fromkeys(variant for variant, _ in found))
        metrics = list(dict.fromkeys(metric for _, metric in found))
        n = max(figures["n"] for figures in found.values())
        title = f"{data}: means over {n} prompts [95% interval]"
        out = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD)
        out.add_column("")
        for metric in metrics:
            out.add_column(metric, justify="right")
        for variant in variants:
            out.add_row(variant, *(cell(found.get((variant, metric))) for metric in metrics))
        yield out


def sweep_table(name: str, points: Sequence[Mapping[str, Any]]) -> Table:
    """One line for each point of a sweep, the steered mean of each metric and data set."""
    out = Table(title=f"{name}: steered means over the sweep", title_justify="left", header_style="bold")
    for axis in points[0]["at"]:
        out.add_column(axis, justify="right")
    columns = [(metric, data) for metric, by_data in points[0]["scores"].items() for data in by_data]
    for metric, data in columns:
        out.add_column(f"{metric}\n{data}", justify="right")
    base = [points[0]["scores"][m][d][BASELINE] for m, d in columns]
    out.add_row(*[BASELINE, *[""] * (len(points[0]["at"]) - 1)], *(cell(f) for f in base))
    out.add_section()
    for point in points:
        found = [_steered(point["scores"][m][d]) for m, d in columns]
        out.add_row(*point["at"].values(), *(cell(f) for f in found))
    return out


def _steered(by_variant: Mapping[str, Any]) -> Any:
    return next((f for v, f in by_variant.items() if v != BASELINE), None)


def answers(rows: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """The first prompts of each data set with the answers of all variants, one under another."""
    by_prompt: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        if "point" not in row and row["sample"] == 0:
            by_prompt.setdefault((row["dataset"], row["prompt"]), {}).setdefault(row["variant"], row["text"])
    shown: dict[str, int] = {}
    for (data, prompt), texts in by_prompt.items():
        shown[data] = shown.get(data, 0) + 1
        if shown[data] > (SHOWN if len(texts) <= FEW else 1):
            continue
        table = Table(title=Text(f"{data}: {prompt}", style="bold"), title_justify="left", show_header=False)
        table.add_column(no_wrap=True, style="bold")
        table.add_column()
        for variant, text in sorted(texts.items(), key=lambda item: item[0] != BASELINE):
            table.add_row(variant, Text(_short(text)))
            table.add_section()
        yield table


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
        out.add_row(verdict, claim, f"{check['left']:.4g}", f"{check['right']:.4g}")
    return out

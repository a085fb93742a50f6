"""Fill the pages of the gallery with the figures of its records, so that neither drifts from the other.

    python docs/gallery/figures.py          write the tables and numbers anew
    python docs/gallery/figures.py --check  exit code 1 when a page is stale

In: NAME.json and the marks of the pages. Out: the pages. A mark stands before what is made from it:

    <!-- run NAME -->                  model, time and versions, the layers that were chosen, the claims
    <!-- scores NAME EVALUATION,… METRIC,… -->     a table: variants down, metrics and data sets across;
                                       under them the steer's differences from the others with their p
    <!-- sweep NAME EVALUATION,… METRIC POINT,… -->  a table: points down, evaluations and data sets across
    <!-- variations NAME PATTERN,… -->  a table: figures of NAME.variations.json down, settings across (variations.py)
    <!-- picture NAME FILE -->         a picture, when it was kept
    <!-- end -->                       ends each of them

and behind a number in the text: `0.5<!-- NAME EVALUATION.METRIC.DATASET.VARIANT -->`, with `@POINT` for a
sweep, `.low`, `.high` or `.n` for the interval and the prompts, or `.OTHER.FIGURE` for a comparison
(`….steer.baseline.p_holm`); `8<!-- NAME EVALUATION.n.DATASET -->` for the prompts of a sweep;
`0.5<!-- NAME choices.SELECT.FIGURE@LAYER -->`, `0.5<!-- NAME growth.VECTOR.FIGURE@LAYER -->` (without the layer where
there is one figure for all), or `0.5<!-- NAME planes.PLANE.FIGURE -->`. The number keeps its digits.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from records import HERE, OUTDATED, ROOT, outdated, read

IMAGES = ROOT / "docs" / "images"
MISSING = "*Not run yet.*"
BLOCK = re.compile(r"(<!-- (run|scores|sweep|variations|picture) ([^>]*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)(<!-- ([\w.]+) (\w+(?:\.\w+){2,5})(?:@([^>]+?))? -->)")
LISTS = re.compile(r"\[[^\[\]{}]*\]")


def fill_pages() -> None:
    """Write every page anew."""
    for page in pages():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


def pages() -> list[Path]:
    return sorted(HERE.glob("*.md"))


def filled(text: str) -> str:
    """A page with its tables and numbers made from the records."""
    text = BLOCK.sub(lambda m: f"{m[1]}{MADE[m[2]](m[3].split())}\n{m[5]}", text)
    return NUMBER.sub(lambda m: _number(m[1], m[3], m[4], m[5]) + m[2], text)


def image(name: str, picture: str) -> Path:
    """Where a picture of a run is kept."""
    return IMAGES / f"{name.replace('.', '_')}_{Path(picture).name}"


def compact(text: str) -> str:
    """JSON whose innermost lists stand on one line."""
    return LISTS.sub(lambda m: re.sub(r"\s*\n\s*", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text)


def _run(words: Sequence[str]) -> str:
    (name,) = words
    record = read(name)
    if record is None:
        return MISSING
    versions = ", ".join(f"{key} {record['packages'][key]}" for key in ("nnsight", "torch", "transformers"))
    given = "; ".join(f"{key} = {value}" for key, value in record["params"].items())
    lines = [f"{record['model']}, {record['dtype']} on {record['device']}, {record['seconds']} s; {versions}."]
    if given:
        lines.append(f"Params: {given}.")
    if record["choices"]:
        chosen = (f"`{key}` {', '.join(map(str, value['chosen']))}" for key, value in record["choices"].items())
        lines.append(f"Layers chosen: {'; '.join(chosen)}.")
    if outdated(record):
        lines.append(OUTDATED)
    lines = ["  \n".join(lines)]
    if judge := record.get("judge"):
        lines[0] += f"  \nJudge: {judge['model']}, {judge['calls']} calls, {judge['refused']} without marks."
    if record["checks"]:
        lines += ["", *_row(["claim", "holds", "left", "right"]), *_row(["---"] * 4)]
        for check in record["checks"]:
            lines += _row(
                [f"`{check['claim']}`", _outcome(check["holds"]), _shown(check["left"]), _shown(check["right"])]
            )
    return "\n".join(lines)


def _outcome(holds: bool | None) -> str:
    return {True: "yes", False: "no", None: "not settled"}[holds]


def _scores(words: Sequence[str]) -> str:
    name, evaluations, metrics = words
    record = read(name)
    if record is None:
        return MISSING
    tables = [record["scores"][e] for e in evaluations.split(",")]
    columns = [(m, data) for m in metrics.split(",") for data in tables[0][m]]  # the first has every data set
    head = ["", *(f"{m}, {d} (n = {_prompts(tables[0], d)})" for m, d in columns)]
    lines = [*_row(head), *_row(["---"] * len(head))]
    seen: set[tuple[str, ...]] = set()
    for evaluation, table in zip(evaluations.split(","), tables, strict=True):
        for variant in next(table[m][d] for m, d in columns if d in table[m]):
            cells = tuple(_cell(table, m, d, variant) for m, d in columns)
            control = len(tables) > 1 and variant in ("random", "prompted")
            label = f"{variant}, beside `{evaluation}`" if control else variant
            if (variant, *cells) not in seen:
                seen.add((variant, *cells))
                lines += _row([label, *cells])
    return "\n".join([*lines, *(line for table in tables for line in _differences(table, columns))])


def _differences(table: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> list[str]:
    """A row for each variant that the steer was compared with: difference, interval, p."""
    metric, data = next((m, d) for m, d in columns if d in table[m])
    lines: list[str] = []
    for variant, figures in table[metric][data].items():
        for other in figures.get("against", ()):
            cells = [table[m].get(d, {}).get(variant, {}).get("against", {}).get(other) for m, d in columns]
            lines += _row([f"{variant} − {other}", *map(_difference, cells)])
    return lines


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None or found["difference"] is None:
        return ""
    words = [_shown(found["difference"])]
    if found["low"] is not None and found["low"] != found["high"]:
        words.append(f"[{_shown(found['low'])}, {_shown(found['high'])}]")
    return " ".join(words) + ("" if found["p_holm"] is None else f", {_p(found['p_holm'])}")


def _p(p: float) -> str:
    return "p < .001" if p < 0.001 else "p = 1" if p > 0.9995 else f"p = {p:.3f}".replace("0.", ".", 1)


def _prompts(table: Mapping[str, Any], data: str) -> int:
    count: int = max(found["n"] for by_data in table.values() if data in by_data for found in by_data[data].values())
    return count


def _cell(table: Mapping[str, Any], metric: str, data: str, variant: str) -> str:
    figures = table[metric].get(data, {}).get(variant)
    if figures is None or figures["mean"] is None:
        return ""
    every = _prompts(table, data)
    few = f" ({figures['n']} of {every} prompts)" if figures["n"] < every else ""
    if figures["low"] is None or figures["low"] == figures["high"]:
        return _shown(figures["mean"]) + few
    return f"{_shown(figures['mean'])} [{_shown(figures['low'])}, {_shown(figures['high'])}]{few}"


def _sweep(words: Sequence[str]) -> str:
    name, evaluations, metric, *points = words
    record = read(name)
    if record is None:
        return MISSING
    swept = {e: record["scores"][e] for e in evaluations.split(",")}
    base = next(iter(swept))  # whose baseline stands for all
    columns = [
        (score, data, variant)
        for e, score in swept.items()
        for data, by_variant in score["means"][metric].items()
        for variant in by_variant
        if variant != "baseline" or e == base
    ]
    wanted = points[0].split(",") if points else swept[base]["at"]
    head = ["", *(f"{v}, {d} (n = {s['n'][d]})" for s, d, v in columns)]
    lines = [*_row(head), *_row(["---"] * len(head))]
    for point in wanted:
        at = swept[base]["at"].index(point)
        lines += _row([point, *(_shown(s["means"][metric][d][v][at]) for s, d, v in columns)])
    return "\n".join(lines)


def _variations(words: Sequence[str]) -> str:
    name, patterns = words
    record = read(f"{name}.variations")
    return MISSING if record is None else variations_table(record, patterns.split(","))


def variations_table(record: Mapping[str, Any], only: Sequence[str] = ("*",)) -> str:
    """Figures down, settings across, and at the end the range of each; then the claims.

    A difference is called settled where its p is below .05: behind the range stands in how many settings it is,
    with one sign.
    """
    base, *others = record["settings"]
    heads = [_setting(base), *(_setting({k: v for k, v in s.items() if v != base[k]}) for s in others)]
    lines = [*_row(["", *heads, "range"]), *_row(["---"] * (len(heads) + 2))]
    for label, found in record["figures"].items():
        if any(fnmatchcase(label, pattern) for pattern in only):
            each = [{key: values[i] for key, values in found.items()} for i in range(len(heads))]
            cells = [
                _difference({**one, "difference": one["mean"]} if "p_holm" in one else _plain(one)) for one in each
            ]
            lines += _row([label, *cells, _range(found)])
    for claim, holds in record["claims"].items():
        words = [_outcome(h) for h in holds]
        lines += _row([f"`{claim}`", *words, f"holds in {words.count('yes')} of {len(words)}"])
    return "\n".join(lines)


def _setting(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())


def _plain(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {"difference": figures["mean"], "low": figures["low"], "high": figures["high"], "p_holm": None}


def _range(found: Mapping[str, Sequence[float | None]]) -> str:
    means = [x for x in found["mean"] if x is not None]
    if not means:
        return ""
    low, high = _shown(min(means)), _shown(max(means))
    said = low if low == high else f"{low} to {high}"
    if "p_holm" not in found:
        return f"{said}, n = {max(n for n in found['n'] if n is not None)}"
    pairs = [(x, p) for x, p in zip(found["mean"], found["p_holm"], strict=True) if x is not None and p is not None]
    if not pairs:
        return said
    settled = [x for x, p in pairs if p < 0.05]
    same = max(sum(x > 0 for x in settled), sum(x < 0 for x in settled))
    least, most = (_p(extreme(p for _, p in pairs)) for extreme in (min, max))
    between = least if least == most else f"{least} to {most.removeprefix('p = ')}"
    return f"{said}; {between}; settled in {same} of {len(found['mean'])}"


def _picture(words: Sequence[str]) -> str:
    name, file = words
    path = image(name, file)
    return f"![{file.partition('.')[0]} of {name}](../images/{path.name})" if path.exists() else MISSING


MADE = {"run": _run, "scores": _scores, "sweep": _sweep, "variations": _variations, "picture": _picture}


def _number(old: str, name: str, place: str, point: str | None) -> str:
    """The record's number, with as many digits behind the point as the page shows."""
    record = read(name)
    if record is None:
        return old
    match place.split("."), point:
        case ["choices", select, figure], str():
            choice = record["choices"][select]
            value = choice["figures"][figure][choice["layers"].index(int(point))]
        case ["growth", vector, figure], _:
            value = record["growth"][vector][figure]
            value = value if point is None else value[int(point)]
        case ["planes", plane, figure], None:
            value = record["planes"][plane][figure]
        case [evaluation, "n", data], None:
            value = record["scores"][evaluation]["n"][data]
        case [evaluation, metric, data, variant, other, figure], None:
            value = record["scores"][evaluation][metric][data][variant]["against"][other][figure]
        case [evaluation, metric, data, variant, figure], None:
            value = record["scores"][evaluation][metric][data][variant][figure]
        case [evaluation, metric, data, variant], str():
            score = record["scores"][evaluation]
            value = score["means"][metric][data][variant][score["at"].index(point)]
        case [evaluation, metric, data, variant], None:
            value = record["scores"][evaluation][metric][data][variant]["mean"]
        case _:
            raise SystemExit(f"no figure has the name {place}")
    return f"{value:.{len(old.partition('.')[2])}f}"


def _row(cells: Sequence[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def main(check: bool) -> int:
    if not check:
        fill_pages()
        return 0
    stale = [page.name for page in pages() if filled(text := page.read_text(encoding="utf-8")) != text]
    print("".join(f"{name} is stale: run python docs/gallery/figures.py\n" for name in stale), end="")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))

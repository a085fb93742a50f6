"""`steerdsl diff`: two runs compared: what went in, vectors, scores, answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from steerdsl.share.comparison import AnswerPair, Comparison, Part, ScorePair, VectorPair

DIFFERENT = 1
SHOWN = 1000  # differences of one kind that are printed


def diff(
    first: o.RunDirectory,
    second: o.RunDirectory,
    answers: Annotated[int, typer.Option(help="how many answers that differ are printed", min=0)] = 3,
    as_json: o.Json = False,
) -> None:
    """Compare two runs: settings and versions, the vectors' cosines, scores, answers side by side.

    Times and places on the disk are not compared. As of diff(1), the exit code is 0 when nothing differs,
    1 when something does, 2 when a directory cannot be read.

    \b
    Example:
      steerdsl diff runs/econ-20260301-101500 runs/econ-20260302-090000
    """
    from steerdsl.cli.packed import run_folder
    from steerdsl.share.comparison import compare_runs
    from steerdsl.store.finished import open_run

    found = compare_runs(open_run(run_folder(first)), open_run(run_folder(second)))
    if as_json:
        print(json.dumps(_json(found), indent=1, ensure_ascii=False))
    else:
        from steerdsl.show.terminal import Terminal

        console = Terminal(highlight=False)
        for part in _parts(found, (str(first), str(second)), answers):
            console.print(part)
    raise typer.Exit(0 if found.equal else DIFFERENT)


def _json(found: Comparison) -> dict[str, Any]:
    return {
        "equal": found.equal,
        "settings": [asdict(d) for d in found.settings],
        "vectors": [asdict(v) for v in found.vectors],
        "scores": [{**asdict(s), "difference": s.difference} for s in found.scores],
        "answers": {
            "equal": found.equal_answers,
            "different": [asdict(a) for a in found.answers],
            "only": dict(zip(("before", "after"), found.alone, strict=True)),
        },
    }


def _parts(found: Comparison, names: tuple[str, str], shown: int) -> Iterator[RenderableType]:
    """What differs, and in one line each what does not."""
    if found.settings:
        yield _settings(found, names)
    else:
        yield "settings, versions and machine: equal"
    if differing := [v for v in found.vectors if not v.equal]:
        yield _vectors(differing)
    if same := len(found.vectors) - len(differing):
        yield f"vectors: {same} equal"
    if changed := found.changed_scores:
        yield _scores(changed, names)
    if same := len(found.scores) - len(changed):
        yield f"scores: {same} equal"
    yield from _answers(found, names, shown)


def _settings(found: Comparison, names: tuple[str, str]) -> RenderableType:
    from rich.text import Text

    from steerdsl.cli.lock import shown

    table = _table("what went in", "", *names)
    for d in found.settings[:SHOWN]:
        table.add_row(*(Text(shown(value)) for value in (d.name, d.before, d.now)))
    return _and_more(table, len(found.settings))


def _and_more(table: Table, total: int) -> Table:
    """A table of the first `SHOWN` of `total` differences, which says how many there are beyond them."""
    if total > SHOWN:
        table.caption = f"and {total - SHOWN} more; --json has them all"
    return table


def _vectors(found: Sequence[VectorPair]) -> RenderableType:
    table = _table("vectors: cosines between the two runs", "", "smallest", "largest", "layers", "raw norms")
    for v in found[:SHOWN]:
        if v.missing:
            table.add_row(v.name, f"{v.missing} run has none")
        elif not v.cosines:
            table.add_row(v.name, "no layer in common")
        else:
            low, high = (end(v.cosines, key=lambda item: item[1]) for end in (min, max))
            ends = [f"{cosine:.6f} at layer {layer}" for layer, cosine in (low, high)]
            apart = "" if v.norms is None else f"up to {v.norms:.2g} apart"
            table.add_row(v.name, *ends, str(len({layer for layer, _ in v.cosines})), apart)
    return _and_more(table, len(found))


def _scores(found: Sequence[ScorePair], names: tuple[str, str]) -> RenderableType:
    table = _table("scores", "evaluation", "at", "metric", "data", "variant", *names, "difference")
    for s in found[:SHOWN]:
        table.add_row(*s.place, _number(s.before), _number(s.after), _number(s.difference, "+.4g"))
    return _and_more(table, len(found))


def _number(value: float | None, form: str = ".4g") -> str:
    return "–" if value is None else format(value, form)


def _answers(found: Comparison, names: tuple[str, str], shown: int) -> Iterator[RenderableType]:
    """How many are equal, then the first that differ, side by side."""
    from rich.text import Text

    from steerdsl.share.comparison import marked

    total = found.equal_answers + len(found.answers)
    yield f"answers: {found.equal_answers} of {total} equal" if total else "answers: none in common"
    yield from (f"answers: {n} only in {name}" for n, name in zip(found.alone, names, strict=True) if n)
    for pair in found.answers[:shown]:
        table = _table(_place(pair), *names)
        left, right = marked(pair.before, pair.after)
        table.add_row(_marked(left, "[-", "-]", "red"), _marked(right, "{+", "+}", "green"))
        yield Text(pair.prompt, style="bold")
        yield table
    if len(found.answers) > shown:
        yield f"{len(found.answers) - shown} more differ; --answers N prints more, --json all"


def _place(pair: AnswerPair) -> str:
    return ", ".join(part for part in pair.place if part)


def _marked(parts: Sequence[Part], before: str, after: str, colour: str) -> Text:
    """A text whose own words stand out, with and without colours."""
    from rich.text import Text

    out = Text()
    for words, own in parts:
        out.append(f"{before}{words}{after}" if own else words, style=colour if own else "")
    return out


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    return table

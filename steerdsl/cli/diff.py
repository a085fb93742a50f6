"""`steerdsl diff`: two runs compared: what went in, vectors, scores, answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.lang.diagnostics import Exit
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from steerdsl.share.comparison import AnswerPair, Comparison, Part, ScorePair, VectorPair
    from steerdsl.show.sheet import Sheet

SHOWN = 1000  # differences of one kind that are printed


def diff(
    first: o.RunDirectory,
    second: o.RunDirectory,
    answers: Annotated[int, typer.Option(help="how many differing answers to print", min=0)] = 3,
    as_json: o.Json = False,
) -> None:
    """Compare two runs: settings and versions, cosines of vectors, scores, answers side by side.

    Times and paths are not compared. As with diff(1), the exit code is 0 if nothing differs, 1 if
    something does, 2 if a directory could not be read.

    \b
    Example:
      steerdsl diff runs/econ-20260301-101500 runs/econ-20260302-090000
    """
    from steerdsl.share.comparison import compare_runs
    from steerdsl.share.pack_inputs import run_folder
    from steerdsl.store.finished_run import open_run

    found = compare_runs(open_run(run_folder(first)), open_run(run_folder(second)))
    if as_json:
        print(json_text(_json(found), indent=1))
    else:
        from steerdsl.show.terminal import Terminal

        console = Terminal()
        for part in _parts(found, (str(first), str(second)), answers):
            console.print(part)
    raise typer.Exit(Exit.OK if found.equal else Exit.CHANGED)


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


def _settings(found: Comparison, names: tuple[str, str]) -> Sheet:
    from steerdsl.cli.lock import shown

    rows = [tuple(map(shown, (d.name, d.before, d.now))) for d in found.settings]
    return _table("what went in", ("", *names), _first(rows), prose=(1, 2))


def _first(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The first `SHOWN` of many rows, and a last one that says how many more there are."""
    more = (
        [(f"and {len(rows) - SHOWN} more; --json has them all", *[""] * (len(rows[0]) - 1))]
        if len(rows) > SHOWN
        else []
    )
    return [*rows[:SHOWN], *more]


def _vectors(found: Sequence[VectorPair]) -> Sheet:
    rows: list[tuple[str, ...]] = []
    for v in found:
        if v.missing:
            rows.append((v.name, f"{v.missing} run has none", "", "", ""))
        elif not v.cosines:
            rows.append((v.name, "no layer in common", "", "", ""))
        else:
            low, high = (end(v.cosines, key=lambda item: item[1]) for end in (min, max))
            ends = [f"{cosine:.6f} at layer {layer}" for layer, cosine in (low, high)]
            apart = "" if v.norms is None else f"up to {v.norms:.2g} apart"
            rows.append((v.name, *ends, str(len({layer for layer, _ in v.cosines})), apart))
    return _table(
        "vectors: cosines between the two runs", ("", "smallest", "largest", "layers", "raw norms"), _first(rows)
    )


def _scores(found: Sequence[ScorePair], names: tuple[str, str]) -> Sheet:
    from steerdsl.show.numbers import apart, signed

    rows = [(", ".join(x for x in s.place if x), *apart(s.before, s.after), signed(s.difference)) for s in found]
    return _table("scores", ("", *names, "difference"), _first(rows), left=(0,))


def _answers(found: Comparison, names: tuple[str, str], shown: int) -> Iterator[RenderableType]:
    """How many are equal, then the first that differ, side by side."""
    from rich.text import Text

    from steerdsl.share.comparison import marked

    total = found.equal_answers + len(found.answers)
    yield f"answers: {found.equal_answers} of {total} equal" if total else "answers: none in common"
    yield from (f"answers: {n} only in {name}" for n, name in zip(found.alone, names, strict=True) if n)
    for pair in found.answers[:shown]:
        yield Text(pair.prompt, style="bold")
        yield Text(_place(pair), style="italic")
        sides = zip(names, marked(pair.before, pair.after), (("[-", "-]", "red"), ("{+", "+}", "green")), strict=True)
        for name, parts, looks in sides:
            yield Text.assemble((f"{name}: ", "bold"), _marked(parts, *looks))
        yield ""
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


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], **options: Any) -> Sheet:
    from steerdsl.show.sheet import Sheet

    return Sheet(head, rows, title, **{"left": range(len(head)), **options})

"""A sweep as a loop over its points, or point after point where words are swept over.

In: a planned sweep, and what writes steps. Out: lines. The body is written once for each point;
where these differ, they must differ in numbers alone, and each such number becomes a variable of
the loop. Words call other functions from point to point, so that their points stand one after another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from steerdsl.eject import literals
from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.planning.plan import PlanStep

NUMBER = re.compile(r"""(?<![\w."'])(-?\d[\d.]*(?:e[+-]?\d+)?)(?![\w"'])""")


def sweep(p: Program, planned: PlanStep, write: Callable[[Sequence[PlanStep]], list[str]]) -> list[str]:
    """The loop; refused where points differ in more than numbers."""
    step = planned.step
    assert isinstance(step, r.Sweep)
    p.features.add("swept")
    if step.words:
        return _unrolled(p, planned, step, write)
    p.indent, p.point = p.indent + 4, ("point",)
    bodies = [NUMBER.split("\n".join(write(steps))) for steps in planned.points]
    p.indent, p.point = p.indent - 4, ()
    if len({tuple(body[::2]) for body in bodies}) > 1:
        p.refuse(step.span, "`sweep` with points that differ in more than numbers")
        return []
    names: dict[tuple[str, ...], str] = {}  # what varies, a number for each point -> its variable
    body = ""
    for pieces in zip(*bodies, strict=True):
        same = len(set(pieces)) == 1
        body += pieces[0] if same else names.setdefault(pieces, _name(p, step, pieces, len(names)))
    labels = "point" if "point=point" in body else "_point"
    return [*_loop(p, step, labels, names), *body.strip("\n").splitlines()]


def _unrolled(
    p: Program, planned: PlanStep, step: r.Sweep, write: Callable[[Sequence[PlanStep]], list[str]]
) -> list[str]:
    """The body for each point, after a line that says which."""
    p.point = ("point",)
    lines: list[str] = []
    for point, steps in zip(step.points, planned.points, strict=True):
        body = write(steps)
        # Where nothing is kept at this point, nothing reads which one it is.
        mark = "" if any("point=point" in line or "print(point" in line for line in body) else "# "
        lines += [f"{' ' * p.indent}{mark}point = {_labels(point)}", *body]
    p.point = ()
    return lines


def _labels(point: r.Point) -> str:
    return f"{{{', '.join(f'{literals.text(k)}: {literals.text(v)}' for k, v in point.labels.items())}}}"


def _name(p: Program, step: r.Sweep, numbers: Sequence[str], count: int) -> str:
    """A variable for what varies: the axis's name where the numbers are its values."""
    for axis in step.axes:
        if [float(x) for x in numbers] == [point.values.get(axis) for point in step.points]:
            return p.variable(f"axis {axis}", axis)
    return p.variable(f"number {step.name} {count}", f"number_{count + 1}")


def _loop(p: Program, step: r.Sweep, variable: str, names: dict[tuple[str, ...], str]) -> list[str]:
    """The head of the loop: a row for each point, its labels (in `variable`) and what varies."""
    pad = " " * p.indent
    lines = [f"{pad}for {', '.join([variable, *names.values()])} in ("]
    for i, point in enumerate(step.points):
        row = [_labels(point), *(column[i] for column in names)]
        lines += literals.call("(", row, "),", p.indent + 4) if names else [f"{pad}    {row[0]},"]
    return [*lines, f"{pad}):"]

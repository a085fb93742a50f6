"""Compile several steers for the rows of one batch, each of which has its own, or none.

In: the steer of each row. Out: one list of touches. Steers that differ in numbers alone
(an angle, a strength) become one edit with a number for each row; all others act side by side,
each on its own rows, so that no row is computed for a steer that is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from steerdsl.engine.edits import Touch, by_rows
from steerdsl.engine.steer_compiler import Compiler, Order, in_order
from steerdsl.lang import recipe as r
from steerdsl.planning.keys import canonical
from steerdsl.planning.targets import passes
from steerdsl.registry import find
from steerdsl.store.results import content_key

if TYPE_CHECKING:
    from steerdsl.engine.values import Values
    from steerdsl.models.sites import Architecture

# Arguments of an operation that `prepare` takes one for each row.
NUMBERS = ("number", "share", "angle", "strength")


@dataclass(frozen=True, slots=True, eq=False)
class Acting:
    """A steer with the values that its names stand for. Steers of one `shape` differ in numbers alone;
    `control` is the seed of random directions, None for its own. `key` hashes all of it."""

    ops: tuple[r.Op, ...]
    values: Values
    control: int | None
    shape: str
    key: str


def acting(ops: tuple[r.Op, ...], values: Values, control: int | None, keys: Mapping[str, str]) -> Acting:
    """A steer as it acts now; `keys` are the content keys of what it names."""
    blank = [replace(op, args={**op.args, **dict.fromkeys(_numbers(op), "a number")}) for op in ops]
    shape, key = (content_key({"ops": canonical(each, keys), "control": control}) for each in (blank, list(ops)))
    return Acting(ops, values, control, shape, key)


def compile_rows(steers: Sequence[Acting | None], arch: Architecture) -> list[Touch]:
    """The touches of a batch, of whose rows each has its steer, or None. Those of one shape are together."""
    compiled: list[dict[Order, Touch]] = []
    rows: list[tuple[int, int]] = []
    start = 0
    for _, grouped in groupby(steers, key=lambda steer: steer and steer.shape):
        group = list(grouped)
        own = [steer for steer in group if steer is not None]
        if own:
            compiled.append(_compile(own, arch, f"{len(compiled)}."))
            rows.append((start, start + len(group)))
        start += len(group)
    if len(compiled) == 1 and rows == [(0, len(steers))]:
        return in_order(compiled[0])
    return in_order(_beside(compiled, rows))


def while_read(steer: Acting | None) -> str:
    """What a steer does while the prompt is read: of steers with one answer, and no steer, a prompt is read alike."""
    return "" if steer is None or all(passes(op)[0] for op in steer.ops) else steer.key


def _numbers(op: r.Op) -> list[str]:
    """The arguments of an operation that are given and may differ from row to row."""
    return [a.name for a in find("op", op.name).args if a.type in NUMBERS and op.args.get(a.name) is not None]


def _compile(group: Sequence[Acting], arch: Architecture, name: str) -> dict[Order, Touch]:
    """The touches of steers of one shape, one for each row, as if their rows were the whole batch."""
    compiler = Compiler(group[0].ops, arch, group[0].values, group[0].control, name)
    for number, ops in enumerate(zip(*(steer.ops for steer in group), strict=True)):
        args = dict(ops[0].args)
        for key in _numbers(ops[0]):
            found = [op.args[key] for op in ops]
            if any(value != found[0] for value in found):
                args[key] = found
        compiler.add(replace(ops[0], args=args), number)
    return compiler.touches()


def _beside(compiled: Sequence[Mapping[Order, Touch]], rows: Sequence[tuple[int, int]]) -> dict[Order, Touch]:
    """The touches of all groups as one; `rows` are the first row and one past the last of each."""
    found: dict[Order, Touch] = {}
    for order in {order for touches in compiled for order in touches}:
        here = [(at, touches[order]) for at, touches in zip(rows, compiled, strict=True) if order in touches]
        merged: dict[str, Any] = {name: here[0][1][name] for name in ("path", "side", "factor")}
        for name in ("edits", "late"):
            parts = [(*at, touch[name]) for at, touch in here if touch[name]]
            merged[name] = [by_rows(parts)] if parts else []
        for name in ("stash", "plus"):
            merged[name] = next((touch[name] for _, touch in here if touch[name] is not None), None)
        found[order] = merged
    return found

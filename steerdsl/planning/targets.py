"""Where an operation acts, and in which forward passes.

In: an operation, the table of sites, the layers that selections chose. Out: `Target`s in the order of the forward
pass, and the first and last pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from steerdsl.lang import recipe as r
from steerdsl.methods.errors import MethodError
from steerdsl.models.sites import Architecture
from steerdsl.planning.layers import resolve_layers
from steerdsl.registry import find


@dataclass(frozen=True, slots=True)
class Target:
    """One stream of one block, and the features of it that an operation sees (one head's, or all)."""

    stream: str
    layer: int
    part: tuple[int, int] | None = None


def targets(op: r.Op, arch: Architecture, chosen: Mapping[str, tuple[int, ...]]) -> list[Target]:
    """Where an operation acts, in the order of the forward pass."""
    if op.everywhere:
        return [Target(stream, layer) for stream, layer in arch.everywhere()]
    found = []
    for stream in op.streams:
        if stream.numbers:
            layer, head = stream.numbers
            columns = arch.head_slice(head, layer)
            found.append(Target(stream.name, layer, (columns.start, columns.stop)))
        else:
            found += [Target(stream.name, layer) for layer in resolve_layers(op.layers, arch.n_layers, chosen)]
    return sorted(found, key=lambda target: (target.layer, arch.rank(target.stream, target.layer)))


def passes(op: r.Op) -> tuple[int, int | None]:
    """The first forward pass in which an operation acts and one past the last (None: no end).

    Pass 0 is the prompt; pass k > 0 reads the k-th generated token. `first n` and `after n` count
    generated tokens, and `when step < n` counts passes. A patch puts a prompt's tokens in the place
    of a prompt's. Raises MethodError when no pass is left.
    """
    start, stop = {"all": (0, None), "prompt": (0, 1), "generation": (1, None)}[op.phase]
    prompt = "prompt" in find("op", op.name).needs
    ends = [stop, 1 if prompt else None]
    if op.first is not None:
        ends.append(op.first + 1)
    if op.after is not None:
        start = max(start, op.after + 1)
    for condition in op.conditions:
        if counts_steps(condition):
            bound = int(-(-condition.threshold // 1))  # the next whole pass
            match condition.op:
                case "<":
                    ends.append(bound)
                case "<=":
                    ends.append(int(condition.threshold // 1) + 1)
                case ">":
                    start = max(start, int(condition.threshold // 1) + 1)
                case ">=":
                    start = max(start, bound)
    known = [e for e in ends if e is not None]
    if known and min(known) <= start:
        reason = f"a {op.name} acts while the prompt is read" if prompt else "its clauses leave no token"
        raise MethodError(f"`{op.text or op.name}` never acts: {reason}", "change `during`, `first`, `after` or `when`")
    return start, (min(known) if known else None)


def counts_steps(condition: r.Condition) -> bool:
    """Whether a condition reads no activation, so that whole passes decide it."""
    return find("condition", condition.kind).operand == "nothing"

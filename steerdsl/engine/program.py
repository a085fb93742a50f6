"""Turn a steer into touches: the edits of each site, in the order in which the sites run.

In: a steer's operations, the values that they name, the table of sites. Out: `wire.Touch`es.
Operations on one site act in text order; sites act in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from steerdsl.engine.wire import Edit, Touch, make_edit, make_gate, make_memory_gate, make_probe
from steerdsl.lang import recipe as r
from steerdsl.methods import layers as by_layer
from steerdsl.methods.control import rotated
from steerdsl.methods.finite import require_tensors
from steerdsl.methods.ops import ablate
from steerdsl.methods.ops.patch import align
from steerdsl.methods.types import MethodError, Operand, Plane, Vector
from steerdsl.plan.layers import layer_number, resolve_layers
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.values import Values
    from steerdsl.models.sites import Architecture, Site

# The order in which a block's modules run; resid_mid is written with what attention adds.
RANK = {
    "resid_pre": 0,
    "attn_norm_out": 1,
    "head": 2,
    "attn_out": 3,
    "resid_mid": 3,
    "mlp_norm_out": 4,
    "mlp_out": 5,
    "resid_post": 6,
}


SMALLER_STEP = "take a smaller strength: edits are computed in float32, which ends at 3.4e38"

# A touch's place in the forward pass: layer, rank, module and side.
Order = tuple[int, int, str, str]


@dataclass(frozen=True, slots=True)
class Place:
    """One stream of one block, and the features of it that an operation sees (one head's, or all)."""

    stream: str
    layer: int
    part: tuple[int, int] | None = None


def places(op: r.Op, arch: Architecture, chosen: dict[str, tuple[int, ...]]) -> list[Place]:
    """Where an operation acts, in the order of the forward pass."""
    if op.everywhere:
        return [Place(stream, layer) for stream, layer in arch.everywhere()]
    found = []
    for stream in op.streams:
        if stream.name == "head":
            layer, head = stream.numbers
            columns = arch.head_slice(head)
            found.append(Place("head", layer, (columns.start, columns.stop)))
        else:
            found += [Place(stream.name, layer) for layer in resolve_layers(op.layers, arch.n_layers, chosen)]
    return sorted(found, key=lambda p: (p.layer, RANK[p.stream]))


def passes(op: r.Op) -> tuple[int, int | None]:
    """The first forward pass in which an operation acts and one past the last (None: no end).

    Pass 0 is the prompt; pass k > 0 reads the k-th generated token. `first n` and `after n` count
    generated tokens, and `when step < n` counts passes. A patch puts a prompt's tokens in the place
    of a prompt's. Raises MethodError when no pass is left.
    """
    start, stop = {"all": (0, None), "prompt": (0, 1), "generation": (1, None)}[op.phase]
    ends = [stop, 1 if op.name == "patch" else None]
    if op.first is not None:
        ends.append(op.first + 1)
    if op.after is not None:
        start = max(start, op.after + 1)
    for condition in op.conditions:
        if condition.kind == "step":
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
        reason = "a patch acts while the prompt is read" if op.name == "patch" else "its clauses leave no token"
        raise MethodError(f"`{op.text or op.name}` never acts: {reason}", "change `during`, `first`, `after` or `when`")
    return start, (min(known) if known else None)


class Compiler:
    """Builds the touches of one steer, whose operations are `ops`. With `control`, a seed, they act with random
    directions, and conditions read what they always read. `name` tells its conditions from those of other steers
    that act in the same pass."""

    def __init__(
        self, ops: Sequence[r.Op], arch: Architecture, values: Values, control: int | None = None, name: str = ""
    ) -> None:
        self.arch, self.values, self.name = arch, values, name
        self._edits: dict[tuple[str, int], list[Edit]] = {}
        self._controls: list[tuple[Any, Any]] = []  # each operand once, and what acts in its place
        if control is not None:
            first: list[r.Op] = []
            for op in ops:
                if op.operand is not None and all(op.operand != other.operand for other in first):
                    first.append(op)
            made = rotated([values.operand(op) for op in first], control)
            self._controls = [(op.operand, value) for op, value in zip(first, made, strict=True)]

    def add(self, op: r.Op, number: int) -> None:
        """Add one operation, after those added before it. Its numbers may be lists, one for each row."""
        entry = find("op", op.name)
        prepare = import_module(entry.run.__module__).prepare
        value = self.values.operand(op)
        acting = next((made for operand, made in self._controls if operand == op.operand), value)
        decided = self._decided(op, number, value)
        for place in places(op, self.arch, self.values.chosen):
            operand = self.operand(op, acting, place)
            params = prepare(operand, op.args)
            require_tensors(f"`{op.text or op.name}` (layer {place.layer}, {place.stream})", params, SMALLER_STEP)
            edit = make_edit(
                entry.run,
                params,
                passes(op),
                [*self._gates(op, place, value), *decided],
                op.keep_norm,
                place.part,
                _aligner(op) if op.name == "patch" else None,
            )
            self._at(place.layer, place.stream).append(edit)

    def _at(self, layer: int, stream: str) -> list[Edit]:
        return self._edits.setdefault((stream, layer), [])

    def operand(self, op: r.Op, value: Vector | Plane | dict[Place, Tensor] | None, place: Place) -> Operand:
        """What an operation acts with at one place. Raises MethodError when it cannot act there."""
        if isinstance(value, Plane):
            return Operand(plane=value)
        if isinstance(value, dict):
            return Operand(rows=value[place])
        assert value is not None
        found = by_layer.operand(value, place.layer)
        self._require_width(value, place.stream)
        toward = op.args.get("toward")
        return found if toward is None else replace(found, mean=by_layer.class_mean(value, toward.data, place.layer))

    def _require_width(self, vector: Vector, stream: str) -> None:
        has, width = vector.directions.unit.shape[-1], self.arch.width(stream)
        if has != width:
            raise MethodError(
                f"`{vector.name}` has {has} numbers and `{stream}` has {width}",
                f"extract it on {stream}, or act on a stream of its width",
            )

    def _gates(self, op: r.Op, place: Place, value: Any) -> Iterator[Any]:
        """The conditions that are read token by token where the operation acts."""
        for condition in op.conditions:
            if condition.kind == "step" or condition.layer is not None:
                continue
            direction = self._direction(condition, place.layer, place.stream, value)
            yield make_gate(find("condition", condition.kind).run, direction, condition.op, condition.threshold)

    def _decided(self, op: r.Op, number: int, value: Any) -> list[Any]:
        """The conditions that are decided once, at a layer of their own: after the operations before
        this one have acted there, and before this one does."""
        gates = []
        for i, condition in enumerate(op.conditions):
            if condition.layer is None:
                continue
            layer, key = self._layer(condition.layer), f"{self.name}{number}.{i}"
            read = value if condition.vector is None else self.values.vector(condition.vector)
            stream = read.stream if isinstance(read, Vector) else "resid_post"
            if stream == "head":
                raise MethodError(
                    f"a condition at layer {layer} reads a whole stream, and `{read.name}` is of one head",
                    "leave out `at layer` to read it at the head where the operation acts",
                )
            figure = find("condition", condition.kind).run
            direction = self._direction(condition, layer, stream, value)
            self._at(layer, stream).append(make_probe(figure, direction, condition.op, condition.threshold, key))
            gates.append(make_memory_gate(key))
        return gates

    def _direction(self, condition: r.Condition, layer: int, stream: str, value: Any) -> Tensor:
        """The unit direction [d] that a condition reads; without a vector, the operation's own."""
        if condition.vector is None and isinstance(value, Plane):
            return value.b1
        vector = value if condition.vector is None else self.values.vector(condition.vector)
        if not isinstance(vector, Vector):
            raise MethodError(f"`{condition.kind}` has no direction to read", f"name one: `{condition.kind}(topic)`")
        direction = by_layer.read_direction(vector, layer)
        self._require_width(vector, stream)
        return direction

    def _layer(self, layer: r.LayerPoint | r.LayerChoice) -> int:
        if isinstance(layer, r.LayerChoice):
            return self.values.chosen[layer.select][0]
        return layer_number(layer, self.arch.n_layers)

    def touches(self) -> dict[Order, Touch]:
        """Every touch by its place in the order in which the modules run."""
        return touches(self._edits, self.arch)


def touches(edits: Mapping[tuple[str, int], Sequence[Edit]], arch: Architecture) -> dict[Order, Touch]:
    """The touches of the edits of each stream and layer, by their places in the order in which modules run."""
    found: dict[Order, Touch] = {}

    def at(layer: int, rank: int, site: Site) -> Touch:
        return found.setdefault((layer, rank, site.module, site.side), _touch(site, []))

    for (stream, layer), own in edits.items():
        site = arch.write(stream, layer)
        touch = at(layer, RANK[stream], site)
        if site.onto is None:
            touch["edits"] += own
            continue
        touch["late"] += own
        touch["plus"] = f"{site.onto.module}.{site.onto.side}"
        at(layer, RANK["resid_pre"], site.onto)["stash"] = touch["plus"]
    return found


def _aligner(op: r.Op) -> Callable[[Tensor, int], Tensor]:
    return partial(align, how=op.args.get("align", "end"))


def compile_steer(ops: Sequence[r.Op], arch: Architecture, values: Values, control: int | None = None) -> list[Touch]:
    """The touches of a steer, or of its random control; no operation, no touch."""
    compiler = Compiler(ops, arch, values, control)
    for number, op in enumerate(ops):
        compiler.add(op, number)
    return in_order(compiler.touches())


def in_order(found: Mapping[Order, Touch]) -> list[Touch]:
    """Touches in the order in which their modules run."""
    return [found[key] for key in sorted(found)]


def ablation_touches(arch: Architecture, q: Tensor) -> list[Touch]:
    """Touches that remove the rows q [L, k, d] of each layer (the first layer's at the embeddings)
    from every write to the residual stream; layers without a row are left alone."""
    found = []
    for stream, layer in arch.everywhere():
        unit = q[layer]
        if not bool(unit.any()):
            continue
        edit = make_edit(ablate.run, ablate.prepare(Operand(unit=unit), {}), (0, None), (), False, None)
        found.append(_touch(arch.write(stream, layer), [edit]))
    return found


def addition_touches(arch: Architecture, stream: str, layer: int, vector: Tensor) -> list[Touch]:
    """Touches that add a raw vector [d] to one stream of one layer."""
    edit = make_edit(_add, {"step": vector}, (0, None), (), False, None)
    site = arch.write(stream, layer)
    if site.onto is None:
        return [_touch(site, [edit])]
    held = f"{site.onto.module}.{site.onto.side}"
    return [{**_touch(site.onto, []), "stash": held}, {**_touch(site, []), "plus": held, "late": [edit]}]


def _add(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    return h + p["step"]


def _touch(site: Site, edits: list[Edit]) -> Touch:
    blank: dict[str, Any] = {"stash": None, "plus": None, "late": []}
    return {"path": site.module, "side": site.side, "edits": edits, **blank}

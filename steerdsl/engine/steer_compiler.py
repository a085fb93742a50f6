"""Turn a steer into touches: the edits of each site, in the order in which the sites run.

In: a steer's operations, the values that they name, the table of sites. Out: `edits.Touch`es.
Operations on one site act in text order; sites act in the order of the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from steerdsl.engine.edits import Edit, Touch, make_edit, make_gate, make_memory_gate, make_probe
from steerdsl.lang import recipe as r
from steerdsl.methods import layers as by_layer
from steerdsl.methods.control import rotated
from steerdsl.methods.finite import require_tensors
from steerdsl.methods.ops import ablate
from steerdsl.methods.ops.patch import align
from steerdsl.methods.types import MethodError, Operand, Plane, Vector
from steerdsl.planning.layers import layer_number
from steerdsl.planning.targets import Target, counts_steps, passes, targets
from steerdsl.registry import find

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.values import Values
    from steerdsl.models.sites import Architecture, Site

SMALLER_STEP = "take a smaller strength: edits are computed in float32, which ends at 3.4e38"

# A touch's place in the forward pass: layer, rank, module and side.
Order = tuple[int, int, str, str]


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
        value = self.values.operand(op)
        acting = next((made for operand, made in self._controls if operand == op.operand), value)
        decided = self._decided(op, number, value)
        for target in targets(op, self.arch, self.values.chosen):
            operand = self.operand(op, acting, target)
            params = entry.prepare(operand, op.args)
            require_tensors(f"`{op.text or op.name}` (layer {target.layer}, {target.stream})", params, SMALLER_STEP)
            edit = make_edit(
                entry.run,
                params,
                passes(op),
                [*self._gates(op, target, value), *decided],
                op.keep_norm,
                target.part,
                _aligner(op) if "prompt" in entry.needs else None,
            )
            self._at(target.layer, target.stream).append(edit)

    def _at(self, layer: int, stream: str) -> list[Edit]:
        return self._edits.setdefault((stream, layer), [])

    def operand(self, op: r.Op, value: Vector | Plane | dict[Target, Tensor] | None, target: Target) -> Operand:
        """What an operation acts with at one target. Raises MethodError when it cannot act there."""
        if isinstance(value, Plane):
            return Operand(plane=value)
        if isinstance(value, dict):
            return Operand(rows=value[target])
        assert value is not None
        found = self.values.measured(op, by_layer.operand(value, target.layer), target)
        self._require_width(value, target.stream)
        by_layer.require_stated(value, op.name, target.stream)
        toward = op.args.get("toward")
        return found if toward is None else replace(found, mean=by_layer.class_mean(value, toward.data, target.layer))

    def _require_width(self, vector: Vector, stream: str) -> None:
        has, width = vector.directions.unit.shape[-1], self.arch.width(stream)
        if has != width:
            raise MethodError(
                f"`{vector.name}` has {has} numbers and `{stream}` has {width}",
                f"extract it on {stream}, or act on a stream of its width",
            )

    def _gates(self, op: r.Op, target: Target, value: Any) -> Iterator[Any]:
        """The conditions that are read token by token where the operation acts."""
        for condition in op.conditions:
            if counts_steps(condition) or condition.layer is not None:
                continue
            direction = self._direction(condition, target.layer, target.stream, value)
            yield make_gate(find("condition", condition.kind).run, direction, condition.op, condition.threshold)

    def _decided(self, op: r.Op, number: int, value: Any) -> list[Any]:
        """The conditions that are decided once, at a layer that they name: after the operations before
        this one have acted there, and before this one does."""
        gates = []
        for i, condition in enumerate(op.conditions):
            if condition.layer is None:
                continue
            layer, key = self._layer(condition.layer), f"{self.name}{number}.{i}"
            read = value if condition.vector is None else self.values.vector(condition.vector)
            stream = read.stream if isinstance(read, Vector) else "resid_post"
            if find("stream", stream).args:
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
        touch = at(layer, arch.rank(stream, layer), site)
        if site.onto is None:
            touch["edits"] += own
            continue
        touch["late"] += own
        touch["plus"] = f"{site.onto.module}.{site.onto.side}"
        at(layer, arch.rank("resid_pre", layer), site.onto)["stash"] = touch["plus"]
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
    return {"path": site.module, "side": site.side, "factor": site.factor, "edits": edits, **blank}

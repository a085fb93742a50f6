"""A steer as a function that gives its edits.

In: the operations of a steer. Out: the source of `steer_NAME`, with a comment and a loop for each
operation; edits of one place act in the order of the text, as they do in the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from steerdsl.eject import literals, vectors
from steerdsl.eject.program import STEERS, Program
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.planning.layers import layer_number
from steerdsl.planning.targets import passes
from steerdsl.registry import find


def steer(p: Program, step: r.Steer) -> list[str]:
    """Lines that give the program the edits of a steer: a call of a function that is made for it,
    or, in a sweep, whose points have different edits, the body of that function."""
    p.imports.add(("collections", "defaultdict"))
    pad, target = " " * p.indent, f"steers[{literals.text(step.name)}]"
    made = f"{p.use('in_order')}({p.use('touches')}(edits, ARCH))"
    if p.point:
        return [*_body(p, step, pad), f"{pad}{target} = {made}"]
    name = p.variable(f"steer {step.name}", f"steer_{step.name}")
    mentioned = dict.fromkeys(name for op in step.ops for name in _mentioned(op))
    typed = {p.variable(name): _type(p, name) for name in mentioned} | _statistics(p, step)
    if any(_patches(op) for op in step.ops):
        p.imports.add(("typing", "Any"))
        typed = {"model": "Any", "tokenizer": "Any", **typed}
    head = literals.call(f"def {name}(", [f"{a}: {kind}" for a, kind in typed.items()], f") -> list[{p.use('Touch')}]:")
    doc = f'    """The edits of the steer `{step.name}`."""'
    p.make(STEERS, name, "\n".join([*head, doc, *_body(p, step, "    "), f"    return {made}"]))
    return literals.call(f"{target} = {name}(", typed, indent=p.indent)


def _body(p: Program, step: r.Steer, pad: str) -> Iterator[str]:
    """The lines that make the edits."""
    yield f"{pad}edits: {p.use('Edits')} = defaultdict(list)"
    for number, op in enumerate(step.ops, 1):
        yield from literals.comment(f"{number}. {op.text or op.name}", len(pad))
        yield from _operation(p, op, number, pad)


def _statistics(p: Program, step: r.Steer) -> dict[str, str]:
    """The statistics of classes that planes of a steer are made of, and their type."""
    planes = [op.operand for op in step.ops if isinstance(op.operand, r.PlaneExpr)]
    bases = [vectors.first_name(plane.first) for plane in planes if plane.candidates == "samples"]
    return {vectors.statistics(p, name, side): p.use("Activations") for name in bases for side in vectors.SIDES}


def _mentioned(op: r.Op) -> Iterator[str]:
    for part in (op.operand, op.layers, *op.conditions):
        yield from vectors.mentioned(part)


def _type(p: Program, name: str) -> str:
    """The Python type of a name of the recipe."""
    match p.named(name):
        case r.Select():
            return "list[int]"
        case r.Bind(value=r.PlaneExpr()):
            return p.use("Plane")
    return p.use("Vector")


def _operation(p: Program, op: r.Op, number: int, outer: str) -> Iterator[str]:
    """The lines that add one operation's edits."""
    if isinstance(by := op.args.get("by"), r.Strength) and by.unit in ("sd", "dose"):
        p.refuse(op.span, f"a strength in `{by.unit}`")
    yield from _before(p, op, outer)
    decided = list(_decided(p, op, number, outer))
    yield from (line for lines, _ in decided for line in lines)
    gates = [gate for _, gate in decided]
    for loop, place, options in _places(p, op):
        yield from (outer + line for line in loop)
        pad = outer + "    " * len(loop)
        if _patches(op):
            yield from _source(p, op, place, len(pad))
        items = [_operand(p, op), _arguments(p, op)]
        yield from literals.call(f"tensors = {p.prepare(op.name)}(", items, indent=len(pad))
        own = [*_gates(p, op), *gates]
        if own:
            yield from literals.call("gates = [", own, "]", indent=len(pad))
        settings = [*_passes(p, op), *(["gates=gates"] if own else []), *(["keep=True"] if op.keep_norm else [])]
        if _patches(op):
            p.imports.add(("functools", "partial"))
            settings.append(f"align=partial({p.use('align')}, how={literals.text(op.args.get('align', 'end'))})")
        items = [p.entry("op", op.name), "tensors", *settings, *options]
        yield from literals.call(f"acting = {p.use('edit')}(", items, indent=len(pad))
        yield f"{pad}edits[{place}].append(acting)"


def _before(p: Program, op: r.Op, pad: str) -> Iterator[str]:
    """What is made once for every layer: a plane, or a vector that has no name."""
    match op.operand:
        case r.PlaneExpr():
            yield from vectors.plane(p, op.operand, "plane", len(pad))
        case r.VectorRef(layers=None) | r.PlaneRef() | None:
            pass
        case expr:
            yield f"{pad}several = {vectors.vector(p, expr)}"


def _named(p: Program, op: r.Op) -> str:
    """The variable that holds an operation's vector or plane."""
    match op.operand:
        case r.VectorRef(name=name, layers=None) | r.PlaneRef(name=name):
            return p.variable(name)
        case r.PlaneExpr():
            return "plane"
    return "several"


def _operand(p: Program, op: r.Op) -> str:
    """What an operation acts with at one place."""
    if _patches(op):
        return f"{p.use('Operand')}(rows=source.rows[:, 0])"
    if isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
        return f"{p.use('Operand')}(plane={_named(p, op)})"
    mean = op.args.get("toward")
    name = _named(p, op)
    toward = "" if mean is None else f", {p.use('class_mean')}({name}, {literals.text(mean.data)}, layer)"
    return f"{p.use('operand')}({name}, layer{toward})"


def _source(p: Program, op: r.Op, place: str, indent: int) -> Iterator[str]:
    """The lines that read another prompt's activations at one place."""
    p.features.add("rows")
    stream = place.rpartition(", ")[0]
    prompt = f"[{p.use('render')}(tokenizer, {literals.text(str(op.args['from']))})]"
    items = ["model", prompt, p.entry("position", "all"), stream, "[layer]"]
    if stream == '"head"':
        p.features.add("heads")
        items.append("part=slice(*part)")
    yield from literals.call(f"source = {p.use('capture')}(", [*items, "rows=True"], indent=indent)


def _places(p: Program, op: r.Op) -> Iterator[tuple[list[str], str, list[str]]]:
    """Where an operation acts: the loops over places, the key of an edit, and the edit's options."""
    if op.everywhere:
        p.streams.update(("resid_pre", "attn_out", "mlp_out"))
        yield ["for stream, layer in ARCH.everywhere():"], "stream, layer", []
        return
    p.streams.update(s.name for s in op.streams)
    whole = [s.name for s in op.streams if not s.numbers]
    loop = f"for layer in {vectors.layers(p, op.layers)}:"
    if len(whole) == 1:
        yield [loop], f'"{whole[0]}", layer', []
    elif whole:
        yield [f"for stream in {literals.literal(tuple(whole))}:", f"    {loop}"], "stream, layer", []
    for layer, head in (s.numbers for s in op.streams if s.numbers):
        columns = p.plan.model.arch.head_slice(head, layer)
        part = f"({columns.start}, {columns.stop})"
        yield [f"for layer, part in [({layer}, {part})]:"], '"head", layer', ["part=part"]


def _arguments(p: Program, op: r.Op) -> str:
    """An operation's own settings, as what makes its tensors takes them."""
    given = []
    for name, value in op.args.items():
        argument = find("op", op.name).arg(name)
        default = argument is not None and value == argument.default and not p.point
        if value is None or value is False or default or _patches(op):
            continue
        given.append(f"{literals.text(name)}: {_value(p, value)}")
    return f"{{{', '.join(given)}}}"


def _value(p: Program, value: Any) -> str:
    match value:
        case r.Strength(value=number, unit=unit):
            return f"{p.use('Strength')}({literals.literal(number)}, {literals.text(unit)})"
        case r.Mean(data=data):
            return literals.text(data)
    return literals.literal(value)


def _gates(p: Program, op: r.Op) -> Iterator[str]:
    """The conditions that are read token by token, where the operation acts."""
    for c in op.conditions:
        if c.layer is None and find("condition", c.kind).operand == "vector":
            yield f"{p.use('make_gate')}({', '.join(_condition(p, op, c, 'layer'))})"


def _decided(p: Program, op: r.Op, number: int, pad: str) -> Iterator[tuple[list[str], str]]:
    """The conditions that are decided once, at a layer that they name: lines that put a probe there, and the gate
    that asks it."""
    for i, c in enumerate(op.conditions):
        if c.layer is None:
            continue
        key = literals.text(f"{number}.{i}")
        if isinstance(c.layer, r.LayerChoice):
            layer = f"{p.variable(c.layer.select)}[0]"
        else:
            layer = str(layer_number(c.layer, p.plan.model.arch.n_layers))
        read = _named(p, op) if c.vector is None else vectors.vector(p, c.vector)
        plane = c.vector is None and isinstance(op.operand, r.PlaneExpr | r.PlaneRef)
        stream = '"resid_post"' if plane else f"{read}.stream"
        p.streams.add("resid_post")
        items = [*_condition(p, op, c, layer), key]
        lines = literals.call(f"watch = {p.use('make_probe')}(", items, indent=len(pad))
        yield [*lines, f"{pad}edits[{stream}, {layer}].append(watch)"], f"{p.use('make_memory_gate')}({key})"


def _condition(p: Program, op: r.Op, c: r.Condition, layer: str) -> list[str]:
    """The figure, the direction that it reads, the comparison and its threshold."""
    if c.vector is None and isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
        direction = f"{_named(p, op)}.b1"
    else:
        read = _named(p, op) if c.vector is None else vectors.vector(p, c.vector)
        direction = f"{p.use('read_direction')}({read}, {layer})"
    return [p.entry("condition", c.kind), direction, literals.text(c.op), literals.literal(c.threshold)]


def _passes(p: Program, op: r.Op) -> list[str]:
    """The forward passes in which an operation acts, where these are not all."""
    try:
        first, stop = passes(op)
    except MethodError as error:
        label = Label(p.plan.source, op.span, "")
        raise RecipeError([Diagnostic(error.code, error.problem, (label,), help=error.way_out)], Exit.FAILED) from error
    return [] if (first, stop) == (0, None) else [f"steps=({first}, {stop})"]


def _patches(op: r.Op) -> bool:
    """Whether an operation takes its activations from a prompt."""
    return "prompt" in find("op", op.name).needs

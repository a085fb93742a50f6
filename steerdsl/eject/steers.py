"""A steer as a function that makes its edits.

In: the operations of a steer. Out: the source of `steer_NAME`, with a comment and a loop for each
operation; edits of one place act in the order of the text, as they do in the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.eject import literals, source, vectors
from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError
from steerdsl.methods.types import MethodError
from steerdsl.planning import formatting
from steerdsl.planning.targets import passes

EVERYWHERE = """\
# Every write to the residual stream: the embeddings as they enter the first block, then
# what each attention and each MLP adds.
EVERYWHERE = [
    ("resid_pre", 0),
    *((stream, i) for i in range(N_LAYERS) for stream in ("attn_out", "mlp_out")),
]"""
COMPARE = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}


def steer(p: Program, step: r.Steer) -> list[str]:
    """Lines that give the program the edits of a steer: a call of a function that is made for it,
    or, in a sweep, whose points have edits of their own, the body of that function."""
    p.imports.add(("collections", "defaultdict"))
    pad, target = " " * p.indent, f"steers[{literals.text(step.name)}]"
    if p.point:
        return [*_body(p, step, pad), f"{pad}{target} = edits"]
    name = f"steer_{step.name}"
    arguments = dict.fromkeys(name for op in step.ops for name in _mentioned(op))
    annotated = [f"{p.variable(a)}: {_type(p, a)}" for a in arguments]
    head = literals.call(f"def {name}(", annotated, f") -> {p.use('Edits')}:")
    lines = [*head, f'    """The edits of the steer `{step.name}`."""', *_body(p, step, "    "), "    return edits"]
    p.make("The steers", name, "\n".join(lines))
    return literals.call(f"{target} = {name}(", [p.variable(a) for a in arguments], indent=p.indent)


def _body(p: Program, step: r.Steer, pad: str) -> Iterator[str]:
    """The lines that make the edits."""
    yield f"{pad}edits: Edits = defaultdict(list)"
    for number, op in enumerate(step.ops, 1):
        yield from literals.comment(f"{number}. {op.text or op.name}", len(pad))
        yield from _operation(p, op, pad)


def _mentioned(op: r.Op) -> Iterator[str]:
    for part in (op.operand, op.layers, *op.conditions):
        yield from vectors.mentioned(part)


def _type(p: Program, name: str) -> str:
    """The Python type of a name of the recipe."""
    match p.named(name):
        case r.Select():
            return "list[int]"
        case r.Bind(value=r.PlaneExpr()):
            p.imports.add(("torch", "Tensor"))
            return "Tensor"
    return p.use("Vector")


def _operation(p: Program, op: r.Op, outer: str) -> Iterator[str]:
    """The lines that add one operation's edits."""
    function = f"{op.name}_tensors"
    if function not in source.names("tensors"):
        p.refuse(op.span, f"`{op.name}`")
        return
    yield from _before(p, op, outer)
    for loop, place, options in _places(p, op):
        yield from (outer + line for line in loop)
        pad = outer + "    " * len(loop)
        items = [_operand(p, op)]
        if not isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
            raw = ["norm"] if op.name == "add" else ["norm=norm"] if op.args.get("alpha") else []
            yield f"{pad}unit, {'norm' if raw else '_'} = {items[0]}.at(layer)"
            items = ["unit", *raw]
        items += _arguments(p, op)
        yield from literals.call(f"tensors = {p.use(function)}(", items, indent=len(pad))
        yield from _gates(p, op, pad)
        settings = [*_passes(p, op), *options, *_clauses(p, op)]
        yield from literals.call(f"act = {p.use('edit')}(", [p.use(op.name), "tensors", *settings], indent=len(pad))
        yield f"{pad}edits[{place}].append(act)"


def _before(p: Program, op: r.Op, pad: str) -> Iterator[str]:
    """What is made once for every layer: a plane, or a vector that has no name."""
    match op.operand:
        case r.PlaneExpr():
            yield from vectors.plane(p, op.operand, "plane", len(pad))
        case r.VectorRef(layers=None) | r.PlaneRef() | None:
            pass
        case expr:
            yield f"{pad}several = {vectors.vector(p, expr)}"


def _operand(p: Program, op: r.Op) -> str:
    """The variable that holds an operation's vector or plane."""
    match op.operand:
        case r.VectorRef(name=name, layers=None) | r.PlaneRef(name=name):
            return p.variable(name)
        case r.PlaneExpr():
            return "plane"
    return "several"


def _places(p: Program, op: r.Op) -> Iterator[tuple[list[str], str, list[str]]]:
    """Where an operation acts: the loops over places, the key of an edit, and the edit's options."""
    if op.everywhere:
        p.make("The steers", "EVERYWHERE", EVERYWHERE)
        p.streams.update(("resid_pre", "attn_out", "mlp_out"))
        yield [f"for stream, layer in {p.use('EVERYWHERE')}:"], "stream, layer", []
        return
    p.streams.update(s.name for s in op.streams)
    whole = [s.name for s in op.streams if not s.numbers]
    loop = f"for layer in {vectors.layers(p, op.layers)}:"
    if len(whole) == 1:
        yield [loop], f'"{whole[0]}", layer', []
    elif whole:
        yield [f"for stream in {literals.literal(tuple(whole))}:", f"    {loop}"], "stream, layer", []
    for layer, head in (s.numbers for s in op.streams if s.numbers):
        p.features.add("heads")
        columns = p.plan.model.arch.head_slice(head)
        options = [f"columns=slice({columns.start}, {columns.stop})"]
        yield [f"for layer in ({layer},):"], '"head", layer', options


def _arguments(p: Program, op: r.Op) -> Iterator[str]:
    """An operation's own settings as keyword arguments."""
    for name, value in op.args.items():
        match value:
            case None | False:
                continue
            case r.Strength(unit="share", value=number) if op.name == "add":
                name, value = "share", number
            case r.Strength(value=number) if op.name == "add":
                name, value = "times", number
            case r.Strength(value=number):
                value = number
            case r.Mean():
                p.features.add("ablate_toward")
                yield f"toward={_mean(p, op, value)}"
                continue
        if op.name == "ablate" and value == {"by": 1.0, "alpha": 0.0}.get(name):
            continue
        p.features.add(f"{op.name}_{name}")
        yield f"{name}={literals.literal(value)}"


def _mean(p: Program, op: r.Op, mean: r.Mean) -> str:
    """The class mean at the layer of the loop."""
    reference = op.operand
    made = p.named(reference.name) if isinstance(reference, r.VectorRef) else None
    if not isinstance(reference, r.VectorRef) or not isinstance(made, r.Extract) or made.positive is None:
        p.refuse(op.span, "`toward` for a vector that is not extracted in the recipe")
        return "None"
    ref = made.positive
    spelled = ref.name if ref.side is None else f"{ref.name}.{ref.side}"
    side = "positive" if mean.data == spelled else "negative"
    return f"{p.use('class_mean')}({p.variable(reference.name)}, {literals.text(side)}, layer)"


def _gates(p: Program, op: r.Op, pad: str) -> Iterator[str]:
    """The conditions that are read token by token, where the operation acts."""
    found = []
    for c in op.conditions:
        if c.kind == "step":
            continue
        if c.layer is not None:
            p.refuse(op.span, f"`when {formatting.when(c).partition(',')[0]}`")
            continue
        p.features.add("when")
        p.imports.add(("operator", ""))
        if c.vector is None and isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
            direction = f"{_operand(p, op)}[0]"
        else:
            read = _operand(p, op) if c.vector is None else vectors.vector(p, c.vector)
            direction = f"{read}.one(layer)"
        items = [p.use(c.kind), direction, f"operator.{COMPARE[c.op]}", literals.literal(c.threshold)]
        found.append(f"{p.use('condition')}({', '.join(items)})")
    if found:
        yield from literals.call("when = [", found, "]", indent=len(pad))


def _passes(p: Program, op: r.Op) -> list[str]:
    """The forward passes in which an operation acts, where these are not all."""
    try:
        first, stop = passes(op)
    except MethodError as error:
        label = Label(p.plan.source, op.span, "")
        raise RecipeError([Diagnostic(error.code, error.problem, (label,), help=error.way_out)], Exit.FAILED) from error
    if (first, stop) == (0, None):
        return []
    p.features.add("window")
    return ([f"first={first}"] if first else []) + ([] if stop is None else [f"stop={stop}"])


def _clauses(p: Program, op: r.Op) -> list[str]:
    """The clauses that hold for every operation."""
    items = ["when=when"] if any(c.kind != "step" for c in op.conditions) else []
    if op.keep_norm:
        p.features.add("keep_norm")
        p.use("keep_norm")
        items.append("keep=True")
    return items

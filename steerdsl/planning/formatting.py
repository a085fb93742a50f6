"""Settings in the words of the language, for the plan and the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.registry import Entry, find

ONCE = "decided once for each row, when the prompt has passed that layer; before, nothing happens"
LISTED = 6  # items of a long list that are printed


def percent(share: float) -> str:
    return f"{share * 100:g}%"


def count(n: int, noun: str) -> str:
    """`1 prompt`, `75 prompts`."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def numbers(layers: Sequence[int]) -> str:
    """Layer numbers, runs of equal steps folded: `0..29`, `8..22 step 2`, `6, 16, 22`."""
    parts: list[str] = []
    i = 0
    while i < len(layers):
        j = i + 1
        step = layers[j] - layers[i] if j < len(layers) else 1
        while j + 1 < len(layers) and layers[j + 1] - layers[j] == step:
            j += 1
        if j < len(layers) and j - i >= 2:
            parts.append(f"{layers[i]}..{layers[j]}" + (f" step {step}" if step != 1 else ""))
            i = j + 1
        else:
            parts.append(str(layers[i]))
            i += 1
    return ", ".join(parts)


def point(p: r.LayerPoint) -> str:
    return percent(p.value) if p.share else f"{int(p.value)}"


def layers(spec: r.Layers) -> str:
    """A layer spec as written: `6,16,22`, `25%..75%`, `all`, `best`."""
    items = []
    for item in spec.items:
        match item:
            case r.LayerChoice(select):
                items.append(select)
            case r.LayerRange(start, stop, step):
                items.append(f"{point(start)}..{point(stop)}" + (f" step {step}" if step != 1 else ""))
            case r.LayerPoint():
                items.append(point(item))
    return ",".join(items) or "all"


def vector(expr: r.VectorExpr) -> str:
    """A vector expression as written."""
    match expr:
        case r.VectorRef(name=name, layers=spec):
            return name if spec is None else f"{name}[{layers(spec)}]"
        case r.VectorSum(terms=terms):
            text = ""
            for c, term in terms:
                sign = " - " if c < 0 else " + " if text else ""
                factor = "" if abs(c) == 1 else f"{abs(c):g} * "
                text += f"{sign}{factor}{vector(term)}"
            return text.strip()
        case r.Orthogonal(vector=v, against=u):
            return f"orthogonalize {vector(v)} against {vector(u)}"


def meaning(expr: r.VectorExpr) -> str:
    """Which directions a vector expression stands for, said in full."""
    if isinstance(expr, r.VectorRef) and expr.layers is None:
        return f"{expr.name}: each layer's own direction where it acts"
    if isinstance(expr, r.VectorRef) and expr.layers is not None:
        return f"{vector(expr)}: the directions of layers {layers(expr.layers)}, the same wherever it acts"
    return vector(expr)


def plane(expr: r.PlaneExpr | r.PlaneRef) -> str:
    """A plane, its two axes and its candidates, said in full."""
    if isinstance(expr, r.PlaneRef):
        return expr.name
    first = vector(expr.first) + (f"[{expr.first_layer.select}]" if expr.first_layer else "")
    second = expr.second if isinstance(expr.second, str) else vector(expr.second)
    text = f"plane({first}, {second})"
    if isinstance(expr.second, str):
        text += f", {expr.rows} candidates from layers {layers(expr.layers)}"
        text += ", one for each sample" if expr.candidates == "samples" else ""
    return text


def value(x: Any) -> str:
    """An option's value."""
    match x:
        case r.Strength(value=v, unit="share"):
            return f"{percent(v)} of each token's norm"
        case r.Strength(value=v, unit="raw"):
            return f"{v:g} raw vectors"
        case r.Strength(value=v, unit="sd"):
            return f"{v:g} standard deviations of the training projections on the direction"
        case r.Strength(value=v, unit="dose"):
            return f"{percent(v)} of the mean norm of the training tokens"
        case r.Strength(value=v):
            return f"{v:g}"
        case r.Mean(data=name):
            return f"mean({name})"
        case r.VectorRef() | r.VectorSum() | r.Orthogonal():
            return vector(x)
        case bool():
            return "yes" if x else "no"
        case (float(low), float(high)):
            return f"{low:g} to {high:g}"
        case float():
            return f"{x:g}"
        case list() | tuple():
            more = f" and {len(x) - LISTED} more" if len(x) > LISTED else ""
            return ", ".join(value(i) for i in x[:LISTED]) + more
        case r.DataRef():
            return data(x)
        case _:
            return str(x)


def data(ref: r.DataRef) -> str:
    """`econ.held_out`, `caa.train (positive)`."""
    return f"{ref.name}.{ref.split}" + (f" ({ref.side})" if ref.side else "")


def arguments(entry: Entry, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """An entry's arguments as printed pairs with their units, defaults filled in; those that are
    nothing (None, off, 0 where 0 is the default) are left out."""
    for arg in entry.args:
        found = given.get(arg.name, None if arg.required else arg.default)
        if found is None or found is False or (found == 0 and arg.default == 0 and arg.name != "seed"):
            continue
        yield arg.name.replace("_", " "), measure(found, arg.type)


def measure(x: Any, kind: str) -> str:
    """A value with the unit that its type implies."""
    if kind == "share" and isinstance(x, int | float):
        return percent(x)
    return f"{x:g}deg" if kind == "angle" and isinstance(x, int | float) else value(x)


def position(p: r.Position) -> str:
    return p.name if p.number is None else f"{p.name} {p.number}"


def stream(s: r.Stream) -> str:
    return s.name if not s.numbers else f"{s.name}({', '.join(map(str, s.numbers))})"


def when(condition: r.Condition) -> str:
    """A condition as written."""
    if find("condition", condition.kind).operand == "nothing":
        return f"{condition.kind} {condition.op} {condition.threshold:g}"
    of = vector(condition.vector) if condition.vector is not None else "b1"
    text = f"{condition.kind}({of}) {condition.op} {condition.threshold:g}"
    match condition.layer:
        case r.LayerChoice(select):
            return f"{text} at layer {select}, {ONCE}"
        case r.LayerPoint():
            return f"{text} at layer {point(condition.layer)}, {ONCE}"
    return f"{text}, token by token"


def phase(op: r.Op) -> str:
    """When in a generation an operation acts. The first token is made by the pass over the prompt."""
    text = {
        "all": "prompt and generated tokens",
        "prompt": "prompt only",
        "generation": "generated tokens only (the first is made before there are any)",
    }
    window = f", first {op.first} generated" if op.first is not None else ""
    window += f", after generated token {op.after}" if op.after is not None else ""
    return text[op.phase] + window

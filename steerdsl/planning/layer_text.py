"""Where a plan's steps act: layers, streams, planes and files, in words, with their errors.

In: recipe values and what the planning knows. Out: lines for the plan; errors go to the planning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steerdsl.data import files
from steerdsl.data.faults import Fault
from steerdsl.forms.record import CHOICE
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.source import Span
from steerdsl.models.sites import Architecture
from steerdsl.planning import formatting, scales
from steerdsl.planning.layers import LayerOutside, between, choices, outside, resolve_layers
from steerdsl.planning.planning import Planning
from steerdsl.planning.samples import Sample
from steerdsl.planning.targets import targets
from steerdsl.registry import find
from steerdsl.store.results import file_sha256


def layer_numbers(p: Planning, spec: r.Layers) -> str:
    """The layers of a spec as numbers; what a selection has yet to choose stays a name."""
    waits = [name for name in choices(spec) if name not in p.chosen]
    if waits:
        return f"{formatting.layers(spec)} (chosen by `{'`, `'.join(waits)}` when it runs)"
    numbers = _resolved(p, spec)
    if numbers is None:
        return ""
    rounded = (
        f" ({formatting.layers(spec)}, to the nearest layer, halves up)" if between(spec, p.facts.arch.n_layers) else ""
    )
    return formatting.numbers(numbers) + rounded


def _resolved(p: Planning, spec: r.Layers) -> tuple[int, ...] | None:
    if any(name not in p.chosen for name in choices(spec)):
        return None
    try:
        return resolve_layers(spec, p.facts.arch.n_layers, p.chosen)
    except LayerOutside as error:
        p.errors += outside(p.source, spec, error.number, p.facts.arch.n_layers, p.facts.located.id).diagnostics
        return None


def extraction_layers(p: Planning, s: r.Extract) -> str:
    """Every layer of the stream that is captured, in one pass that stops after the last."""
    if "file" in find("extract", s.method).needs:
        return "the layer that the file names"
    last = p.facts.arch.n_layers - 1
    if not _has_stream(p, s.stream, s.span, range(last + 1)):
        return ""
    if s.stream.numbers:
        return str(s.stream.numbers[0])
    return f"0..{last}" + (", in one forward pass that stops after the last" if s.positive else "")


def _has_stream(p: Planning, stream: r.Stream, span: Span, layers: Iterable[int] = ()) -> bool:
    """Report a stream, layer or head that this model lacks, or that one of `layers` does."""
    arch = p.facts.arch
    try:
        own = [layer for layer in layers if 0 <= layer < arch.n_layers and layer in arch.lacking(stream.name)]
        layer = stream.numbers[0] if stream.numbers else (own or [_first_with(arch, stream.name)])[0]
        if not 0 <= layer < arch.n_layers:
            p.errors += outside(p.source, r.Layers(span=span), layer, arch.n_layers, p.facts.located.id).diagnostics
            return False
        arch.read(stream.name, layer)
        if stream.numbers:
            arch.head_slice(stream.numbers[1], layer)
    except RecipeError as error:
        for d in error.diagnostics:
            p.errors.append(Diagnostic(d.code, d.title, (Label(p.source, span),), d.notes, d.help))
        return False
    return True


def _first_with(arch: Architecture, stream: str) -> int:
    """The first layer that has a stream, or the first of all."""
    lacking = arch.lacking(stream)
    return next((layer for layer in range(arch.n_layers) if layer not in lacking), 0)


def joined(p: Planning, answers: Sequence[Sample]) -> list[tuple[str, str]]:
    """How prompts are joined with the answers that the data give, where they do."""
    renderer = p.renderer if answers else None
    return [("joined", f"{renderer.joining()} between a prompt and its answer")] if renderer else []


def op_lines(p: Planning, op: r.Op) -> list[str]:
    """What one operation does, where and when; the first line is the operation as written."""
    lines = [op.text or op.name]
    if isinstance(op.operand, r.PlaneExpr | r.PlaneRef):
        lines.append(f"plane: {formatting.plane(op.operand)}; one plane everywhere")
    elif op.operand is not None:
        lines.append(formatting.meaning(op.operand))
    shown = ", ".join(f"{k} {v}" for k, v in formatting.arguments(find("op", op.name), op.args))
    if shown:
        lines.append(shown)
    lines += scales.lines(p, op)
    lines.append(f"at {_where(p, op)}, {formatting.phase(op)}")
    lines += [f"when {formatting.when(c)}" for c in op.conditions]
    if op.keep_norm:
        lines.append("each token keeps its norm")
    if isinstance(op.operand, r.VectorRef | r.VectorSum | r.Orthogonal):
        _check_index(p, op.operand)
    return lines


def _check_index(p: Planning, expr: r.VectorExpr) -> None:
    match expr:
        case r.VectorRef(layers=layers) if layers is not None:
            _resolved(p, layers)
        case r.VectorSum(terms=terms):
            for _, term in terms:
                _check_index(p, term)
        case r.Orthogonal(vector=v, against=u):
            _check_index(p, v)
            _check_index(p, u)


def _where(p: Planning, op: r.Op) -> str:
    if op.everywhere:
        arch, n = p.facts.arch, p.facts.arch.n_layers
        usual = len(arch.kinds) == 1 and arch.kinds[0].writes == ("attn_out", "mlp_out")
        written = "attn_out and mlp_out" if usual else "what each module adds"
        return f"every write to the residual stream (embeddings, {written} of layers 0..{n - 1})"
    known = len(p.errors)
    layers = _resolved(p, op.layers) or () if any(not s.numbers for s in op.streams) else ()
    streams = [s for s in op.streams if _has_stream(p, s, op.span, layers)]
    if len(p.errors) > known:
        return ""
    text = ", ".join(formatting.stream(s) for s in streams)
    return text if all(s.numbers for s in streams) else f"{text} of layers {layer_numbers(p, op.layers)}"


def _sites(p: Planning, op: r.Op) -> set[tuple[str, int]] | None:
    """The (stream, layer) pairs where an operation acts; None while a selection has yet to run."""
    if any(name not in p.chosen for name in choices(op.layers)):
        return None
    return {(target.stream, target.layer) for target in targets(op, p.facts.arch, p.chosen)}


def overlaps(p: Planning, ops: Sequence[r.Op]) -> str:
    """Which operations meet at one site, where they act in the order of their numbers."""
    if p.errors:
        return ""
    found = []
    where = [_sites(p, op) for op in ops]
    for i, a in enumerate(where):
        for j in range(i + 1, len(where)):
            b = where[j]
            if a is None or b is None or a & b:
                found.append(f"{i + 1} before {j + 1}")
    return f"at the sites that they share, {', '.join(found)}: the order changes the result" if found else ""


def plane_facts(expr: r.PlaneExpr) -> list[tuple[str, str]]:
    """The axes of a plane and the rules that fix it."""
    second = expr.second if isinstance(expr.second, str) else formatting.vector(expr.second)
    first = formatting.vector(expr.first) + (f"[{expr.first_layer.select}]" if expr.first_layer else "")
    facts = [("b1", f"{first}, unit"), ("b2", f"{second}, made orthogonal to b1")]
    if isinstance(expr.second, str):
        what = "one for each sample" if expr.candidates == "samples" else "the per-layer directions"
        facts.append(("candidates", f"{what} of layers {formatting.layers(expr.layers)}, as {expr.rows} vectors"))
        facts.append(("sign", "a principal component is positive toward the mean of the later half of the candidates"))
    return facts


def recall_choice(p: Planning, name: str, key: str | None) -> None:
    """Remember what a selection chose in an earlier run, so that the plan can print layer numbers."""
    known = None if key is None or p.store is None else p.store.load(key, read_choice)
    if known is not None:
        p.chosen[name] = tuple(known["chosen"])


def read_choice(folder: Path) -> dict[str, Any]:
    """What a selection left in the store."""
    found: dict[str, Any] = read_json(folder / "choice.json", CHOICE, within=folder)
    return found


def file_hash(p: Planning, path: str, span: Span) -> str | None:
    """The SHA-256 of a file that a step reads; by the rules of data files, nothing outside the
    recipe's folder. None after a message."""
    found = files.find(path, p.root, p.allow)
    if isinstance(found, Fault):
        p.error(found.code, found.title, span, help=found.help)
        return None
    return file_sha256(found)

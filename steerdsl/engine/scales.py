"""The lengths that an addition is measured in: read on the training prompts of what is added.

In: a vector expression and where it is added. Out: a `Scale`. The spread is that of the activations from which the
direction was made, at its own layer, stream and position; the norms are those of the tokens of the same prompts, where
it is added. Both come from the store where it has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.class_vectors import PCS
from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class, reading_layers, token_norms
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.doses import Scale, in_all_units, in_columns, pooled_sd
from steerdsl.methods.ops.add import along
from steerdsl.methods.types import MethodError, Operand, Vector
from steerdsl.planning import formatting
from steerdsl.planning.classes import VECTORS, measured, spread_wanted
from steerdsl.planning.layers import resolve_layers
from steerdsl.planning.samples import class_samples, reads_answers
from steerdsl.planning.scales import read_scales, scales_key, stream_of
from steerdsl.planning.targets import Target, targets
from steerdsl.registry import find
from steerdsl.store.files import write_json

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.methods.types import Activations

# An extraction and the layer that its direction is of: None where each layer has its own.
Origin = tuple[r.Extract, int | None]
SEVERAL = "directions of several layers have no spread in common"
TOO_LARGE = "the training activations are too large to be kept for their spread alone"
NO_PROMPTS = "no training prompts of `{}` are known"


def scale(run: Run, expr: r.VectorExpr, target: Target) -> Scale:
    """The lengths of one vector at one target; those that there are not are None."""
    return scales(run, expr, stream_of(target))[target.layer]


def scales(run: Run, expr: r.VectorExpr, stream: r.Stream) -> dict[int, Scale]:
    """The lengths of one vector at each layer where it has a direction and the model has the stream."""
    key = scales_key(run.keys, run.plan.model_key, expr, stream, measured(run.plan))
    if key not in run.scales:
        found = run.store.load(key, read_scales)
        if found is None:
            found = _measure(run, expr, stream)
            lines = [{"layer": layer, **asdict(one)} for layer, one in found.items()]

            def write(fresh: Path) -> None:
                write_json(fresh / "scales.json", lines)

            run.store.put(key, {"kind": "scales"}, write)
        run.scales[key] = found
    return run.scales[key]


def stated(run: Run, steer: r.Steer) -> Iterator[dict[str, Any]]:
    """How much each addition of a steer adds, in all units, layer by layer, as the record keeps it."""
    for op in steer.ops:
        expr, by = op.operand, op.args.get("by")
        if not isinstance(expr, VECTORS) or find("op", op.name).effect != "adds" or not isinstance(by, r.Strength):
            continue
        places: dict[r.Stream, list[int]] = {}
        for target in targets(op, run.plan.model.arch, run.values.chosen):
            places.setdefault(stream_of(target), []).append(target.layer)
        for stream, layers in places.items():
            found = [scales(run, expr, stream)[layer] for layer in layers]
            yield {
                "steer": steer.name,
                "operation": op.text or op.name,
                "stream": formatting.stream(stream),
                "layers": layers,
                **in_columns([in_all_units(by, scale) for scale in found]),
                "why": "; ".join(dict.fromkeys(scale.why for scale in found if scale.why)),
                "at": dict(run.point),
            }


def _measure(run: Run, expr: r.VectorExpr, stream: r.Stream) -> dict[int, Scale]:
    vector = run.values.vector(expr)
    spread, norms = measured(run.plan)
    why: list[str] = []
    try:
        origins = list(_origins(run, expr))
    except MethodError as error:
        origins, why = [], [error.problem]
    own = _spreads(run, vector, origins, why) if spread and origins else {}
    tokens = _tokens(run, origins, stream, why) if norms and origins else {}
    arch, found = run.plan.model.arch, {}
    layers = [stream.numbers[0]] if stream.numbers else vector.layers.tolist()
    for layer in layers:
        if layer in arch.lacking(stream.name) or layer not in vector.layers.tolist():
            continue
        row = vector.layers.tolist().index(layer)
        raw = vector.directions.raw_norm[row].double() @ vector.directions.unit[row].double()
        norm, inverse = tokens.get(layer, (None, None))
        inverse = inverse if inverse is not None and math.isfinite(inverse) else None
        found[layer] = Scale(float(raw.norm()), own.get(layer), norm, inverse, "; ".join(dict.fromkeys(why)))
    return found


def _origins(run: Run, expr: r.VectorExpr, layer: int | None = None) -> Iterator[Origin]:
    """The extractions that a vector was made of. Raises MethodError for one without prompts, and for directions of
    several layers."""
    match expr:
        case r.VectorSum(terms=terms):
            for _, term in terms:
                yield from _origins(run, term, layer)
        case r.Orthogonal(vector=v, against=u):
            yield from _origins(run, v, layer)
            if not _components(run, u):
                yield from _origins(run, u, layer)
        case r.VectorRef(name=name, layers=chosen):
            if chosen is not None:
                numbers = resolve_layers(chosen, run.plan.model.arch.n_layers, run.values.chosen)
                if len(numbers) > 1:
                    raise MethodError(SEVERAL, "name one")
                layer = numbers[0]
            if name in run.values.made_of:
                yield from _origins(run, run.values.made_of[name], layer)
                return
            step = run.extractions[name].step if name in run.extractions else None
            if isinstance(step, r.Extract) and step.positive is not None:
                yield step, layer
            elif isinstance(step, r.Extract) and "like" in step.options:
                yield from ((one, layer) for one, _ in _origins(run, step.options["like"]))
            else:
                raise MethodError(NO_PROMPTS.format(name), "measure it otherwise")


def _components(run: Run, expr: r.VectorExpr) -> bool:
    """Whether a vector is the components of neutral text, which are taken out of a direction and add nothing to it."""
    return isinstance(expr, r.VectorRef) and run.values.vectors[expr.name].meta.get("method") == PCS


def _classes(run: Run, origins: list[Origin]) -> Iterator[tuple[r.Extract, r.DataRef, int | None]]:
    """Each class once, however many extractions read it in the same way."""
    seen = set()
    for step, layer in origins:
        for ref in (step.positive, step.negative):
            key = None if ref is None else (ref.name, ref.split, ref.side, step.position, step.stream, layer)
            if ref is not None and key not in seen:
                seen.add(key)
                yield step, ref, layer


def _spreads(run: Run, vector: Vector, origins: list[Origin], why: list[str]) -> dict[int, float | None]:
    """The standard deviation of the projections on each layer's direction, where it can be told."""
    streams = {step.stream for step, _ in origins}
    if len({layer for _, layer in origins}) > 1:
        why.append(SEVERAL)
        return {}
    if {stream.name for stream in streams} != {vector.stream} or len(streams) > 1:
        why.append("the prompts were read on another stream than the direction is of")
        return {}
    try:
        read = []
        for step, ref, fixed in _classes(run, origins):
            found = class_samples(run.plan.data, step, ref, run.plan.source)
            if not spread_wanted(run.plan, step, ref, len(found)):
                why.append(TOO_LARGE)
                return {}
            own = reading_layers(run, step)
            read.append((own, capture_class(run, step, ref, own, True), fixed))
    except (MethodError, RecipeError) as error:
        why.append(_said(error))
        return {}
    spreads: dict[int, float | None] = {}
    for row, layer in enumerate(vector.layers.tolist()):
        acting = Operand(vector.directions.unit[row], vector.directions.raw_norm[row])
        if not bool(acting.unit is not None and acting.unit.any()):
            continue
        classes = [_rows(a, own.index(layer if fixed is None else fixed)) for own, a, fixed in read]
        spreads[layer] = pooled_sd(classes, along(acting))
        if spreads[layer] is None:
            why.append("a spread needs two prompts of a class")
    return spreads


def _rows(found: Activations, place: int) -> Tensor:
    assert found.rows is not None
    return found.rows[:, place]


def _tokens(run: Run, origins: list[Origin], stream: r.Stream, why: list[str]) -> dict[int, tuple[float, float]]:
    """At each layer the means of the stream's norm and of 1 / norm, over the tokens of all training prompts."""
    parts: dict[int, list[tuple[int, float, float]]] = {}
    try:
        texts: dict[Any, tuple[r.Extract, r.DataRef]] = {}
        for step, ref, _ in _classes(run, origins):
            texts.setdefault((ref.name, ref.split, ref.side, reads_answers(step)), (step, ref))
        for step, ref in texts.values():
            layers, found = token_norms(run, step, ref, stream)
            assert found.mean_inverse_norm is not None
            for i, layer in enumerate(layers):
                one = (found.n, float(found.mean[i, 0]), float(found.mean_inverse_norm[i]))
                parts.setdefault(layer, []).append(one)
    except (MethodError, RecipeError) as error:
        why.append(_said(error))
        return {}
    return {layer: _mean(own) for layer, own in parts.items()}


def _mean(parts: list[tuple[int, float, float]]) -> tuple[float, float]:
    """Two means of parts of a whole, each with its size."""
    total = sum(n for n, _, _ in parts)
    return sum(n * x for n, x, _ in parts) / total, sum(n * y for n, _, y in parts) / total


def _said(error: MethodError | RecipeError) -> str:
    return error.problem if isinstance(error, MethodError) else error.diagnostics[0].title

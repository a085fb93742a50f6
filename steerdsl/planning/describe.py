"""One step of a plan from one step of a recipe: its facts, its key, and why it will run.

In: a recipe step and what the planning knows. Out: a `PlanStep`; errors go to the planning.
One function for each kind of step, in `DESCRIBE`; those of answers are in `describe_answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from steerdsl.formats import control_vector, layer_matrix, table
from steerdsl.lang import recipe as r
from steerdsl.lang.lower.sweeps import MOST_POINTS
from steerdsl.methods.types import MethodError
from steerdsl.planning import class_sets, describe_answers, exports, formatting, layer_text, power, searches
from steerdsl.planning.keys import step_key
from steerdsl.planning.layers import LayerOutside
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.planning import Planning
from steerdsl.planning.samples import OWN, RESPONSE_TOKENS, Sample, class_samples, reads_answers
from steerdsl.registry import find

Facts = list[tuple[str, str]]
SHOWN = 8  # titles of other points that a plan lists


def describe(planning: Planning, step: r.Step, number: int) -> PlanStep:
    """The plan of one step, and what later steps need to know of it."""
    verb, title, facts, key, weights, *more = DESCRIBE[type(step)](planning, step)
    name = getattr(step, "name", "")
    if name:
        planning.named[name] = step
    if name and key is not None:
        planning.keys[name] = key
    done, reason = _status(planning, key, weights)
    planned = PlanStep(number, verb, name, title, tuple(facts), step, key, weights, done, reason)
    return replace(planned, **more[0]) if more else planned


# verb, title, facts, key, whether it needs weights (and further fields of the planned step)
Described = tuple[Any, ...]


def _status(planning: Planning, key: str | None, weights: bool) -> tuple[bool, str]:
    """Whether the result is in the store, and the reason to run or not."""
    if not weights:
        return False, "needs no model"
    if key is None:
        if planning.facts.located.complete:
            return False, "will run, unless the store has it: the weights are hashed when they are first read"
        return False, "will run: the model's weights are not on this machine yet"
    if planning.store is not None and planning.store.has(key):
        return True, "done: the store has it"
    return False, "will run: the store has no result for this model, data and settings"


def _extract(p: Planning, s: r.Extract) -> Described:
    entry = find("extract", s.method)
    facts: Facts = [("method", f"{s.method}: {entry.summary}")]
    inputs: dict[str, str] = {}
    answers: list[Sample] = []
    own: list[Sample] = []  # prompts that the model answers itself
    for side, ref in (("positive", s.positive), ("negative", s.negative)):
        if ref is None:
            continue
        found = class_samples(p.data, s, ref, p.source)
        p.fitted.add(s.name, found, first=side == "positive")
        answers += [sample for sample in found if sample.response is not None and sample.tokens is None]
        own += [] if p.data[ref.name].spec.questions else [sample for sample in found if sample.response is None]
        inputs[side] = p.input_key(ref, found)
        facts.append((side, f"{p.many(ref, found)} of {formatting.data(ref)} ({ref.reason})"))
        p.keys.setdefault(f"data {ref.name}", inputs[side])
    facts += layer_text.joined(p, answers)
    if own and reads_answers(s):
        told = f"the model's own to {formatting.count(len(own), 'prompt')}: one each, no steering, "
        facts.append(("answers", f"{told}at most {RESPONSE_TOKENS} tokens, greedy"))
    facts += [("position", formatting.position(s.position)), ("stream", formatting.stream(s.stream))]
    facts.append(("layers", layer_text.extraction_layers(p, s)))
    facts += formatting.arguments(entry, s.options)
    facts.append(("arithmetic", "statistics in float64, directions kept as float32 unit vectors with their raw norm"))
    digest = layer_text.file_hash(p, s.options["file"], s.span) if "file" in s.options else None
    title = f"extract {s.method}" + (f" from {s.positive.name}" if s.positive else "")
    if s.negative and s.positive and s.negative.name != s.positive.name:
        title += f" vs {s.negative.name}"
    key = p.step_key(
        f"extract {s.method}",
        entry.version,
        inputs=inputs,
        position=s.position,
        stream=s.stream,
        options=s.options,
        file=digest,
        **({"answers": OWN} if reads_answers(s) else {}),
    )
    return "extract", title, facts, key, True


def _bind(p: Planning, s: r.Bind) -> Described:
    if isinstance(s.value, r.PlaneExpr):
        facts = layer_text.plane_facts(s.value)
        title = formatting.plane(s.value)
    else:
        facts, title = [("meaning", formatting.meaning(s.value))], formatting.vector(s.value)
    return "bind", title, facts, step_key("bind", 1, p.keys, value=s.value), False


def _select(p: Planning, s: r.Select) -> Described:
    entry = find("select", s.criterion)
    facts: Facts = [("criterion", f"{s.criterion}: {entry.summary}")]
    candidates = layer_text.layer_numbers(p, s.layers)
    facts.append(("candidates", f"layers {candidates}"))
    facts += formatting.arguments(entry, s.options)
    facts.append(("data", "the training prompts of " + s.vector))
    key = p.step_key(
        f"select {s.criterion}",
        entry.version,
        vector=r.VectorRef(s.vector),
        layers=s.layers,
        keep=s.keep,
        options=s.options,
    )
    layer_text.recall_choice(p, s.name, key)
    if s.name in p.chosen:
        facts.append(("chosen", "layers " + ", ".join(map(str, p.chosen[s.name]))))
    title = f"select {formatting.count(s.keep, 'layer')} of {s.vector} by {s.criterion}"
    return "select", title, facts, key, True


def _steer(p: Planning, s: r.Steer) -> Described:
    facts: Facts = []
    for number, op in enumerate(s.ops, 1):
        facts += [(f"{number}" if not i else "", line) for i, line in enumerate(layer_text.op_lines(p, op))]
    overlap = layer_text.overlaps(p, s.ops)
    if overlap:
        facts.append(("order", overlap))
    key = step_key("steer", 1, p.keys, ops=s.ops, entries=[find("op", op.name).version for op in s.ops])
    return "steer", formatting.count(len(s.ops), "operation"), facts, key, False


def _sweep(p: Planning, s: r.Sweep) -> Described:
    facts: Facts = [("points", str(len(s.points)))]
    for axis in s.axes:
        labels = list(dict.fromkeys(point.labels[axis] for point in s.points))
        shown = ", ".join(labels) if len(labels) <= 8 else f"{', '.join(labels[:3])} … {labels[-1]}"
        facts.append((axis, f"{shown} ({len(labels)})"))
    points = _points(p, s)
    for inner in points[0]:
        facts.append((f"each.{inner.number}", f"{inner.verb} {inner.name}: {inner.title}"))
        facts += [("", f"{label}: {text}" if label else text) for label, text in inner.facts]
        if s.words:
            facts += _elsewhere(inner, points)
    keys = [inner.key for point in points for inner in point]
    key = None if None in keys else step_key("sweep", 1, {}, points=keys)
    title = f"{' and '.join(s.axes)}, {formatting.count(len(s.points), 'point')}"
    return "sweep", title, facts, key, True, {"points": points}


def _elsewhere(inner: PlanStep, points: Sequence[Sequence[PlanStep]]) -> Iterator[tuple[str, str]]:
    """What a step is at other points of a sweep over words than the first, where its title says so."""
    titles = dict.fromkeys(step.title for point in points for step in point if step.name == inner.name != "")
    other = [title for title in titles if title != inner.title]
    if other:
        yield "", f"at other points: {'; '.join(other[:SHOWN])}" + (" …" if len(other) > SHOWN else "")


def _points(p: Planning, s: r.Sweep) -> tuple[tuple[PlanStep, ...], ...]:
    made = []
    for point in s.points:
        steps = []
        for number, step in enumerate(point.steps, 1):
            steps.append(describe(p, step, number))
            if steps[-1].key is None and s.words:  # no key without weights: the words tell two points' vectors apart
                p.keys[steps[-1].name] = f"{steps[-1].name} at {sorted(point.labels.items())}"
        made.append(tuple(steps))
    return tuple(made)


def _tune(p: Planning, s: r.Tune) -> Described:
    return searches.tune(p, s, describe)


def _plot(p: Planning, s: r.Plot) -> Described:
    target = f"({', '.join((s.target, *s.others))})" if find("plot", s.what).args[0].type != "score" else f" {s.target}"
    facts: Facts = [("file", s.path or "a PNG and an SVG in plots/ of the run directory")]
    if s.over:
        facts.append(("over", ", ".join(s.over) + (", polar" if s.polar else "")))
    layers = [(name, value) for name, value in s.options.items() if isinstance(value, r.Layers)]
    facts += [(name, layer_text.layer_numbers(p, value)) for name, value in layers]
    return "plot", f"{s.what}{target}", facts, None, False


def _check(p: Planning, s: r.Check) -> Described:
    absent = power.missing(p, s)
    if absent is not None:
        help = "give that evaluation an `instruction:`, or compare with `baseline`"
        p.error("S432", absent, s.span, help=help)
    if (points := power.places(p.recipe, s)) > MOST_POINTS:
        title = f"this claim compares {points} pairs of points of two sweeps; the maximum is {MOST_POINTS}"
        p.error("S412", title, s.span, help="compare each with a number, in a separate check")
    facts = [("claim", s.text), *power.lines(p, s), ("exit code", "0 holds, 4 fails, 5 is not settled by its prompts")]
    return "check", s.text, facts, None, False


def _export(p: Planning, s: r.Export) -> Described:
    form = table.of(s.path, f"write_{s.kind}")
    facts: Facts = [("file", s.path), ("form", form.title if form else "a checkpoint that transformers loads")]
    try:
        exports.require_carried(p, s)
    except MethodError as error:
        p.error(error.code, error.problem, s.span, help=error.way_out)
    except LayerOutside:
        pass  # the steer's own step says so
    weights = s.kind == "steer" and (form is None or form.needs_model)
    return "export", f"{s.kind} {s.what} to {s.path}", facts, None, weights


def _load(p: Planning, s: r.Load) -> Described:
    digest = layer_text.file_hash(p, s.path, s.span)
    facts: Facts = [("file", s.path)] + ([("position", formatting.position(s.position))] if s.position else [])
    if s.tensor is not None:
        facts.append(("tensor", s.tensor))
    if s.rows is not None:
        facts.append(("rows", layer_matrix.meaning(s.rows, p.facts.arch.n_layers)))
    if digest is not None and s.path.lower().endswith(".gguf"):
        facts += [("made for", said) for said in [control_vector.states(p.root / s.path)] if said]
    said = {name: value for name in ("rows", "tensor") if (value := getattr(s, name)) is not None}
    return "load", s.path, facts, step_key("load", 2, {}, sha256=digest, position=s.position, **said), False


DESCRIBE: Mapping[type, Callable[[Planning, Any], Described]] = {
    r.Extract: _extract,
    r.Classes: class_sets.describe_classes,
    r.ClassAxes: class_sets.describe_axes,
    r.Components: class_sets.describe_components,
    r.EachOrthogonal: class_sets.describe_each,
    r.Bind: _bind,
    r.Select: _select,
    r.Steer: _steer,
    r.Generate: describe_answers.generate,
    r.AnswerData: describe_answers.answers,
    r.Evaluate: describe_answers.evaluate,
    r.Read: describe_answers.read,
    r.Sweep: _sweep,
    r.Tune: _tune,
    r.Plot: _plot,
    r.Check: _check,
    r.Export: _export,
    r.Load: _load,
}

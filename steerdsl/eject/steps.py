"""The recipe's steps as the program's `main`, each under a comment with its number and title.

In: planned steps. Out: lines; what they call, and the data that they name, is asked for in the
program. One function for each kind of step, in `STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steerdsl.eject import literals, positions, sites, source, steers, vectors
from steerdsl.eject.program import Program
from steerdsl.eject.sweeps import sweep
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import BASELINE
from steerdsl.planning import formatting
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.requests import evaluation_settings
from steerdsl.planning.samples import reads_answers, samples


def steps(p: Program, planned: Sequence[PlanStep]) -> Iterator[str]:
    """The lines of some steps; one that the program has nothing to do for has none."""
    for step in planned:
        if isinstance(step.step, r.Sweep):
            lines = sweep(p, step, lambda inner: list(steps(p, inner)))
        else:
            lines = list(STEPS[type(step.step)](p, step.step))
        if lines:
            title = f"{step.number}. {step.verb} {step.name}: {step.title}"
            yield from ("", *literals.comment(title, p.indent), *lines)


def data(p: Program, ref: r.DataRef, step: r.Extract | None = None) -> str:
    """The constant that holds the rows of a data set that a step sees; `step` is an extraction that does."""
    answers = step is not None and reads_answers(step)
    parts = [part for part in (ref.name, ref.split, ref.side, "answered" if answers and not ref.side else "") if part]
    name = p.variable(" ".join(["data", *parts]), "_".join(parts).upper())
    rows = samples(p.plan.data, ref, p.plan.source, answers=answers)
    if any(sample.response is not None for sample in rows):
        p.features.add("answers")
    p.data.setdefault(name, (ref, rows))
    return name


# ---- vectors ------------------------------------------------------------------------------------


def _extract(p: Program, s: r.Extract) -> Iterator[str]:
    if s.method not in source.names("extract"):
        p.refuse(s.span, f"`extract {s.method}`")
        return
    arch, name = p.plan.model.arch, p.variable(s.name)
    layers = literals.numbers([s.stream.numbers[0]]) if s.stream.numbers else "range(N_LAYERS)"
    like = s.options.get("like")
    if s.positive is not None:
        yield from _classes(p, s, layers)
        items = [_statistics(p, s.name, "positive"), _statistics(p, s.name, "negative"), layers]
    elif like is not None:
        p.features.add("random_like")
        items = [f"{vectors.vector(p, like)}.layers", str(arch.width(s.stream.name)), f"like={vectors.vector(p, like)}"]
    else:
        items = [layers, str(arch.width(s.stream.name))]
    items += [f"{option}={literals.literal(value)}" for option, value in s.options.items() if option != "like"]
    yield from literals.call(f"{name} = {p.use(s.method)}(", items, indent=p.indent)
    yield from _described(p, s, name)
    yield from _saved(p, s.name)


def _classes(p: Program, s: r.Extract, layers: str) -> Iterator[str]:
    """Capture both classes."""
    pick, position = positions.pick(p, s), positions.position(p, s)
    settings = [f"layers={layers}", f"stream={_stream(p, s.stream)}", f"position={position}", f"pick={pick}"]
    for side, ref in (("positive", s.positive), ("negative", s.negative)):
        assert ref is not None
        items = ["model", "tokenizer", data(p, ref, s), *settings]
        target = _statistics(p, s.name, side)
        yield from literals.call(f"{target} = {p.use('capture')}(", items, indent=p.indent)


def _statistics(p: Program, vector: str, side: str) -> str:
    """The variable that holds the statistics of one class of an extraction."""
    return p.variable(f"statistics {vector} {side}", f"{vector}_{side}")


def _stream(p: Program, stream: r.Stream) -> str:
    """The function that reads a stream of a block."""
    arch = p.plan.model.arch
    p.make("Where the streams are", "blocks", sites.blocks(arch), ("typing", "Any"))
    p.make("Where the streams are", stream.name, sites.reader(arch, stream.name), ("typing", "Any"))
    if not stream.numbers:
        return stream.name
    columns = arch.head_slice(stream.numbers[1])
    return f"lambda block: {stream.name}(block)[..., {columns.start}:{columns.stop}]"


def _described(p: Program, s: r.Extract, name: str) -> Iterator[str]:
    """Note in a vector what steerdsl notes of it."""
    pad = " " * p.indent
    if s.stream.name != "resid_post":
        yield f"{pad}{name}.stream = {literals.text(s.stream.name)}"
    items = [f'"method": {literals.text(s.method)}', f'"position": {literals.text(formatting.position(s.position))}']
    for side, ref in (("positive", s.positive), ("negative", s.negative)):
        if ref is not None:
            items.append(f'"{side}": {literals.text(ref.name if ref.side is None else f"{ref.name}.{ref.side}")}')
    if s.positive is not None:
        counts = [f"{_statistics(p, s.name, side)}.n" for side in ("positive", "negative")]
        items.append(f'"n": [{", ".join(counts)}]')
    yield from literals.call(f"{name}.meta = {{", items, "}", indent=p.indent)


def _saved(p: Program, name: str) -> Iterator[str]:
    """Save a vector under its name in the recipe."""
    items = [p.variable(name), f'out / "vectors" / "{name}.safetensors"']
    yield from literals.call(f"{p.use('save_vector')}(", items, indent=p.indent)


def _bind(p: Program, s: r.Bind) -> Iterator[str]:
    name = p.variable(s.name)
    if isinstance(s.value, r.PlaneExpr):
        yield from vectors.plane(p, s.value, name, p.indent)
        return
    yield f"{' ' * p.indent}{name} = {vectors.vector(p, s.value)}"
    yield from _saved(p, s.name)


def _select(p: Program, s: r.Select) -> Iterator[str]:
    if s.criterion not in source.names("select"):
        p.refuse(s.span, f"`select … by {s.criterion}`")
        return
    vector, name = p.variable(s.vector), p.variable(s.name)
    items = [vector]
    if "positive" in source.parameters("select", s.criterion):
        p.features.add("variance")
        items += [_statistics(p, s.vector, side) for side in ("positive", "negative")]
    items.append(vectors.layers(p, s.layers) if s.layers.items else f"{vector}.layers")
    items += [f"{option}={literals.literal(value)}" for option, value in s.options.items()]
    yield from literals.call(f"{name} = {p.use(s.criterion)}(", items, f")[:{s.keep}]", p.indent)
    yield f'{" " * p.indent}print("{s.name}:", {name})'


def _load(p: Program, s: r.Load) -> Iterator[str]:
    p.refuse(s.span, "`load`")
    yield from ()


# ---- answers ------------------------------------------------------------------------------------


def _steer(p: Program, s: r.Steer) -> Iterator[str]:
    yield from steers.steer(p, s)


def _generate(p: Program, s: r.Generate) -> Iterator[str]:
    settings = {"max_tokens": s.max_tokens, "temperature": s.temperature, "n": s.n, "seed": s.seed}
    about = {"step": s.name, "variant": s.steer or BASELINE, "dataset": s.data.name, "split": s.data.split}
    yield from _answers(p, data(p, s.data), {k: literals.text(v) for k, v in about.items()}, settings, p.indent)


def _evaluate(p: Program, s: r.Evaluate) -> Iterator[str]:
    p.leave(f"the scores of `{s.name}` ({', '.join(call.name for call in s.metrics)}), its controls and its references")
    pad = " " * p.indent
    yield f"{pad}for dataset, split, rows in ("
    for ref in s.data:
        yield f"{pad}    ({literals.text(ref.name)}, {literals.text(ref.split)}, {data(p, ref)}),"
    yield f"{pad}):"
    yield f'{pad}    for variant in ("{BASELINE}", {literals.text(s.steer)}):'
    about = {"step": literals.text(s.name), "variant": "variant", "dataset": "dataset", "split": "split"}
    yield from _answers(p, "rows", about, evaluation_settings(s), p.indent + 8)


def _answers(
    p: Program, rows: str, about: Mapping[str, str], settings: Mapping[str, Any], indent: int
) -> Iterator[str]:
    """Generate answers and keep them. `rows` and the values of `about` are expressions."""
    given = [f"{k}={literals.literal(v)}" for k, v in settings.items() if k == "max_tokens" or "sampled" in p.features]
    edits = [f"steers[{about['variant']}]"] if "steered" in p.features else []
    said = [about[key] for key in ("step", "variant", "dataset")]
    yield from literals.call("print(", [*p.point, *said], indent=indent)
    items = ["model", "tokenizer", rows, *edits, *given]
    yield from literals.call(f"answers = {p.use('generate')}(", items, indent=indent)
    items = ["out", "answers", *(f"{k}={v}" for k, v in about.items()), *(f"{k}={k}" for k in p.point)]
    yield from literals.call(f"{p.use('keep')}(", items, indent=indent)


# ---- what is left to steerdsl -------------------------------------------------------------------


def _plot(p: Program, s: r.Plot) -> Iterator[str]:
    p.leave(f"the plot {s.what} of `{s.target}`")
    yield from ()


def _check(p: Program, s: r.Check) -> Iterator[str]:
    p.leave(f"the claim `{s.text}`")
    yield from ()


def _export(p: Program, s: r.Export) -> Iterator[str]:
    there = f" (vectors/{s.what}.safetensors has it)" if s.kind == "vector" else ""
    p.leave(f"the export of `{s.what}` to {s.path}{there}")
    yield from ()


STEPS: Mapping[type, Callable[[Program, Any], Iterator[str]]] = {
    r.Extract: _extract,
    r.Bind: _bind,
    r.Select: _select,
    r.Load: _load,
    r.Steer: _steer,
    r.Generate: _generate,
    r.Evaluate: _evaluate,
    r.Plot: _plot,
    r.Check: _check,
    r.Export: _export,
}

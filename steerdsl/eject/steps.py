"""The recipe's steps as the program's `main`, each under a comment with its number and title.

In: planned steps. Out: lines; what they call, and the data that they name, is asked for in the
program. One function for each kind of step, in `STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from steerdsl.eject import literals, positions, steers, vectors
from steerdsl.eject.program import Program
from steerdsl.eject.sweeps import sweep
from steerdsl.lang import recipe as r
from steerdsl.lang.lower.defaults import walk
from steerdsl.lang.reads import answered
from steerdsl.lang.variants import BASELINE
from steerdsl.planning import formatting
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.requests import evaluation_settings
from steerdsl.planning.samples import reads_answers, samples
from steerdsl.registry import find


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
    made = p.plan.recipe.data[ref.name].kind == "answers"  # what it is made of is refused as a whole
    if not made and any(sample.before for sample in rows):
        p.refuse(ref.span, f"the conversations of `{ref.name}`, which have several turns")
    p.data.setdefault(name, (ref, rows))
    return name


# ---- vectors ------------------------------------------------------------------------------------


def _extract(p: Program, s: r.Extract) -> Iterator[str]:
    name, entry = p.variable(s.name), find("extract", s.method)
    options = {option: literals.literal(value) for option, value in s.options.items()}
    arch = p.plan.model.arch
    layers = literals.literal((s.stream.numbers[0],)) if s.stream.numbers else "range(N_LAYERS)"
    p.streams.add(s.stream.name)
    given = []
    if s.positive is not None:
        yield from _classes(p, s, layers)
        given = [vectors.statistics(p, s.name, side) for side in vectors.SIDES]
        if "recapture" in entry.needs:
            yield from _recapture(p, s)
            options["recapture"] = "recapture"
    else:
        options["width"] = str(arch.width(s.stream.name))
        if entry.arg("file") is not None:
            options["file"] = literals.text(str(p.plan.root / str(s.options["file"])))
            layers = 'directions.figures["layers"]'
        else:
            like = s.options.get("like")
            if like is not None:
                value = vectors.vector(p, like)
                layers, options["like"] = f"{value}.layers.tolist()", f"{p.use('lengths')}({value})"
            options["layers"] = layers
    items = [*given, *(f"{option}={value}" for option, value in options.items())]
    yield from literals.call(f"directions = {p.entry('extract', s.method)}(", items, indent=p.indent)
    items = [literals.text(s.name), "directions", f"torch.tensor({layers})", literals.text(s.stream.name)]
    items += [f"mean_{side}={made}.mean.float()" for side, made in zip(vectors.SIDES, given, strict=False)]
    meta = literals.call("meta={", _meta(p, s), "}", indent=p.indent + 4)
    yield from literals.call(f"{name} = {p.use('Vector')}(", [*items, "\n".join(meta).strip()], indent=p.indent)
    yield from _saved(p, s.name)


def _classes(p: Program, s: r.Extract, layers: str) -> Iterator[str]:
    """Read both classes."""
    items = [positions.position(p, s), literals.text(s.stream.name), layers]
    if s.stream.numbers:
        p.features.add("heads")
        columns = p.plan.model.arch.head_slice(s.stream.numbers[1], s.stream.numbers[0])
        items.append(f"part=slice({columns.start}, {columns.stop})")
    if _keeps_rows(p, s):
        p.features.add("rows")
        items.append("rows=True")
    for side, ref in zip(vectors.SIDES, (s.positive, s.negative), strict=True):
        assert ref is not None
        prompts = f"{p.use('read_prompts')}(tokenizer, {data(p, ref, s)})"
        if reads_answers(s) and any(sample.response is None for sample in p.data[data(p, ref, s)][1]):
            prompts = f"{p.use('answered')}(model, {prompts})"
        target = vectors.statistics(p, s.name, side)
        yield from literals.call(f"{target} = {p.use('capture')}(", ["model", prompts, *items], indent=p.indent)


def _keeps_rows(p: Program, s: r.Extract) -> bool:
    """Whether a method, a criterion or a plane reads every sample of this extraction."""
    wants = bool({"rows", "pairs"} & find("extract", s.method).needs)
    for step in walk(p.plan.recipe.steps):
        match step:
            case r.Select(vector=vector, criterion=criterion) if vector == s.name:
                wants |= "rows" in find("select", criterion).needs
            case r.Bind(value=r.PlaneExpr() as plane):
                wants |= plane.candidates == "samples" and vectors.first_name(plane.first) == s.name
            case r.Steer(ops=ops):
                planes = [op.operand for op in ops if isinstance(op.operand, r.PlaneExpr)]
                wants |= any(x.candidates == "samples" and vectors.first_name(x.first) == s.name for x in planes)
    return wants


def _recapture(p: Program, s: r.Extract) -> Iterator[str]:
    """The function that reads both classes again, with directions ablated everywhere."""
    p.features.add("recaptured")
    p.streams.update(("resid_pre", "attn_out", "mlp_out"))
    pad = " " * p.indent
    p.imports.add(("torch", "Tensor"))
    yield ""
    yield f"{pad}def recapture(q: Tensor) -> tuple[{p.use('Activations')}, Activations]:"
    yield f"{pad}    edits = {p.use('ablation_touches')}(ARCH, q)"
    for side, ref in zip(vectors.SIDES, (s.positive, s.negative), strict=True):
        assert ref is not None
        prompts = f"{p.use('read_prompts')}(tokenizer, {data(p, ref, s)})"
        items = ["model", prompts, positions.position(p, s), literals.text(s.stream.name), "range(N_LAYERS)"]
        yield from literals.call(f"{side} = capture(", [*items, "touches=edits"], indent=p.indent + 4)
    yield f"{pad}    return positive, negative"
    yield ""


def _meta(p: Program, s: r.Extract) -> list[str]:
    """What steerdsl notes of a vector."""
    items = [f'"method": {literals.text(s.method)}', f'"position": {literals.text(formatting.position(s.position))}']
    for side, ref in zip(vectors.SIDES, (s.positive, s.negative), strict=True):
        if ref is not None:
            items.append(f'"{side}": {literals.text(ref.name if ref.side is None else f"{ref.name}.{ref.side}")}')
    if s.positive is not None:
        counts = [f"{vectors.statistics(p, s.name, side)}.n" for side in vectors.SIDES]
        items.append(f'"n": [{", ".join(counts)}]')
    return items


def _saved(p: Program, name: str) -> Iterator[str]:
    """Save a vector under its name in the recipe."""
    items = [p.variable(name), f'out / "vectors" / "{name}.safetensors"']
    yield from literals.call(f"{p.use('save_vector')}(", items, indent=p.indent)


def _bind(p: Program, s: r.Bind) -> Iterator[str]:
    name = p.variable(s.name)
    if isinstance(s.value, r.PlaneExpr):
        yield from vectors.plane(p, s.value, name, p.indent)
        return
    value = vectors.vector(p, s.value, s.name)
    if isinstance(s.value, r.VectorRef):
        p.imports.add(("dataclasses", "replace"))
        value = f"replace({value}, name={literals.text(s.name)})"
    yield f"{' ' * p.indent}{name} = {value}"
    yield from _saved(p, s.name)


def _select(p: Program, s: r.Select) -> Iterator[str]:
    vector, name, pad = p.variable(s.vector), p.variable(s.name), " " * p.indent
    layers = vectors.layers(p, s.layers) if s.layers.items else f"{vector}.layers.tolist()"
    items = [vector, *(vectors.statistics(p, s.vector, side) for side in vectors.SIDES), layers, "N_LAYERS"]
    if "model" in find("select", s.criterion).needs:
        yield from _probe(p, s)
        items.append("tried")
    found = f"{p.use('candidates')}({', '.join(items)})"
    options = [f"{option}={literals.literal(value)}" for option, value in s.options.items()]
    yield from literals.call(f"ranking = {p.entry('select', s.criterion)}(", [found, *options], indent=p.indent)
    yield f"{pad}{name} = ranking.order[:{s.keep}]"
    yield f'{pad}print("{s.name}:", {name})'


def _probe(p: Program, s: r.Select) -> Iterator[str]:
    """What lets a criterion try directions on the training prompts."""
    p.streams.update(("resid_pre", "attn_out", "mlp_out"))
    source = next(step for step in walk(p.plan.recipe.steps) if isinstance(step, r.Extract) and step.name == s.vector)
    sides = []
    for side, ref in zip(vectors.SIDES, (source.positive, source.negative), strict=True):
        assert ref is not None
        sides.append(f'"{side}": {p.use("read_prompts")}(tokenizer, {data(p, ref)})')
    yield from literals.call("prompts = {", sides, "}", indent=p.indent)
    items = ["model", "tokenizer", "prompts", f"{p.variable(s.vector)}.stream"]
    yield from literals.call(f"tried = {p.use('Probe')}(", items, indent=p.indent)


def _classes_of(p: Program, s: r.Classes | r.ClassAxes | r.Components | r.EachOrthogonal) -> Iterator[str]:
    p.refuse(s.span, "vectors of several classes and `pcs of`")
    yield from ()


def _load(p: Program, s: r.Load) -> Iterator[str]:
    p.refuse(s.span, "`load`")
    yield from ()


# ---- answers ------------------------------------------------------------------------------------


def _steer(p: Program, s: r.Steer) -> Iterator[str]:
    yield from steers.steer(p, s)


def _generate(p: Program, s: r.Generate) -> Iterator[str]:
    settings = {"max_tokens": s.max_tokens, "temperature": s.temperature, "n": s.n, "seed": s.seed}
    about = {"step": s.name, "variant": s.steer or BASELINE, "dataset": s.data.name, "split": s.data.split}
    said = {k: literals.text(v) for k, v in about.items()}
    yield from _answers(p, data(p, s.data), said, settings, p.indent, "True" if _withheld(p, s.data) else "")


def _made(p: Program, s: r.AnswerData) -> Iterator[str]:
    p.refuse(s.span, f"the answers that `{s.name}` is made of")
    yield from ()


def _evaluate(p: Program, s: r.Evaluate) -> Iterator[str]:
    p.leave(f"the scores of `{s.name}` ({', '.join(call.name for call in s.metrics)}), its controls and its references")
    if not answered(s.metrics):
        return
    pad, settings = " " * p.indent, evaluation_settings(s)
    variants = f'for variant in ("{BASELINE}", {literals.text(s.steer)}):'
    about = {"step": literals.text(s.name), "variant": "variant"}
    if len(s.data) == 1:
        (ref,) = s.data
        yield f"{pad}{variants}"
        about |= {"dataset": literals.text(ref.name), "split": literals.text(ref.split)}
        yield from _answers(p, data(p, ref), about, settings, p.indent + 4, "True" if _withheld(p, ref) else "")
        return
    hidden = any(_withheld(p, ref) for ref in s.data)
    yield f"{pad}for dataset, split, rows{', withheld' if hidden else ''} in ("
    for ref in s.data:
        items = [literals.text(ref.name), literals.text(ref.split), data(p, ref)]
        yield f"{pad}    ({', '.join([*items, *([str(_withheld(p, ref))] if hidden else [])])}),"
    yield f"{pad}):"
    yield f"{pad}    {variants}"
    about |= {"dataset": "dataset", "split": "split"}
    yield from _answers(p, "rows", about, settings, p.indent + 8, "withheld" if hidden else "")


def _withheld(p: Program, ref: r.DataRef) -> bool:
    """Whether answers to a data set are not kept, as in a run."""
    withheld = p.plan.data[ref.name].spec.unsafe and not p.plan.options.keep_unsafe
    p.features |= {"unsafe"} if withheld else set()
    return withheld


def _answers(
    p: Program, rows: str, about: Mapping[str, str], settings: Mapping[str, Any], indent: int, withheld: str
) -> Iterator[str]:
    """Generate answers and keep them. `rows`, `withheld` and the values of `about` are expressions."""
    given = [f"{k}={literals.literal(v)}" for k, v in settings.items() if k == "max_tokens" or "sampled" in p.features]
    edits = [f"steers[{about['variant']}]"] if "steered" in p.features else []
    said = [about[key] for key in ("step", "variant", "dataset")]
    yield from literals.call("print(", [*p.point, *said], indent=indent)
    items = ["model", "tokenizer", rows, *edits, *given]
    yield from literals.call(f"answers = {p.use('generate')}(", items, indent=indent)
    items = ["out", "answers", *([withheld] if withheld else [])]
    items += [*(f"{k}={v}" for k, v in about.items()), *(f"{k}={k}" for k in p.point)]
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


def _read(p: Program, s: r.Read) -> Iterator[str]:
    p.leave(f"the reading `{s.name}`")
    yield from ()


STEPS: Mapping[type, Callable[[Program, Any], Iterator[str]]] = {
    r.Extract: _extract,
    r.Bind: _bind,
    r.Select: _select,
    r.Load: _load,
    r.Classes: _classes_of,
    r.ClassAxes: _classes_of,
    r.Components: _classes_of,
    r.EachOrthogonal: _classes_of,
    r.Steer: _steer,
    r.Generate: _generate,
    r.AnswerData: _made,
    r.Evaluate: _evaluate,
    r.Read: _read,
    r.Plot: _plot,
    r.Check: _check,
    r.Export: _export,
}

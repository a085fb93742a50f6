"""The steps that make vectors and planes.

In: planned `extract`, `bind` and `load` steps. Out: vectors and planes in the run's values;
extracted vectors and the statistics behind them in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.capture import Want
from steerdsl.engine.context import Run
from steerdsl.engine.generate import generate
from steerdsl.formats import table
from steerdsl.forms.text import read_lines
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.finite import NotFinite, finite
from steerdsl.methods.layers import lengths
from steerdsl.methods.types import Activations, Vector
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.prompts import Rendered, require_room
from steerdsl.planning.classes import added, every_step, measured, rows_wanted, spread_wanted
from steerdsl.planning.formatting import position
from steerdsl.planning.keys import step_key
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.requests import Sampling
from steerdsl.planning.samples import OWN, RESPONSE_TOKENS, Sample, class_samples, reads_answers, samples_key
from steerdsl.registry import find
from steerdsl.store.files import write_lines
from steerdsl.store.results import content_key
from steerdsl.store.vector_files import load_activations, load_vector, save_activations, save_vector

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = r.Position("all", 1)  # every token but the first


def extract(run: Run, planned: PlanStep) -> None:
    """Make a vector, or take it from the store."""
    step = planned.step
    assert isinstance(step, r.Extract) and planned.key is not None
    run.extractions[step.name] = planned

    def read(folder: Path) -> Vector:
        return load_vector(folder / "vector.safetensors", step.name)

    vector = run.store.load(planned.key, read)
    if vector is None:
        made = _extracted(run, step)

        def write(fresh: Path) -> None:
            save_vector(made, fresh / "vector.safetensors")

        about = {"kind": "vector", "name": step.name, "method": step.method}
        vector = run.store.save(planned.key, about, write, read)
    run.results.warnings += [f"{step.name}: {w}" for w in vector.directions.figures.get("warnings", ())]
    run.values.vectors[step.name] = vector


def _extracted(run: Run, step: r.Extract) -> Vector:
    import torch

    entry = find("extract", step.method)
    arch = run.plan.model.arch
    layers = reading_layers(run, step)
    meta: dict[str, Any] = {"method": step.method, "position": position(step.position)}
    options = dict(step.options)
    if step.positive is None:
        width = arch.width(step.stream.name)
        if entry.arg("file") is not None:
            options["file"] = str(run.plan.root / options["file"])
            directions = entry.run(width=width, **options)
            layers = list(directions.figures["layers"])
        else:
            if "like" in options:
                layers, options["like"] = _norms(run, options["like"])
            directions = entry.run(width=width, layers=layers, **options)
        return Vector(step.name, directions, torch.tensor(layers), step.stream.name, meta=meta)
    rows = bool({"rows", "pairs"} & entry.needs)
    positive, negative = (capture_class(run, step, ref, layers, rows) for ref in (step.positive, step.negative))
    if "recapture" in entry.needs:
        options["recapture"] = lambda q: _recapture(run, step, layers, q)
    directions = entry.run(positive, negative, **options)
    assert step.negative is not None
    meta |= {"positive": _side(step.positive), "negative": _side(step.negative), "n": [positive.n, negative.n]}
    meta["rendered_sha256"] = [_rendered(run, step, ref) for ref in (step.positive, step.negative)]
    return Vector(
        step.name,
        directions,
        torch.tensor(layers),
        step.stream.name,
        positive.mean.float(),
        negative.mean.float(),
        meta,
    )


def _norms(run: Run, like: r.VectorExpr) -> tuple[list[int], Tensor]:
    """The layers of a vector and the raw norm of each layer's (summed) direction, float64 [L]."""
    vector = run.values.vector(like)
    return [int(x) for x in vector.layers], lengths(vector)


def _side(ref: r.DataRef) -> str:
    return ref.name if ref.side is None else f"{ref.name}.{ref.side}"


def _rendered(run: Run, step: r.Extract, ref: r.DataRef) -> str:
    """One hash over a class's prompts as the model read them."""
    prompts = run.render(class_samples(run.plan.data, step, ref, run.plan.source))
    return content_key({"rendered": [p.sha256 for p in prompts]})


def _activations(folder: Path) -> Activations:
    return load_activations(folder / "activations.safetensors")


def kept(run: Run, key: str, about: Mapping[str, str], make: Callable[[], Activations]) -> Activations:
    """Activations from the store, or made now and put there."""
    known = run.store.load(key, _activations)
    if known is None or not finite(known.mean):  # an older version kept what was not finite
        made = make()

        def write(fresh: Path) -> None:
            save_activations(made, fresh / "activations.safetensors")

        known = run.store.save(key, {"kind": "activations", **about}, write, _activations)
    return known


def capture_class(run: Run, step: r.Extract, ref: r.DataRef | None, layers: Sequence[int], rows: bool) -> Activations:
    """The statistics of one class of an extraction, from the store where it has them. Where something else in the
    plan wants each sample, or other positions and streams of the same prompts, these are read here too and put into
    the store, so that the prompts are read once."""
    assert ref is not None
    found = class_samples(run.plan.data, step, ref, run.plan.source)
    want = Want(step.position, step.stream, layers, rows or _rows_wanted(run, step, ref, found))
    return _captured(run, step, ref, found, want)


def _rows_wanted(run: Run, step: r.Extract, ref: r.DataRef, found: Sequence[Sample]) -> bool:
    return rows_wanted(run.plan, step, ref) or spread_wanted(run.plan, step, ref, len(found))


def token_norms(run: Run, step: r.Extract, ref: r.DataRef, stream: r.Stream) -> tuple[Sequence[int], Activations]:
    """The norms of every token but the first of the prompts of one class, and the layers at which they were read."""
    found, want = class_samples(run.plan.data, step, ref, run.plan.source), _norms_wanted(run, stream)
    return want.layers, _captured(run, step, ref, found, want)


def _norms_wanted(run: Run, stream: r.Stream) -> Want:
    """Norms of a stream wherever the model has it. The first token is left out: in many models attention puts what it
    has no use for there, and its norm is a hundred times that of the others (Sun et al. 2024, Massive Activations)."""
    arch = run.plan.model.arch
    lacking = arch.lacking(stream.name)
    layers = [stream.numbers[0]] if stream.numbers else [x for x in range(arch.n_layers) if x not in lacking]
    return Want(TOKENS, stream, layers, False, norms=True)


def _captured(run: Run, step: r.Extract, ref: r.DataRef, found: Sequence[Sample], want: Want) -> Activations:
    key = _class_key(run, step, found, want)

    def make() -> Activations:
        also = {k: other for k, other in _others(run, step, found).items() if k != key and not run.store.has(k)}
        try:
            made, *more = _capture(run, step, ref, found, [want, *(other for other, _ in also.values())])
        except (NotFinite, RecipeError):
            if not also:
                raise
            # What fails may be the other readings: these fail in their own steps.
            return _capture(run, step, ref, found, [want])[0]
        for (k, (_, about)), other in zip(also.items(), more, strict=True):
            kept(run, k, about, partial(_itself, other))
        return made

    return kept(run, key, _about(step, ref), make)


def _itself(made: Activations) -> Activations:
    return made


def _about(step: r.Extract, ref: r.DataRef) -> dict[str, str]:
    return {"data": _side(ref), "stream": step.stream.name}


def reading_layers(run: Run, step: r.Extract) -> list[int]:
    """The layers that an extraction reads."""
    return [step.stream.numbers[0]] if step.stream.numbers else list(range(run.plan.model.arch.n_layers))


def _class_key(run: Run, step: r.Extract, found: Sequence[Sample], want: Want) -> str:
    assert run.plan.model_key is not None
    return step_key(
        "capture",
        1,
        {},
        model=run.plan.model_key,
        prompts=samples_key(found),
        position=want.position,
        stream=want.stream,
        layers=list(want.layers),
        rows=want.rows,
        **({"answers": OWN} if reads_answers(step) else {}),
        **({"norms": True} if want.norms else {}),
    )


def _others(run: Run, step: r.Extract, found: Sequence[Sample]) -> dict[str, tuple[Want, dict[str, str]]]:
    """By key all that extractions of the plan read of these prompts, and what is said of it."""
    prompts = samples_key(found)
    wants: dict[str, tuple[Want, dict[str, str]]] = {}
    adds = added(run.plan) if measured(run.plan)[1] else {}
    for other in every_step(run.plan.steps):
        if not isinstance(other, r.Extract) or reads_answers(other) != reads_answers(step):
            continue
        for ref in (other.positive, other.negative):
            own = [] if ref is None else class_samples(run.plan.data, other, ref, run.plan.source)
            if ref is not None and samples_key(own) == prompts:
                want = Want(
                    other.position, other.stream, reading_layers(run, other), _rows_wanted(run, other, ref, own)
                )
                norms = [_norms_wanted(run, stream) for stream in adds.get(other.name, ())]
                wants |= {_class_key(run, other, own, w): (w, _about(other, ref)) for w in (want, *norms)}
    return wants


def _capture(
    run: Run,
    step: r.Extract,
    ref: r.DataRef,
    found: Sequence[Sample],
    wants: Sequence[Want],
    touches: Sequence[Any] = (),
) -> list[Activations]:
    from steerdsl.engine.capture import capture_several

    prompts = _answered(run, found) if reads_answers(step) else run.render(found)
    require_room(ref.name, prompts, run.plan.model.arch.max_positions)
    session, start = run.session, time.perf_counter()
    size = run.plan.batch_size
    made = capture_several(session, prompts, wants, batch_size=size, touches=touches, progress=run.progress)
    run.measured.add("read", sum(len(p.ids) for p in prompts), time.perf_counter() - start)
    return made


def _own_answers(run: Run, prompts: Sequence[Rendered], sampling: Sampling) -> list[list[int]]:
    """The tokens of the model's answers to the prompts of one batch, kept in the store for a run that is lost
    before all are there; not those to data that is declared unsafe."""
    settings = {"max_tokens": sampling.max_tokens, "rendered": [p.sha256 for p in prompts]}
    key = step_key("own answers", 2, {}, model=run.plan.model_key, **settings)
    unsafe = any(data.spec.unsafe for data in run.plan.data.values())

    def read(folder: Path) -> list[list[int]]:
        return read_lines(folder / "answers.jsonl", [int], within=folder)

    known = None if unsafe else run.store.load(key, read)
    if known is None:
        made = [a for batch in generate(run.session, prompts, (), sampling, len(prompts)) for a in batch]
        tokens = known = [list(a.token_ids) for a in sorted(made, key=lambda a: a.prompt)]
        if not unsafe:
            run.store.put(key, {"kind": "batch"}, lambda fresh: write_lines(fresh / "answers.jsonl", tokens))
    return known


def _answered(run: Run, found: Sequence[Sample]) -> list[Rendered]:
    """Prompts with their answers: the data's, else the model's own greedy one, token by token as it was made."""
    prompts = run.render(found)
    open_ = [i for i, s in enumerate(found) if s.response is None]
    if not open_:
        return prompts
    asked, done = [prompts[i] for i in open_], 0
    rows = run.plan.answer_rows(max(len(p.ids) for p in asked) + RESPONSE_TOKENS)
    for batch in batches(asked, rows, pad_id(run.plan.model.tokenizer)):
        own = _own_answers(run, [asked[i] for i in batch.index], Sampling(max_tokens=RESPONSE_TOKENS))
        for i, tokens in zip(batch.index, own, strict=True):
            before = asked[i]
            span = (len(before.ids), len(before.ids) + len(tokens))
            prompts[open_[i]] = replace(before, ids=(*before.ids, *tokens), response=span)
        done += len(batch.index)
        run.progress("answering, to read the answers", done, len(open_))
    return prompts


def _recapture(run: Run, step: r.Extract, layers: Sequence[int], q: Tensor) -> tuple[Activations, Activations]:
    """Both classes again, with the rows q [L, k, d] of each layer ablated everywhere."""
    from steerdsl.engine.steer_compiler import ablation_touches

    touches = ablation_touches(run.plan.model.arch, q)
    want = Want(step.position, step.stream, layers, False)
    positive, negative = (
        _capture(run, step, ref, class_samples(run.plan.data, step, ref, run.plan.source), [want], touches)[0]
        for ref in (step.positive, step.negative)
        if ref is not None
    )
    return positive, negative


def bind(run: Run, planned: PlanStep) -> None:
    """Give a name to a plane or to what an expression over vectors gives."""
    step = planned.step
    assert isinstance(step, r.Bind)
    if isinstance(step.value, r.PlaneExpr):
        run.values.planes[step.name] = run.values.plane(step.value)
    else:
        run.values.vectors[step.name] = replace(run.values.vector(step.value), name=step.name)
        run.values.made_of[step.name] = step.value


def load(run: Run, planned: PlanStep) -> None:
    """Read a vector from a file of the recipe's folder."""
    step = planned.step
    assert isinstance(step, r.Load)
    form = table.of(step.path, "read")
    assert form and form.read
    vector = form.read(run.plan.root / step.path, run.plan.model.arch, step)
    run.results.warnings += [f"{step.name}: {w}" for w in vector.directions.figures.get("warnings", ())]
    run.values.vectors[step.name] = vector

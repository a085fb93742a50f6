"""The steps of several classes: a vector for each, axes over them, components of neutral text.

In: planned `Classes`, `ClassAxes`, `Components` and `EachOrthogonal` steps. Out: vectors in the run's values; those
of a class are called `emotion.joy`. What prompts were read for goes to the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class, reading_layers
from steerdsl.lang import recipe as r
from steerdsl.methods import algebra, class_vectors
from steerdsl.methods.types import Vector
from steerdsl.planning.class_sets import as_extract, class_refs, member_keys
from steerdsl.planning.formatting import position
from steerdsl.planning.plan import PlanStep
from steerdsl.store.vector_files import load_vector, save_vector

if TYPE_CHECKING:
    from torch import Tensor

PCS = "pcs"  # what a vector of components says of its method


def classes(run: Run, planned: PlanStep) -> None:
    """Make the vector of each class, or take them from the store."""
    step = planned.step
    assert isinstance(step, r.Classes)
    refs = class_refs(run.plan.data, step, run.plan.source)

    def make() -> list[Vector]:
        import torch

        layers = reading_layers(run, as_extract(step, step.data))
        read = [
            capture_class(run, as_extract(step, ref, f"{step.name}.{n}"), ref, layers, False) for n, ref in refs.items()
        ]
        middle = torch.stack([own.mean.double() for own in read]).mean(dim=0).float()
        made = []
        for name, own, d in zip(refs, read, class_vectors.against_all(read), strict=True):
            meta = {"method": "diffmean", "position": position(step.position), "class": name, "n": [own.n]}
            at = torch.tensor(layers)
            made.append(Vector(f"{step.name}.{name}", d, at, step.stream.name, own.mean.float(), middle, meta))
        return made

    names = [f"{step.name}.{name}" for name in refs]
    _forget(run, step.name)
    for vector in _kept(run, planned, names, make):
        run.results.warnings += [f"{vector.name}: {w}" for w in vector.directions.figures.get("warnings", ())]
        run.values.vectors[vector.name] = vector
    run.keys |= member_keys(step.name, refs, planned.key)


def _kept(run: Run, planned: PlanStep, names: list[str], make: Callable[[], list[Vector]]) -> list[Vector]:
    """Vectors from the store, or made now and put there: one file each, in order."""
    assert planned.key is not None

    def read(folder: Path) -> list[Vector]:
        return [load_vector(folder / f"{i}.safetensors", name) for i, name in enumerate(names)]

    found = run.store.load(planned.key, read)
    if found is None:
        made = make()

        def write(fresh: Path) -> None:
            for i, vector in enumerate(made):
                save_vector(vector, fresh / f"{i}.safetensors")

        found = run.store.save(planned.key, {"kind": "vector", "name": planned.step.name}, write, read)  # type: ignore[union-attr]
    return found


def components(run: Run, planned: PlanStep) -> None:
    """Principal axes of the activations of neutral prompts, as a vector of several directions a layer."""
    import torch

    step = planned.step
    assert isinstance(step, r.Components)

    def make() -> list[Vector]:
        asked = as_extract(step, step.data)
        layers = reading_layers(run, asked)
        read = capture_class(run, asked, step.data, layers, True)
        assert read.rows is not None
        d = class_vectors.components(read.rows, step.k, step.explained)
        meta: dict[str, Any] = {"method": PCS, "position": position(step.position), "n": [read.n]}
        return [Vector(step.name, d, torch.tensor(layers), step.stream.name, meta=meta)]

    (run.values.vectors[step.name],) = _kept(run, planned, [step.name], make)


def members(run: Run, name: str) -> dict[str, Vector]:
    """The vectors of the classes of a name, by class, in order."""
    start = f"{name}."
    return {key.removeprefix(start): v for key, v in run.values.vectors.items() if key.startswith(start)}


def raw(vectors: dict[str, Vector]) -> Tensor:
    """The raw vectors of classes, float64 [C, L, d]."""
    import torch

    every = list(vectors.values())
    algebra.match(every)
    return torch.stack([v.directions.raw_norm[:, :1].double() * v.directions.unit[:, 0].double() for v in every])


def axes(run: Run, planned: PlanStep) -> None:
    """The principal axes over the vectors of classes."""
    step = planned.step
    assert isinstance(step, r.ClassAxes)
    own = members(run, step.classes)
    d, like = class_vectors.class_axes(raw(own), step.k), next(iter(own.values()))
    meta = {"method": "pca of classes", "position": like.meta.get("position", "unknown"), "classes": list(own)}
    run.values.vectors[step.name] = Vector(step.name, d, like.layers, like.stream, meta=meta)


def each_orthogonal(run: Run, planned: PlanStep) -> None:
    """Every class's vector without its part along another vector."""
    step = planned.step
    assert isinstance(step, r.EachOrthogonal)
    against = run.values.vector(step.against)
    made = {
        name: algebra.orthogonalize(f"{step.name}.{name}", v, against) for name, v in members(run, step.classes).items()
    }
    _forget(run, step.name)
    for vector in made.values():
        run.values.vectors[vector.name] = replace(vector)
    run.keys |= member_keys(step.name, made, planned.key)


def _forget(run: Run, name: str) -> None:
    """Drop the class vectors that a name had at another point of a sweep."""
    for key in [f"{name}.{own}" for own in members(run, name)]:
        del run.values.vectors[key], run.keys[key]

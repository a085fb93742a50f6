"""The step that chooses layers.

In: planned `select` steps. Out: choices in the run's values, with every layer's figures in the
record and in the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class
from steerdsl.lang import recipe as r
from steerdsl.methods import layers as by_layer
from steerdsl.methods.types import Ranking
from steerdsl.planning.layer_text import read_choice
from steerdsl.planning.layers import resolve_layers
from steerdsl.planning.plan import PlanStep
from steerdsl.planning.samples import samples
from steerdsl.registry import find
from steerdsl.store.files import write_json

if TYPE_CHECKING:
    from torch import Tensor


def select(run: Run, planned: PlanStep) -> None:
    """Rank the layers of a vector on its training prompts and keep the best."""
    step = planned.step
    assert isinstance(step, r.Select) and planned.key is not None
    choice = run.store.load(planned.key, read_choice)
    if choice is None:
        found = _choice(run, step, _rank(run, step))

        def write(fresh: Path) -> None:
            write_json(fresh / "choice.json", found)

        about = {"kind": "choice", "vector": step.vector, "criterion": step.criterion}
        choice = run.store.save(planned.key, about, write, read_choice)
    run.results.choices[step.name] = choice
    run.values.chosen[step.name] = tuple(choice["chosen"])
    run.results.warnings += [f"{step.name}: {note}" for note in choice["notes"]]


def _rank(run: Run, step: r.Select) -> Ranking:
    entry = find("select", step.criterion)
    source = run.extractions[step.vector].step
    vector = run.values.vectors[step.vector]
    assert isinstance(source, r.Extract)
    layers = [int(x) for x in vector.layers]
    rows = "rows" in entry.needs
    sides = (
        capture_class(run, source, source.positive, layers, rows),
        capture_class(run, source, source.negative, layers, rows),
    )
    wanted = resolve_layers(step.layers, run.plan.model.arch.n_layers, run.values.chosen)
    probe = _probe(run, source) if "model" in entry.needs else None
    candidates = by_layer.candidates(vector, *sides, wanted, run.plan.model.arch.n_layers, probe)
    ranking: Ranking = entry.run(candidates, **step.options)
    return ranking


def _probe(run: Run, source: r.Extract) -> Any:
    from steerdsl.engine.probe import Probe

    refs = {"positive": source.positive, "negative": source.negative}
    sides = {name: run.render(samples(run.plan.data, ref, run.plan.source)) for name, ref in refs.items() if ref}
    return Probe(run.session, sides, source.stream, run.plan.batch_size, run.progress)


def _choice(run: Run, step: r.Select, ranking: Ranking) -> dict[str, Any]:
    """What the record keeps of a choice: every layer's figures, the order and what was chosen."""
    limits = resolve_layers(step.layers, run.plan.model.arch.n_layers, run.values.chosen)
    own = [int(layer) for layer in run.values.vectors[step.vector].layers]

    def numbers(t: Tensor) -> list[float | None]:
        return [None if x != x else x for x in t.tolist()]  # JSON has no nan

    return {
        "vector": step.vector,
        "criterion": step.criterion,
        "chosen": ranking.order[: step.keep],
        "layers": [layer for layer in own if layer in limits],
        "order": ranking.order,
        "score": numbers(ranking.score),
        "figures": {name: numbers(values) for name, values in ranking.figures.items()},
        "notes": list(ranking.notes),
    }

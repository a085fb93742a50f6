"""Activations that an operation needs beside its vector: another prompt's, or every sample's.

In: a run, and a patch or a plane that asks. Out: rows captured now, [S, d] or [K, d].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.context import Run
from steerdsl.engine.extraction import capture_class
from steerdsl.engine.program import Place, places
from steerdsl.lang import recipe as r

if TYPE_CHECKING:
    from torch import Tensor


def patch_rows(run: Run, op: r.Op) -> dict[Place, Tensor]:
    """The activations of a patch's prompt at each place where the patch acts: float32 [S, d]."""
    from steerdsl.engine.capture import capture

    rendered = [run.renderer.render(str(op.args["from"]))]
    groups: dict[r.Stream, list[Place]] = {}
    for place in places(op, run.plan.model.arch, run.values.chosen):
        stream = r.Stream(place.stream)
        if place.part is not None:
            width = place.part[1] - place.part[0]
            stream = r.Stream("head", (place.layer, place.part[0] // width))
        groups.setdefault(stream, []).append(place)
    found: dict[Place, Tensor] = {}
    for stream, group in groups.items():
        layers = [place.layer for place in group]
        rows = capture(run.session, rendered, r.Position("all"), stream, layers, rows=True).rows
        assert rows is not None
        found |= {place: rows[:, i] for i, place in enumerate(group)}
    return found


def sample_differences(run: Run, vector: str, layers: tuple[int, ...]) -> Tensor:
    """Each sample's difference from the other class's mean, at some layers of a vector: float64 [K, d].
    A sample of the negative class is turned round, so that every row points toward the positive."""
    import torch

    step = run.extractions[vector].step
    assert isinstance(step, r.Extract)
    own = [int(x) for x in run.values.vectors[vector].layers]
    positive, negative = (capture_class(run, step, ref, own, True) for ref in (step.positive, step.negative))
    assert positive.rows is not None and negative.rows is not None
    rows = []
    for i in (own.index(layer) for layer in layers):
        rows.append(positive.rows[:, i].double() - negative.mean[i])
        rows.append(positive.mean[i] - negative.rows[:, i].double())
    return torch.cat(rows)

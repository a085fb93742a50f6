"""Activations that an operation needs besides its vector: another prompt's, or every sample's.

In: a run, and a patch or a plane that asks. Out: rows captured now, [S, d] or [K, d].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steerdsl.engine.context import Run, Sources
from steerdsl.engine.extraction import capture_class, kept
from steerdsl.engine.scales import scale
from steerdsl.lang import recipe as r
from steerdsl.methods.layers import differences
from steerdsl.methods.types import Activations
from steerdsl.models.prompts import Rendered
from steerdsl.planning.keys import step_key
from steerdsl.planning.targets import Target, targets

if TYPE_CHECKING:
    from torch import Tensor


def patch_rows(run: Run, op: r.Op) -> dict[Target, Tensor]:
    """The activations of a patch's prompt at each target where the patch acts: float32 [S, d]."""
    rendered = run.renderer.render(str(op.args["from"]))
    groups: dict[r.Stream, list[Target]] = {}
    for target in targets(op, run.plan.model.arch, run.values.chosen):
        stream = r.Stream(target.stream)
        if target.part is not None:
            width = target.part[1] - target.part[0]
            stream = r.Stream("head", (target.layer, target.part[0] // width))
        groups.setdefault(stream, []).append(target)
    found: dict[Target, Tensor] = {}
    for stream, group in groups.items():
        layers = [target.layer for target in group]
        rows = _patch(run, rendered, stream, layers).rows
        assert rows is not None
        found |= {target: rows[:, i] for i, target in enumerate(group)}
    return found


def _patch(run: Run, rendered: Rendered, stream: r.Stream, layers: list[int]) -> Activations:
    """Every token of a prompt, from the store where it has them."""
    from steerdsl.engine.capture import capture

    about = {"data": "a patch", "stream": stream.name}
    parts = {"rendered": rendered.sha256, "stream": stream, "layers": layers}
    key = step_key("patch", 1, {}, model=run.plan.model_key, **parts)
    return kept(run, key, about, lambda: capture(run.session, [rendered], r.Position("all"), stream, layers, rows=True))


def sample_differences(run: Run, vector: str, layers: tuple[int, ...]) -> Tensor:
    """Each sample's difference from the other class's mean, at some layers of a vector: float64 [K, d]."""
    step = run.extractions[vector].step
    assert isinstance(step, r.Extract)
    own = [int(x) for x in run.values.vectors[vector].layers]
    positive, negative = (capture_class(run, step, ref, own, True) for ref in (step.positive, step.negative))
    return differences(positive, negative, [own.index(layer) for layer in layers])


SOURCES = Sources(sample_differences, patch_rows, scale)

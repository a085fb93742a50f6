"""The lengths that additions are measured in, as the store keeps them, and what an addition's strength is in all units.

In: what an operation adds, and where. Out: the key of its lengths, and lines for the plan and the record. The engine
measures them on the training prompts; a plan knows them once a run has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from steerdsl.forms.kept import SCALES
from steerdsl.forms.text import read_json
from steerdsl.lang import recipe as r
from steerdsl.lang.tuned import Tuned
from steerdsl.methods.doses import Dose, Scale, in_all_units
from steerdsl.planning.classes import ASKED, SAID, VECTORS
from steerdsl.planning.keys import step_key
from steerdsl.planning.layers import choices
from steerdsl.planning.planning import Planning
from steerdsl.planning.targets import Target, targets
from steerdsl.registry import find

VERSION = 1
LATER = "in other units: measured when it runs"


def scales_key(keys: Mapping[str, str], model: str | None, expr: r.VectorExpr, stream: r.Stream, reads: Any) -> str:
    """The key of the lengths of one vector on one stream; `reads` says which of them are read."""
    return step_key("scales", VERSION, keys, model=model, vector=expr, stream=stream, reads=list(reads))


def stream_of(target: Target) -> r.Stream:
    """The stream of a target as a recipe names it."""
    if target.part is None:
        return r.Stream(target.stream)
    start, stop = target.part
    return r.Stream("head", (target.layer, start // (stop - start)))


def read_scales(folder: Path) -> dict[int, Scale]:
    """What was measured, layer by layer."""
    found = read_json(folder / "scales.json", SCALES, within=folder)
    return {int(line.pop("layer")): Scale(**line) for line in found}


def lines(p: Planning, op: r.Op) -> list[str]:
    """An addition's strength in all units, where an earlier run has measured what it depends on."""
    expr, by = op.operand, op.args.get("by")
    if find("op", op.name).effect != "adds" or not isinstance(by, r.Strength) or not isinstance(expr, VECTORS):
        return []
    model, waits = p.model_key, any(name not in p.chosen for name in choices(op.layers))
    if isinstance(by.value, Tuned) or model is None or p.store is None or p.errors or waits:
        return [LATER]
    doses = []
    for target in targets(op, p.facts.arch, p.chosen):
        keys = (scales_key(p.keys, model, expr, stream_of(target), why) for why in product(*[(ASKED, SAID)] * 2))
        found = next((known for key in keys if (known := p.store.load(key, read_scales)) is not None), None)
        if found is None or target.layer not in found:
            return [LATER]
        doses.append(in_all_units(by, found[target.layer]))
    return [dose_text(by, doses)]


def dose_text(strength: r.Strength, doses: Sequence[Dose]) -> str:
    """`2 sd = 0.4 raw vectors, 3.1% of each token's norm on average, 3% dose`; over several layers from the least to
    the most; what no layer has is left out."""
    parts = {
        "raw": _span([d.raw for d in doses], 1, " raw vectors"),
        "share": _span([d.share for d in doses], 100, "% of each token's norm on average"),
        "sd": _span([d.sd for d in doses], 1, " sd"),
        "dose": _span([d.dose for d in doses], 100, "% dose"),
    }
    own = parts.pop(strength.unit)
    if strength.unit == "share":
        own = own.replace(" on average", "")
    return f"{own} = {', '.join(text for text in parts.values() if text)}"


def _span(values: Sequence[float | None], factor: float, unit: str) -> str:
    known = sorted(value * factor for value in values if value is not None)
    if not known:
        return ""
    low, high = (f"{value:.3g}" for value in (known[0], known[-1]))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"

"""Made-up views for the tests of the plots: thirty layers whose norms and variances grow with depth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from steerdsl.engine.plot_data import ChoiceView, PlaneView, ScoreView, SearchView, Turning, VectorView
from steerdsl.measure.table import Row, Table, of_json
from steerdsl.methods.types import Activations, Vector
from steerdsl.registry import find

LAYERS, WIDTH = 30, 24


def rows(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Activations [n, LAYERS, WIDTH], float32: a mean and a spread that grow, and a shift that peaks in the middle."""
    random = np.random.default_rng(seed)
    shared = np.random.default_rng(99)
    middle = shared.normal(size=(1, WIDTH)) + 0.3 * shared.normal(size=(LAYERS, WIDTH))
    axes = np.cumsum(shared.normal(size=(LAYERS, WIDTH)), axis=0) + 3 * shared.normal(size=(1, WIDTH))
    axes /= np.linalg.norm(axes, axis=-1, keepdims=True)
    depth = np.arange(LAYERS)
    size = 1 + depth
    apart = shift * np.exp(-(((depth - 16) / 8) ** 2)) * size
    noise = random.normal(size=(n, LAYERS, WIDTH)) * np.exp(0.08 * depth)[:, None] * shared.uniform(0.3, 1.5, WIDTH)
    made: np.ndarray = (middle * size[:, None] + apart[:, None] * axes + noise).astype(np.float32)
    return made


def activations(given: np.ndarray) -> Activations:
    exact = given.astype(np.float64)
    return Activations(
        n=len(given),
        mean=torch.from_numpy(exact.mean(0)),
        variance=torch.from_numpy(exact.var(0, ddof=1)) if len(given) > 1 else None,
        median_norm=torch.from_numpy(np.median(np.linalg.norm(exact, axis=-1), axis=0)),
        rows=torch.from_numpy(given),
    )


def vector_view(n: int = 40, method: str = "diffmean", **options: Any) -> VectorView:
    """A vector extracted from two made-up classes, with its statistics."""
    positive, negative = activations(rows(n, 1, shift=3.0)), activations(rows(n, 2))
    vector = Vector(
        "topic",
        find("extract", method).run(positive, negative, **options),
        torch.arange(LAYERS),
        "resid_post",
        positive.mean.float(),
        negative.mean.float(),
        {"position": "last_token"},
    )
    return VectorView("topic", vector, positive, negative, ("econ", "generic"))


def bare_view() -> VectorView:
    """The same vector, as a file gives it: without the prompts behind it."""
    vector = replace(vector_view().vector, mean_positive=None, mean_negative=None)
    return VectorView("old", vector)


def pair_view() -> VectorView:
    """Two vectors of the same classes, read at two streams."""
    pre, other = vector_view(), activations(rows(40, 3, shift=2.0))
    vector = replace(pre.vector, name="mid", stream="resid_mid")
    mid = replace(pre, name="mid", vector=vector, positive=other)
    about = "SmolLM2-135M-Instruct; econ.train (40 prompts) against generic.train (40 prompts)"
    return replace(
        pre, name="pre", vector=replace(pre.vector, name="pre", stream="resid_pre"), others=(mid,), about=about
    )


def plane_view(raw: bool = False) -> PlaneView:
    directions = vector_view().vector.directions
    unit = directions.unit[:, 0].double()
    candidates = unit * directions.raw_norm if raw else unit
    return PlaneView("turn", replace(find("plane", "pc1").run(unit[16], candidates), layers=tuple(range(LAYERS))))


def refusal_choice(chosen: Sequence[int] = (15,)) -> ChoiceView:
    """A choice as the record keeps it: the last layers dropped, a hole where a layer has no direction."""
    layers = list(range(LAYERS))
    depth = np.arange(LAYERS)
    bypass: list[float | None] = [float(x) for x in 4 - 12 * np.exp(-(((depth - 15) / 6) ** 2))]
    bypass[0] = None
    induce: list[float | None] = [None, *(float(x) for x in -3 + 7 * np.exp(-(((depth[1:] - 13) / 7) ** 2)))]
    kl: list[float | None] = [None, *(float(x) for x in 0.02 * np.exp(0.15 * depth[1:]))]
    kept = [i for i in layers[1:] if (induce[i] or 0) > 0 and (kl[i] or 1) <= 0.3 and i < 24]
    score = [bypass[i] if i in kept else None for i in layers]
    options = {"max_kl": 0.3, "min_induce": 0.0, "deepest": 0.2}
    return ChoiceView(
        "best",
        {
            "vector": "refusal",
            "criterion": "refusal_selection",
            "chosen": list(chosen),
            "layers": layers,
            "order": sorted(kept, key=lambda i: score[i] or 0.0),
            "score": score,
            "figures": {"bypass": bypass, "induce": induce, "kl": kl},
            "notes": [],
        },
        options,
        LAYERS,
        "Qwen1.5-1.8B-Chat; harmful.train (32 prompts) against harmless.train (32 prompts)",
    )


def ranked_choice(criterion: str, keep: int = 1) -> ChoiceView:
    """What a real criterion says of the made-up vector, as the record keeps it."""
    from steerdsl.methods.types import Candidates

    view = vector_view()
    assert view.positive is not None and view.negative is not None
    v = view.vector
    ranking = find("select", criterion).run(
        Candidates(view.positive, view.negative, v.directions, v.layers, LAYERS, v.stream)
    )

    def numbers(values: torch.Tensor) -> list[float | None]:
        return [None if math.isnan(x) else x for x in values.tolist()]

    choice = {
        "vector": "topic",
        "criterion": criterion,
        "chosen": ranking.order[:keep],
        "layers": v.layers.tolist(),
        "order": ranking.order,
        "score": numbers(ranking.score),
        "figures": {name: numbers(values) for name, values in ranking.figures.items()},
        "notes": [],
    }
    return ChoiceView("best", choice)


def figures(mean: float | None, reach: float = 0.08, n: int = 16) -> dict[str, Any]:
    if mean is None:
        return {"mean": None, "low": None, "high": None, "n": 0}
    return {"mean": mean, "low": max(0.0, mean - reach), "high": min(1.0, mean + reach), "n": n}


def scored(metric: str, at: Mapping[str, str], steered: Callable[[str], float | None]) -> list[Row]:
    """The figures of a point: two data sets with a baseline and a steer."""
    return [
        Row(metric, name, variant, **figures(mean), at=at)
        for place, name in enumerate(("harmful", "harmless"))
        for variant, mean in (("baseline", 0.9 - 0.7 * place), ("turn", steered(name)))
    ]


def put(view: ScoreView, data: str, variant: str, mean: Callable[[Mapping[str, str]], float | None]) -> ScoreView:
    """The view with another figure of a variant at every point."""
    made: list[Row] = []
    for point in view.rows.points.values():
        new = Row(view.metric, data, variant, **figures(mean(point[0].at)), at=point[0].at)
        others = [row for row in point if (row.data, row.variant) != (data, variant)]
        made += [*others, new] if len(others) == len(point) else [new if row not in others else row for row in point]
    return replace(view, rows=Table(made))


def angle_view(polar: bool = False, datasets: tuple[str, ...] = (), step: int = 10) -> ScoreView:
    """A rate around the circle, in no order of angles."""

    def rate(angle: int) -> Callable[[str], float]:
        return lambda name: 0.5 + (0.45 if name == "harmful" else 0.2) * math.cos(math.radians(angle - 30))

    degrees = [*range(180, 360, step), *range(0, 180, step)]
    found = Table(row for x in degrees for row in scored("refusal_rate", {"angle": f"{x}deg"}, rate(x)))
    numbers = {("angle", f"{x}deg"): float(x) for x in degrees}
    return ScoreView("scores", "refusal_rate", found, numbers, ("angle",), polar, datasets)


def grid_view(over: tuple[str, ...], datasets: tuple[str, ...] = ()) -> ScoreView:
    """A rate over strength and depth, of which depth is a share."""
    found: list[Row] = []
    numbers: dict[tuple[str, str], float] = {}
    for strength in (0.5, 1.0, 1.5, 2.0, 3.0):
        for depth in (25, 50, 75):
            value = 0.9 * math.exp(-strength * (1 - abs(depth - 45) / 50))
            labels = {"strength": f"{strength:g}", "depth": f"{depth}%"}
            by_name = {"harmful": value, "harmless": 0.1 + 0.3 * value}
            found += scored("refusal_rate", labels, by_name.get)
            numbers |= {("strength", labels["strength"]): strength, ("depth", labels["depth"]): depth / 100}
    return ScoreView("scores", "refusal_rate", Table(found), numbers, over, False, datasets)


def turned_view(absolute: bool) -> ScoreView:
    """A sweep around the circle that knows its plane, with the controls beside it."""
    view = angle_view(polar=True, datasets=("harmful",))
    view = put(view, "harmful", "random", lambda at: 0.5 + 0.1 * math.sin(math.radians(float(at["angle"][:-3]))))
    view = put(view, "harmful", "prompted", lambda at: 0.7)
    about = "Qwen2.5-Coder-1.5B-Instruct; harmful.held_out; `rotate turn to angle at layers 10..20`"
    return replace(view, turning=Turning("turn", absolute, plane_view().plane), about=about)


def bar_view() -> ScoreView:
    """Three variants outside a sweep, one without an interval."""
    scores = {
        "econ": {"baseline": figures(0.16), "forgetful": figures(0.04, 0.03), "random": figures(0.14)},
        "generic": {
            "baseline": figures(0.01, 0.01),
            "forgetful": figures(0.02, 0.01),
            "random": {"mean": 0.03, "low": None, "high": None, "n": 1},
        },
    }
    return ScoreView("scores", "keyword_rate", of_json({"scores": {"keyword_rate": scores}}))


# Every plot, each with a view that it can draw: name of the picture -> entry, view, options.
def search_view(layers: bool = True, strength: bool = True, limit: float = 0.6, top: bool = True) -> SearchView:
    """A search by hand: the goal peaks at layer 8 and strength 2, and the limit is reached at strength 2.5."""
    axes: dict[str, Any] = {}
    if layers:
        axes["depth"] = {"low": 20.0, "high": 80.0, "unit": "%", "layers": True}
    if strength:
        axes["strength"] = {"low": 0.0, "high": 4.0, "unit": "", "layers": False}
    trials = []
    for layer in (6, 8, 10) if layers else (8,):
        for x in (0.5, 1.0, 1.75, 2.0, 2.25, 3.0, 3.75) if strength else (2.0,):
            values = {"depth": float(layer), "strength": x}
            over = x / 2.5 * 0.6 / limit - 1
            goal = None if x == 3.75 and layer == 6 else 10 - (x - 2) ** 2 * 4 - abs(layer - 8)
            trials.append(
                {
                    "at": {axis: f"{10 * layer}%" if axis == "depth" else f"{x:g}" for axis in axes},
                    "values": {axis: values[axis] for axis in axes},
                    "layers": {"depth": layer} if layers else {},
                    "goal": goal,
                    "over": [over if goal is not None else None],
                    "holds": [goal is not None and over < 0],
                    "feasible": goal is not None and over < 0,
                    "failed": None if goal is not None else "not finite",
                }
            )
    best = max((t for t in trials if t["feasible"]), key=lambda t: t["goal"], default=None) if top else None
    ends = {"start": "1.75", "stop": "2.25", "low": 1.75, "high": 2.25, "trials": 3}
    beside = {"below": "strength 1: the goal is 6", "above": "strength 3: `kl.econ < 0.6` does not hold"}
    ranges = [{"axis": "strength", **ends, **beside}] if best and strength else []
    made = {"goal": "maximize keyword_rate.generic - 0.5 * keyword_rate.econ", "limits": [f"kl.econ < {limit}"]}
    more = {"axes": axes, "seed": 0, "evaluations": ["scores"], "trials": trials, "best": best}
    return SearchView("best", {**made, **more, "ranges": ranges, "notes": []}, "a model")


PICTURES: dict[str, tuple[str, Callable[[], Any], dict[str, Any]]] = {
    "pca": ("pca", vector_view, {}),
    "pca-layer": ("pca", vector_view, {"layer": (16,)}),
    "dispersion": ("dispersion", vector_view, {}),
    "dispersion-pair": ("dispersion", pair_view, {}),
    "norms": ("norms", vector_view, {}),
    "norms-bare": ("norms", bare_view, {"scale": "log"}),
    "cosine": ("cosine", vector_view, {}),
    "plane": ("plane", plane_view, {}),
    "choice-refusal": ("choice", refusal_choice, {}),
    "choice-dispersion": ("choice", lambda: ranked_choice("dispersion", 3), {}),
    "choice-raw": ("choice", lambda: ranked_choice("dispersion_raw"), {}),
    "choice-fisher": ("choice", lambda: ranked_choice("fisher"), {}),
    "scores-lines": ("scores", angle_view, {}),
    "scores-polar": ("scores", lambda: angle_view(polar=True), {}),
    "scores-polar-to": ("scores", lambda: turned_view(True), {}),
    "scores-polar-by": ("scores", lambda: turned_view(False), {}),
    "scores-map": ("scores", lambda: grid_view(("strength", "depth")), {}),
    "scores-rest": ("scores", lambda: grid_view(("strength",)), {}),
    "scores-bars": ("scores", bar_view, {}),
    "search": ("search", search_view, {}),
    "search-strength": ("search", lambda: search_view(layers=False), {}),
    "search-layers": ("search", lambda: search_view(strength=False), {}),
    "search-nothing": ("search", lambda: search_view(limit=0.01), {}),
}

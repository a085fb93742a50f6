"""Which runs the gallery is made of, and what it keeps of each.

In: a run directory. Out: a small record, NAME.json beside this file, that the pages' figures are made from.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIGITS = 4
KEPT = ("mean", "low", "high", "n")


# What a page says of a record whose recipe, or whose data, has been changed since.
OUTDATED = (
    "**Made with an earlier version of the recipe or of its data, on fewer prompts: "
    "run it again for the figures of today's.**"
)
BUILT_IN = re.compile(r"\b(?:econ|generic)\b")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a recipe: `sets` are its `--set` options, `pictures` the plots that a page shows.

    `needs` says what must be at hand before it can run, beside the default model; `growth` names vectors
    whose class means are followed over the layers.
    """

    recipe: str
    sets: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    needs: str = ""
    growth: tuple[str, ...] = ()


RUNS: Mapping[str, Run] = {
    "oneliner": Run("oneliner"),
    "econ": Run("econ", pictures=("topic.png",)),
    "econ_search": Run("econ_search"),
    "slides_econ": Run("slides_econ", pictures=("pca.png",)),
    "slides_mmlu": Run("slides_mmlu"),
    "slides_judged": Run("slides_judged", pictures=("judged.png",), needs="a judge"),
    "slides_chemistry": Run("slides_chemistry", pictures=("loss.png",)),
    "slides_maths": Run("slides_maths"),
    "slides_summaries": Run("slides_summaries"),
    "notes1_curves": Run("notes1_curves", pictures=("pre.png", "mid.png", "norms.png"), growth=("pre",)),
    "notes1_layers": Run("notes1_layers"),
    "notes1_template": Run("notes1_template", pictures=("curves.png",)),
    "notes1_template_none": Run("notes1_template", ("template=none",), pictures=("curves.png",)),
    "notes1_template_newline": Run("notes1_template", ("template=newline",), pictures=("curves.png",)),
    "notes1_iterative": Run("notes1_iterative"),
    "rotation": Run("rotation", pictures=("stream.png", "turned.png", "random.png")),
    "rotation_refusal": Run("rotation_refusal", pictures=("turned.png",)),
    "refusal": Run("refusal", pictures=("choice.png",)),
    "refusal_weights": Run("refusal_weights"),
    "emotions": Run("emotions"),
    "sycophancy": Run("sycophancy"),
    "caa": Run("caa"),
}

# What another model is given: Arditi et al.'s own filters, which nothing of the default model passes.
ELSEWHERE: Mapping[str, tuple[str, ...]] = {"refusal": ("most_kl=0.1", "least_induce=0")}


def path(name: str) -> Path:
    """Where a record is kept. `name` is a run's, with `.TAG` behind it for another model."""
    return HERE / f"{name}.json"


def read(name: str) -> dict[str, Any] | None:
    """A record, or None where the run was not made yet."""
    if not path(name).exists():
        return None
    found: dict[str, Any] = json.loads(path(name).read_text(encoding="utf-8"))
    return found


def essence(text: str) -> str:
    """A hash of a recipe without its comments, which may be reworded after a run."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def outdated(record: Mapping[str, Any]) -> bool:
    """Whether the recipe has been changed since a record was made of it, or the built-in sets, which grew from 75
    rows to 200 before records said what data they were made on."""
    text = (ROOT / "recipes" / f"{record['recipe']}.steer").read_text(encoding="utf-8")
    on_fewer_rows = "data" not in record and BUILT_IN.search(text) is not None
    return bool(record["recipe_sha256"] != essence(text)) or on_fewer_rows


def small(name: str, folder: Path) -> dict[str, Any]:
    """What the gallery keeps of the run in `folder`: no texts, no value of a single prompt, no paths."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    model, run = record["model"], RUNS[name.partition(".")[0]]
    return {
        "recipe": run.recipe,
        "recipe_sha256": essence(record["recipe"]["text"]),
        "params": record["plan"]["params"],
        "data": {key: value["sha256"] for key, value in record["data"].items()},
        "model": Path(model["id"]).name,
        "weights_sha256": model["weights_sha256"],
        "dtype": record["run"]["dtype"],
        "device": record["run"]["device"],
        "packages": record["packages"],
        "seconds": round(record["seconds"]),
        "state": record["state"],
        "choices": {key: _choice(value) for key, value in record["choices"].items()},
        "planes": {key: _plane(value) for key, value in record["planes"].items() if key.isidentifier()},
        "growth": {vector: rounded(growth(_means(folder, vector))) for vector in run.growth},
        "judge": record["judge"],
        "checks": [rounded(check) for check in record["checks"]],
        "scores": {key: _swept(value) if "points" in value else _table(value) for key, value in scores.items()},
    }


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The layers, best first, and every figure of every layer."""
    found: dict[str, Any] = rounded({key: choice[key] for key in ("chosen", "layers", "figures")})
    return found


def _plane(plane: Mapping[str, Any]) -> dict[str, Any]:
    return {key: rounded(plane[key]) for key in ("kind", "explained", "across") if key in plane}


def growth(means: NDArray[Any]) -> dict[str, Any]:
    """How a class mean [layers, d] moves away from the origin, layer by layer.

    Its norm; the share of the norm's variance that a line explains, and that an exponential does, whose
    logarithm is fitted by least squares; and the cosine of each layer's step with the next one. The fits
    leave the first layer out, where every prompt that ends in the same token is at the same place.
    """
    norm, steps = np.linalg.norm(means, axis=1), np.diff(means, axis=0)
    x, y = np.arange(len(norm))[1:], norm[1:]
    slope, start = np.polyfit(x, np.log(y), 1)
    length = np.linalg.norm(steps, axis=1)
    return {
        "norm": norm.tolist(),
        "line": _explained(y, np.polyval(np.polyfit(x, y, 1), x)),
        "exponential": _explained(y, np.exp(start + slope * x)),
        "factor": float(np.exp(slope)),
        "step": length.tolist(),
        "step_cosine": ((steps[:-1] * steps[1:]).sum(1) / (length[:-1] * length[1:])).tolist(),
    }


def _explained(y: NDArray[Any], fitted: NDArray[Any]) -> float:
    return float(1 - ((y - fitted) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def _means(folder: Path, vector: str) -> NDArray[Any]:
    from safetensors.numpy import load_file

    return load_file(folder / "vectors" / f"{vector}.safetensors")["mean_positive"].astype(np.float64)


def _table(table: Mapping[str, Any]) -> dict[str, Any]:
    """Metric, data set, variant: mean, interval, n, and the steer's differences from the others."""
    return {
        metric: {
            data: {variant: _figures(figures) for variant, figures in by_variant.items()}
            for data, by_variant in by_data.items()
        }
        for metric, by_data in table.items()
    }


def _figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: figures[key] for key in KEPT}
    if against := figures.get("against"):
        kept["against"] = {
            other: {key: found[key] for key in ("difference", "low", "high", "p_holm")}
            for other, found in against.items()
        }
    found: dict[str, Any] = rounded(kept)
    return found


def _swept(score: Mapping[str, Any]) -> dict[str, Any]:
    """The points once, the prompts of each data set, and the means of each metric, data set and variant."""
    points: Sequence[Mapping[str, Any]] = score["points"]
    first = points[0]["scores"]
    counts: dict[str, int] = {}
    for by_data in first.values():
        for data, by_variant in by_data.items():
            counts[data] = max(counts.get(data, 0), *(figures["n"] for figures in by_variant.values()))
    return {
        "at": [" ".join(map(str, point["at"].values())) for point in points],
        "n": counts,
        "means": {
            metric: {
                data: {
                    variant: [rounded(point["scores"][metric][data][variant]["mean"]) for point in points]
                    for variant in by_variant
                }
                for data, by_variant in by_data.items()
            }
            for metric, by_data in first.items()
        },
    }


def rounded(value: Any) -> Any:
    """Every number in it to `DIGITS` significant digits."""
    match value:
        case bool() | int():
            return value
        case float():
            return float(f"{value:.{DIGITS}g}")
        case dict():
            return {key: rounded(item) for key, item in value.items()}
        case list():
            return [rounded(item) for item in value]
        case _:
            return value

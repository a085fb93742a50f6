"""`read` from recipe to figures, against transformers, numpy and scikit-learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from states import last_states, vector

CITIES = ["Paris", "Rome", "Bern", "Oslo", "Lima", "Quito", "Cairo", "Accra", "Dakar", "Delhi", "Tokyo", "Seoul"]
TOPIC = """
dataset cities = "cities.csv" with field: "text", held_out: 50% positive where label == 1 negative where label == 0
dataset other = "other.csv" with field: "text" positive where label == 1 negative where label == 0
dataset every = "other.csv" with field: "text"
"""
FIT = TOPIC + "topic = extract diffmean from cities\n"


@pytest.fixture
def texts() -> list[tuple[str, int]]:
    """Statements of both classes, which the classes of another file overlap with."""
    rows = [(f"{city} is {'a large and old town' if i % 3 else 'small'}", i % 2) for i, city in enumerate(CITIES)]
    for name, made in (("cities.csv", rows), ("other.csv", [(f"They say {t}", label) for t, label in rows])):
        Path(name).write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in made)]))
    return [(f"They say {text}", label) for text, label in rows]


def test_figures_are_those_of_transformers_and_scikit_learn(
    on_tiny: Any, steerdsl: Any, tiny_model: Path, texts: list[tuple[str, int]]
) -> None:
    recipe = FIT + "reading = read topic[1] on other\nwhole = read topic[1] on every\n"
    recipe += "check reading.auroc.other > 0.3 with confidence: 95%\ncheck whole.mean < reading.mean_positive + 100\n"
    Path("r.steer").write_text(recipe)
    code, _, err = on_tiny("run", "r.steer", "--out", "r")
    assert code in (0, 5), err
    states = last_states(tiny_model, [text for text, _ in texts])[:, 1]
    labels = np.array([label for _, label in texts])
    direction = vector("r", "topic")[1]
    x = states @ (direction / np.linalg.norm(direction))
    found = json.loads(Path("r/scores.json").read_text())["reading"]
    figures = {metric: found[metric]["other"]["topic"] for metric in found}
    assert figures["auroc"]["mean"] == pytest.approx(roc_auc_score(labels, x))
    for side, label in (("positive", 1), ("negative", 0)):
        own = x[labels == label]
        assert figures[f"mean_{side}"]["mean"] == pytest.approx(own.mean(), abs=1e-4)
        assert figures[f"sd_{side}"]["mean"] == pytest.approx(own.std(ddof=1), rel=1e-3)
        assert figures[f"mean_{side}"]["values"] == pytest.approx(own.tolist(), abs=1e-4)
    whole = json.loads(Path("r/scores.json").read_text())["whole"]
    assert whole["mean"]["every"]["topic"]["mean"] == pytest.approx(x.mean(), abs=1e-4)
    shown = steerdsl("show", "r")[1]
    assert "reading, other" in shown and "auroc" in shown
    assert "auroc" in Path("r/report.html").read_text()
    checks = json.loads(Path("r/record.json").read_text())["checks"]
    assert checks[0]["left"] == pytest.approx(roc_auc_score(labels, x)) and checks[0]["p"] is not None


def test_accuracy_is_at_the_middle_of_the_fitted_means(
    on_tiny: Any, tiny_model: Path, texts: list[tuple[str, int]]
) -> None:
    code, _, err = on_tiny("run", "-e", FIT + "reading = read topic[2] on other", "--out", "r")
    assert code == 0, err
    from safetensors import safe_open

    with safe_open("r/vectors/topic.safetensors", "np") as file:
        middle = (file.get_tensor("mean_positive")[2] + file.get_tensor("mean_negative")[2]) / 2
    direction = vector("r", "topic")[2]
    unit = direction / np.linalg.norm(direction)
    x = last_states(tiny_model, [text for text, _ in texts])[:, 2] @ unit
    right = np.mean((x > middle @ unit) == [label == 1 for _, label in texts])
    found = json.loads(Path("r/scores.json").read_text())["reading"]["accuracy"]["other"]["topic"]
    assert found["mean"] == pytest.approx(right) and found["low"] < right < found["high"] + 1e-9


def test_the_held_out_part_is_read_and_the_fitted_one_is_told(on_tiny: Any, texts: list[tuple[str, int]]) -> None:
    Path("r.steer").write_text(FIT + "reading = read topic[1] on cities\n")
    code, out, _ = on_tiny("plan", "r.steer")
    words = " ".join(out.split())
    assert code == 0 and "cities.held_out (positive)" in words and "read reading: topic[1] on cities.held_out" in words
    Path("s.steer").write_text(FIT + "reading = read topic[1] on cities.train\n")
    code, _, err = on_tiny("plan", "s.steer")
    assert "S450" in err


def test_a_reading_is_taken_from_the_store(on_tiny: Any, texts: list[tuple[str, int]]) -> None:
    recipe = FIT + "reading = read topic[1] on other\n"
    on_tiny("run", "-e", recipe, "--out", "r")
    _, out, _ = on_tiny("plan", "-e", recipe + "ablate topic everywhere\nevaluate on every with distinct_1\n")
    words = " ".join(out.split())
    assert words.count("when done: the store has it") == 2
    on_tiny("run", "-e", FIT.replace("topic =", "also =") + "again = read also[1] on other\n", "--out", "s")
    first, second = (json.loads(Path(f"{run}/scores.json").read_text()) for run in "rs")
    assert second["again"]["auroc"]["other"]["also"] == first["reading"]["auroc"]["other"]["topic"]


def test_a_layer_that_the_model_does_not_have(on_tiny: Any, texts: list[tuple[str, int]]) -> None:
    code, _, err = on_tiny("run", "-e", FIT + "reading = read topic[40] on other")
    assert code == 1 and "error[P7" in err and "Traceback" not in err


def test_eject_says_that_it_leaves_a_reading_out(on_tiny: Any, texts: list[tuple[str, int]]) -> None:
    Path("r.steer").write_text(FIT + "reading = read topic[1] on other\nablate topic everywhere\n")
    code, _, err = on_tiny("eject", "r.steer", "--out", "r.py")
    assert code == 0, err
    assert "the reading `reading`" in Path("r.py").read_text() + err

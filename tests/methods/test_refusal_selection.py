"""`refusal_selection`: the published choices again, and a linear model against scipy's arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch
from classes import activations, select, unit

from steerdsl.methods.select.refusal_selection import kl, passing, refusal_score
from steerdsl.methods.types import Candidates, Directions, MethodError, Trial

PUBLISHED = json.loads((Path(__file__).parent / "data" / "arditi_evaluations.json").read_text())


@pytest.mark.parametrize("model", sorted(PUBLISHED["models"]))
def test_the_filter_picks_arditi_s_published_direction(model: str) -> None:
    """From the published evaluations of every position and layer."""
    table = PUBLISHED["models"][model]
    rows = np.array(table["rows"], dtype=float)
    figures = dict(zip(("bypass", "induce", "kl"), torch.from_numpy(rows[:, 2:].copy()).T, strict=True))
    kept = passing(figures, torch.from_numpy(rows[:, 1].astype(int)), table["layers"], 0.1, 0.0, 0.2).numpy()
    winner = rows[np.where(kept, rows[:, 2], np.inf).argmin()]
    assert winner[:2].astype(int).tolist() == table["chosen"]


class Model:
    """A linear stand-in: logits are W h; ablation projects h, addition shifts it at any layer."""

    def __init__(self, positive: np.ndarray, negative: np.ndarray, w: np.ndarray) -> None:
        self.h = {"positive": torch.from_numpy(positive), "negative": torch.from_numpy(negative)}
        self.w = torch.from_numpy(w)
        self.asked: list[tuple[str, bool, int | None]] = []

    def figures(self, class_, trials, figure):
        plain = self.logits(class_, Trial())
        return torch.stack([figure(plain, self.logits(class_, trial)) for trial in trials])

    def logits(self, class_, trial):
        self.asked.append((class_, trial.ablate is not None, None if trial.add is None else trial.add[0]))
        h = self.h[class_]
        if trial.ablate is not None:
            h = h - (h @ trial.ablate.double().T) @ trial.ablate.double()
        if trial.add is not None:
            h = h + trial.add[1].double()
        return (h @ self.w.T).float()

    def first_tokens(self, texts):
        return [{"I": 0, "As": 1}[t] for t in texts]


def refusing(direction: np.ndarray, rng: np.random.Generator) -> tuple[Candidates, Model]:
    """A model that says token 0 along `direction`; candidates at layers 1 to 4, the second of which is it."""
    d = len(direction)
    negative = rng.normal(size=(12, d)) * 0.3
    negative -= np.outer(negative @ direction, direction) + 0.5 * direction
    positive = negative + 4 * direction
    w = rng.normal(size=(9, d)) * 0.4
    w -= np.outer(w @ direction, direction)
    w[0] = 5 * direction
    others = unit(rng.normal(size=(3, d)))
    rows = np.stack([others[0], direction, others[1], others[2]])
    directions = Directions(torch.from_numpy(rows[:, None]).float(), torch.full((4, 1), 4.0, dtype=torch.float64))
    p, n = (np.repeat(x[:, None], 4, 1) for x in (positive, negative))
    given = Candidates(activations(p), activations(n), directions, torch.arange(1, 5), 10, "resid_pre")
    model = Model(positive, negative, w)
    return replace(given, probe=model), model


def test_refusal_selection_against_the_formulas() -> None:
    rng = np.random.default_rng(0)
    direction = unit(rng.normal(size=10))
    given, model = refusing(direction, rng)
    got = select("refusal_selection", given, max_kl=10.0, min_induce=-100.0, tokens="I, As")

    def probabilities(h):
        return scipy.special.softmax((h @ model.w.numpy().T).astype(np.float32).astype(float), axis=-1)

    def score(p):
        refusal = p[:, :2].sum(-1)
        return np.mean(np.log(refusal) - np.log1p(-refusal))

    positive, negative = (model.h[c].numpy() for c in ("positive", "negative"))
    for i, r in enumerate(given.directions.unit[:, 0].double().numpy()):
        without = lambda h: h - np.outer(h @ r, r)  # noqa: B023, E731
        base, ablated = probabilities(negative), probabilities(without(negative))
        assert float(got.figures["bypass"][i]) == pytest.approx(score(probabilities(without(positive))), rel=1e-5)
        assert float(got.figures["induce"][i]) == pytest.approx(score(probabilities(negative + 4 * r)), rel=1e-5)
        wanted = np.mean(np.sum(base * np.log(base / ablated), -1))
        assert float(got.figures["kl"][i]) == pytest.approx(wanted, rel=1e-4, abs=1e-9)
    assert got.order[0] == 2
    assert {a[2] for a in model.asked} == {None, 1, 2, 3, 4}
    assert got.score[got.kept].tolist() == got.figures["bypass"][got.kept].tolist()


def test_refusal_selection_filters() -> None:
    rng = np.random.default_rng(0)
    given, _ = refusing(unit(rng.normal(size=10)), rng)
    got = select("refusal_selection", given)
    assert got.order == [2, 1, 4] and float(got.figures["induce"][2]) < 0
    assert select("refusal_selection", given, max_kl=0.05).order == [1, 4]
    assert select("refusal_selection", given, min_induce=5).order == [2]
    assert select("refusal_selection", replace(given, layers=torch.arange(6, 10))).order == [7, 6]
    assert select("refusal_selection", replace(given, layers=torch.arange(6, 10)), deepest=0.0).order == [7, 6, 9]


def test_refusal_selection_shows_the_best_of_each_filter_when_nothing_survives() -> None:
    rng = np.random.default_rng(0)
    given, _ = refusing(unit(rng.normal(size=10)), rng)
    with pytest.raises(MethodError) as error:
        select("refusal_selection", given, max_kl=-1.0)
    figures = select("refusal_selection", given, max_kl=10.0, min_induce=-100.0).figures
    problem = error.value.problem
    assert problem.startswith(
        "no layer passes refusal_selection (kl at most -1, induce at least 0, not in the last 20% of the layers): "
    )
    for name, i in (
        ("bypass", figures["bypass"].argmin()),
        ("induce", figures["induce"].argmax()),
        ("kl", figures["kl"].argmin()),
    ):
        values = ", ".join(f"{k} {float(v[i]):.3g}" for k, v in figures.items())
        assert f"best {name} at layer {int(i) + 1} ({values})" in problem


def test_refusal_score_keeps_its_precision_where_refusal_is_certain() -> None:
    """1 - p would be 0 in float64; the score is the difference of the logits."""
    logits = torch.tensor([[60.0, 0.0, -40.0], [0.0, 0.0, -40.0]])
    np.testing.assert_allclose(refusal_score(logits, [0]).numpy(), [60.0, 0.0], atol=1e-12)


def test_kl_is_exact_at_a_large_vocabulary() -> None:
    """10 nats on fifty thousand tokens: log(p + 1e-6), as in the published code, finds 3 of them."""
    n = 50_000
    base = torch.cat([torch.zeros(1, n), torch.full((1, 1), -200.0)], -1).double()
    other = torch.cat([torch.full((1, n), -10.0 - np.log(n)), torch.full((1, 1), np.log1p(-np.exp(-10.0)))], -1)
    assert float(kl(base, other)) == pytest.approx(10.0, abs=1e-6)
    p, q = base.softmax(-1), other.double().softmax(-1)
    biased = float((p * ((p + 1e-6).log() - (q + 1e-6).log())).sum())
    assert biased == pytest.approx(3.0, abs=0.05)


NUMERIC = {("select", "refusal_selection"): test_refusal_selection_against_the_formulas}

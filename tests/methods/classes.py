"""Two classes of made-up activations, and candidates made from them, for the tests of the methods."""

from __future__ import annotations

import numpy as np
import torch

from steerdsl.methods.types import Activations, Candidates, Ranking
from steerdsl.registry import find


def activations(rows: np.ndarray) -> Activations:
    """What the engine would fill in from rows [n, L, d]; the figures are numpy's."""
    rows = np.asarray(rows, dtype=np.float32)
    exact = rows.astype(np.float64)
    return Activations(
        n=len(rows),
        mean=torch.from_numpy(exact.mean(0)),
        variance=torch.from_numpy(exact.var(0, ddof=1)) if len(rows) > 1 else None,
        median_norm=torch.from_numpy(np.median(np.linalg.norm(exact, axis=-1), axis=0)),
        rows=torch.from_numpy(rows),
    )


def gaussians(n: int = 40, layers: int = 3, d: int = 12, seed: int = 0, shift: float = 2.0) -> tuple[np.ndarray, ...]:
    """Rows [n, L, d] of two classes with anisotropic noise, float32, apart along another axis in each layer."""
    rng = np.random.default_rng(seed)
    spread = np.exp(rng.normal(0, 0.7, size=(layers, d)))
    middle = rng.normal(0, 3, size=(layers, d))
    delta = rng.normal(size=(layers, d))
    delta *= shift / np.linalg.norm(delta, axis=-1, keepdims=True)
    positive = middle + delta + spread * rng.normal(size=(n, layers, d))
    negative = middle + spread * rng.normal(size=(n, layers, d))
    return positive.astype(np.float32), negative.astype(np.float32)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def candidates(p: np.ndarray, n: np.ndarray, layers: list[int] | None = None, n_layers: int = 10) -> Candidates:
    """The diffmean directions of two classes [n, L, d], at layers 1, 2, … unless said."""
    positive, negative = activations(p), activations(n)
    numbers = torch.tensor(layers or list(range(1, p.shape[1] + 1)))
    directions = find("extract", "diffmean").run(positive, negative)
    return Candidates(positive, negative, directions, numbers, n_layers, "resid_post")


def select(name: str, given: Candidates, **options: object) -> Ranking:
    return find("select", name).run(given, **options)

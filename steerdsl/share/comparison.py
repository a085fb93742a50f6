"""Two runs side by side: what went in, vectors, scores, answers.

In: two run directories read back. Out: what differs, as plain values; the vectors as cosines. No
tolerance is applied: what is not the same is said, and by how much.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steerdsl.measure.table import Row, Table, said
from steerdsl.share.pins import PinDifference, differences, pins
from steerdsl.store.finished_run import Finished
from steerdsl.store.pairs import Read, named, pairs, vectors

if TYPE_CHECKING:
    from numpy import ndarray

Place = tuple[str, ...]
Part = tuple[str, bool]  # some words, and whether the other side lacks them


@dataclass(frozen=True, slots=True)
class VectorPair:
    """One vector in both runs. `cosines`: (layer, cosine) of each direction of the layers that both have;
    `norms`: the largest relative difference of raw norms; `missing`: which side lacks it, if one does."""

    name: str
    equal: bool
    cosines: tuple[tuple[int, float], ...] = ()
    norms: float | None = None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class ScorePair:
    """One mean in both runs, None where a run lacks it. `place`: evaluation, point, metric, data set, variant."""

    place: Place
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """The second minus the first."""
        return None if self.before is None or self.after is None else self.after - self.before


@dataclass(frozen=True, slots=True)
class AnswerPair:
    """An answer in both runs, to the same prompt at the same place, that differs."""

    place: Place
    prompt: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that two runs have in common or not. `alone`: answers that only the first, only the
    second run has."""

    settings: tuple[PinDifference, ...]
    vectors: tuple[VectorPair, ...]
    scores: tuple[ScorePair, ...]
    answers: tuple[AnswerPair, ...]
    equal_answers: int
    alone: tuple[int, int]

    @property
    def changed_scores(self) -> tuple[ScorePair, ...]:
        """The scores that differ."""
        return tuple(s for s in self.scores if s.before != s.after)

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        same = all(v.equal for v in self.vectors) and not self.changed_scores
        return same and not (self.settings or self.answers or any(self.alone))


def compare_runs(before: Finished, after: Finished) -> Comparison:
    """Compare two runs. Times and places on the disk are not compared."""
    settings = differences(_inputs(before), _inputs(after))
    return Comparison(
        tuple(settings),
        tuple(_vector(*pair) for pair in vectors(before.folder, after.folder)),
        tuple(ScorePair(*pair) for pair in pairs(_means(before.scores), _means(after.scores))),
        *_answers(before.answers, after.answers),
    )


def _inputs(run: Finished) -> dict[str, Any]:
    """What went in, and how and where it was run."""
    record = run.record
    how = {f"run.{name}": record["run"].get(name) for name in ("keep_unsafe", "on")}
    machine = {f"machine.{name}": value for name, value in record["machine"].items()}
    return {**pins(record), **how, **machine, "machine.device": record["run"]["device"], "state": record["state"]}


def _vector(name: str, before: Read | None, after: Read | None) -> VectorPair:
    a, b = _whole(before), _whole(after)
    if a is None or b is None:
        return VectorPair(name, False, missing="the first" if a is None else "the second")
    return _pair(name, a, b)


def _whole(read: Read | None) -> dict[str, ndarray] | None:
    """A vector's tensors; None where a file has not what makes a vector."""
    found = {} if read is None else read[1]
    tensors = {key: (t.float() if t.is_floating_point() and t.itemsize < 4 else t).numpy() for key, t in found.items()}
    if not {"directions", "layers", "raw_norms"} <= tensors.keys():
        return None
    rows, layers, norms = (tensors[key] for key in ("directions", "layers", "raw_norms"))
    whole = rows.ndim == 2 and layers.shape == norms.shape == rows.shape[:1]
    numbers = rows.dtype.kind == norms.dtype.kind == "f" and layers.dtype.kind in "iu"
    return tensors if whole and numbers else None


def _pair(name: str, a: Mapping[str, ndarray], b: Mapping[str, ndarray]) -> VectorPair:
    import numpy as np

    equal = a.keys() == b.keys() and all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)
    if a["directions"].shape[1] != b["directions"].shape[1]:
        return VectorPair(name, equal)
    # The row of each direction by its layer and its number there.
    places = [named(range(len(layers)), layers.__getitem__) for layers in (side["layers"].tolist() for side in (a, b))]
    shared = [(place, i, j) for place, i, j in pairs(*places) if i is not None and j is not None]
    rows = [[i for _, i, _ in shared], [j for _, _, j in shared]]
    left, right = (side["directions"][at].astype(np.float64) for side, at in zip((a, b), rows, strict=True))
    norms = [side["raw_norms"][at] for side, at in zip((a, b), rows, strict=True)]
    size = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    # A layer that gave nothing has a zero row, which is like itself alone.
    cosines = np.where(size > 0, (left * right).sum(1) / np.where(size > 0, size, 1), (left == right).all(1))
    largest = np.maximum(*map(np.abs, norms))
    apart = np.abs(norms[0] - norms[1]) / np.where(largest > 0, largest, 1)
    found = tuple((layer, float(c)) for ((layer, _), _, _), c in zip(shared, cosines, strict=True))
    return VectorPair(name, equal, found, float(apart.max()) if shared else None)


def _means(scores: Table) -> dict[Place, float | None]:
    return {_place(row): row.mean for row in scores}


def _place(row: Row) -> Place:
    return row.evaluation, said(row.at), row.metric, row.data, row.variant


def _answers(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> tuple[tuple[AnswerPair, ...], int, tuple[int, int]]:
    """Answers that differ, the number of equal ones, and how many only one of the runs has."""
    found, equal, alone = [], 0, [0, 0]
    for _, a, b in pairs(*({_asked(row): row for row in rows} for rows in (before, after))):
        if a is None or b is None:
            alone[a is None] += 1
        elif _said(a) == _said(b):
            equal += 1
        else:
            variant = a["variant"] + (f", draw {a['draw']}" if a.get("draw") else "")
            place = (a["step"], variant, a["dataset"], f"row {a['row']}", said(a.get("point", {})))
            found.append(AnswerPair(place, a["prompt"], _text(a), _text(b)))
    return tuple(found), equal, (alone[0], alone[1])


def _asked(row: Mapping[str, Any]) -> str:
    """What an answer answers."""
    names = ("step", "variant", "draw", "dataset", "split", "row", "sample", "prompt", "point")
    return json.dumps([row.get(name) for name in names], sort_keys=True)


def _said(row: Mapping[str, Any]) -> list[Any]:
    return [row.get(name) for name in ("token_ids", "text", "text_sha256", "ended")]


def _text(row: Mapping[str, Any]) -> str:
    return f"(withheld: sha256 {row['text_sha256'][:12]})" if row.get("withheld") else str(row["text"])


def marked(before: str, after: str) -> tuple[list[Part], list[Part]]:
    """Both texts cut at words, with what the other one lacks marked."""
    a, b = (re.findall(r"\s+|[^\s]+", text) for text in (before, after))
    left: list[Part] = []
    right: list[Part] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for side, words in ((left, a[i:j]), (right, b[k:m])):
            if words:
                side.append(("".join(words), kind != "equal"))
    return left, right

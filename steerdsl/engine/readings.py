"""Keep what was read of texts, batch by batch, for a run that is lost before its scores are there.

In: a run, and what makes one batch's figures. Out: the figures, from the store where an earlier run has read the
same batch. They are dropped once a run has come to its end: the scores that were made of them stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steerdsl.forms.kept import FIGURES
from steerdsl.forms.text import read_lines
from steerdsl.store.files import write_lines
from steerdsl.store.folder_locks import discard
from steerdsl.store.results import content_key

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.context import Run


def keeper(run: Run) -> Callable[[str, Any, Callable[[], Sequence[Tensor]]], list[Tensor]]:
    """A `likelihood.Keep` of a run: a batch is known by the model, by what is read of it (`kind`), by its texts and by
    all that acts on each, so that a batch of other texts is another one, as its rounding is."""

    def keep(kind: str, texts: Any, make: Callable[[], Sequence[Tensor]]) -> list[Tensor]:
        import torch

        key = content_key({"readings": kind, "version": 1, "model": run.plan.model_key, "texts": texts})
        run.readings.append(key)

        def read(folder: Path) -> list[Any]:
            return read_lines(folder / "figures.jsonl", FIGURES, within=folder)

        known = run.store.load(key, read)
        if known is not None and len(known) == len(texts):
            return [torch.tensor(line, dtype=torch.float64) for line in known]
        made = [figures.double() for figures in make()]
        lines = [figures.tolist() for figures in made]
        run.store.put(key, {"kind": "batch"}, lambda fresh: write_lines(fresh / "figures.jsonl", lines))
        return made

    return keep


def forget(run: Run) -> None:
    """Drop what a run has kept, once it has come to its end."""
    for key in dict.fromkeys(run.readings):
        discard(run.store.folder(key))
    run.readings.clear()

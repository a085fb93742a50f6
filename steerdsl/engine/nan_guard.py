"""The one guard between a model's weights and figures: nothing that is not finite leaves a pass.

In: the logits of a step of generation, what a reading keeps of its logits, captured statistics. Out:
which rows are broken, as small tensors; on this side of a pass, a `NotFinite` that says where, in which
dtype, and the way out. What runs inside a pass uses torch alone, since it is sent to a server by value.

A row of logits is sound when its largest is finite: nan and +inf show there, and -inf everywhere. Some
-inf are a model's way to rule a token out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.finite import NotFinite
from steerdsl.methods.types import Activations

if TYPE_CHECKING:
    from steerdsl.engine.edits import Touch
    from steerdsl.models.opened import Opened

SOUND = -1


class Passes(Protocol):
    """What this asks of a session of forward passes, to say where a number stopped being finite."""

    @property
    def opened(self) -> Opened: ...
    def trouble(self, reading: Mapping[str, Any], row: int, reads: Sequence[tuple[str, str, float]]) -> Tensor: ...


class LogitWatch:
    """Looks at the logits of each step of generation, as transformers hands them to a logits processor.

    `first` is, for each row, the first step whose logits were not finite, or SOUND. From then on the row
    is given its end token (0 where there is none), so that a sampled batch does not fail for it.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends, self.step = list(ends), 0
        self.first: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores of one step of a batch that keeps all of its rows."""
        return self.look(scores)

    def look(self, scores: Tensor, rows: Sequence[int] | None = None) -> Tensor:
        """The scores [B, vocabulary] of one step, those of broken rows replaced. The first step has all rows of the
        batch, a later one those at the places `rows`, or all."""
        bad = ~scores.amax(-1).isfinite()
        if self.first is None:
            self.first = torch.full_like(bad, SOUND, dtype=torch.long)
        any_bad = bool(bad.any())
        if any_bad:
            places = torch.arange(len(self.first)) if rows is None else torch.tensor(rows)
            places = places.to(bad.device)[bad]
            self.first[places] = self.first[places].where(self.first[places] != SOUND, self.step)
        self.step += 1
        if not any_bad:
            return scores
        ended = torch.full_like(scores, float("-inf"))
        ended[:, self.ends or [0]] = 0.0
        return scores.where(~bad[:, None], ended)


def broken(kept: Any) -> Tensor:
    """Which rows of what a reading keeps are not sound: bool [B]. Kept are logits [B, …, vocab], or for
    each row logits [T, vocab], log-probabilities [T], or a tuple that begins with them."""
    return torch.stack([_unsound(row).cpu() for row in kept])


def _unsound(row: Any) -> Tensor:
    values = row[0] if isinstance(row, tuple) else row
    if not values.numel():
        return torch.tensor(False)
    most = values.amax(-1) if values.ndim > 1 else values
    sound: Tensor = most.isfinite().all()
    return ~sound


def unsound(activations: Sequence[Tensor]) -> list[bool]:
    """Which of several reads hold a number that is not finite."""
    return [not bool(rows.isfinite().all()) for rows in activations]


def require_activations(found: Activations, norms: Tensor, where: str, layers: Sequence[int], session: Passes) -> None:
    """Raise NotFinite R811 when a statistic is not finite. `norms`, float64 [L, n], are those of the samples,
    `where` the stream and the position."""
    bad = ~(found.mean.isfinite().all(dim=-1) & norms.isfinite().all(dim=-1))
    if not bool(bad.any()):
        return
    row = int(bad.nonzero()[0])
    of = f"{int((~norms[row].isfinite()).sum())} of {norms.shape[1]} samples"
    problem = f"activations are not finite: {where}, layer {layers[row]}, {of}, in {_dtype(session)}"
    raise NotFinite(problem, way_out(session), "R811")


@contextmanager
def named(variant: str, data: str) -> Iterator[None]:
    """Say of what is not finite, or does not fit the model's context, whose answers to what were read."""
    try:
        yield
    except NotFinite as error:
        raise NotFinite(f"{error.problem}, for {variant} on {data}", error.way_out, error.code) from error
    except RecipeError as error:
        note = f"read for {variant} on {data}"
        told = [replace(d, notes=(*d.notes, note)) if d.code == "M611" else d for d in error.diagnostics]
        raise RecipeError(told, error.exit_code) from error.__cause__


def require_figures(found: Any) -> None:
    """Raise NotFinite R812 when a figure made of sound logits is not finite, as the log-probability of a
    token that the model rules out."""
    if isinstance(found, Tensor):
        if found.is_floating_point() and not bool(found.isfinite().all()):
            problem = "a figure made of the logits is not finite: the model gives a token no probability at all"
            raise NotFinite(problem, "leave out the texts that the model rules out", "R812")
    elif isinstance(found, list | tuple):
        for part in found:
            require_figures(part)


def logits_error(session: Passes, reading: Mapping[str, Any], bad: Tensor, at: str = "") -> NotFinite:
    """The error of a pass whose logits are not finite in the rows `bad`, bool [B], with the first layer at
    which it shows. `reading` has `inputs`, `touches` and `steps`, as `Session.readings` takes it; `at` says
    when, as `at answer token 3`."""
    row = int(bad.nonzero()[0])
    rows = f"{int(bad.sum())} of {len(bad)} rows of a batch"
    parts = [f"the logits of {rows} are not finite", at, _origin(session, reading, row), f"in {_dtype(session)}"]
    return NotFinite(", ".join(part for part in parts if part), way_out(session, bool(reading["touches"])), "R812")


def broken_rows(
    session: Passes, given: Mapping[str, Tensor], ids: Tensor, touches: Sequence[Touch], steps: Sequence[int | None]
) -> list[NotFinite | None]:
    """The error of each row of a generation whose logits were not finite at its step of `steps` (None where
    they were). Where it begins is asked for the first of them, and said of all that broke at that step."""
    found: list[NotFinite | None] = [None] * len(steps)
    width = given["input_ids"].shape[1]
    for step in sorted({step for step in steps if step is not None}):
        bad = torch.tensor([own == step for own in steps])
        mask = torch.cat([given["attention_mask"], given["attention_mask"].new_ones(len(ids), step)], 1)
        number = (torch.arange(width + step) - width + 1).clamp(min=0).expand(len(ids), -1)
        inputs = {"input_ids": ids[:, : width + step].cpu(), "attention_mask": mask}
        reading = {"inputs": inputs, "touches": touches, "steps": number if step else 0}
        error = logits_error(session, reading, bad, f"at answer token {step + 1}")
        found = [error if own == step else known for own, known in zip(steps, found, strict=True)]
    return found


def end_tokens(config: Any) -> list[int]:
    """The tokens that end an answer, by a generation config."""
    ends = config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def _origin(session: Passes, reading: Mapping[str, Any], row: int) -> str:
    """Where in the model it begins: `from resid_post of layer 2 on`. Nothing where reading that row once
    more does not show it."""
    arch = session.opened.arch
    where = [("resid_pre", 0), *(("resid_post", layer) for layer in range(arch.n_layers))]
    sites = [arch.read(*each) for each in where]
    found = session.trouble(reading, row, [site.tap for site in sites])
    if not bool(found.any()):
        return "after the last layer"
    stream, layer = where[int(found.nonzero()[0])]
    return f"from {stream} of layer {layer} on"


def way_out(session: Passes, steered: bool = False) -> str:
    """What to try: another dtype where this one is narrow, a smaller strength where something was edited."""
    ways = []
    if steered:
        ways.append("take a smaller strength, or other layers")
    if _dtype(session) == "float16":
        ways.append("run with --dtype bf16 or float32, since float16 ends at 65504")
    if not steered:
        ways.append("check the model's weights")
    return "; ".join(ways) or "take a smaller strength, or other layers"


def _dtype(session: Passes) -> str:
    return str(session.opened.info.dtype)

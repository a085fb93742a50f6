"""A model's forward passes, run through nnsight here or on a server.

In: an opened model, batches of token ids, and the touches or reads of `edits`. Out: captured rows,
statistics of them, generated token ids, logits. One static block for each kind of pass loops over
plain data; the program is never text to execute, so the same block runs on this machine, in a
rehearsal of the remote path (`simulate`) and on a server. Nothing but tensors, plain data and
functions crosses: a block names no object of this package, and its functions travel by value.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import cloudpickle
import nnsight
import torch
from nnsight.modeling.transformers import TransformersModel

from steerdsl.engine.context_length import require_fit
from steerdsl.engine.decoding import Loop, Present, visit_present
from steerdsl.engine.edits import Touch, gather, place, read, sizes, visit, walk
from steerdsl.engine.moments import take
from steerdsl.engine.nan_guard import LogitWatch, broken, end_tokens, logits_error, require_figures, unsound
from steerdsl.engine.sampling import processor
from steerdsl.engine.tracing import payload as payload  # importing it is enough
from steerdsl.engine.tracing.ndif import Ndif, greet
from steerdsl.models.generation import spelled_out

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.remote import Link
    from steerdsl.models.opened import Opened


WITNESSED = 50_000_000  # numbers of logits that a witness keeps

# Functions of this package travel by value, however it was installed: a server does not have it.
cloudpickle.register_pickle_by_value(sys.modules[__name__.partition(".")[0]])


@contextmanager
def _quiet() -> Iterator[None]:
    # A row that ends early leaves the loop over passes waiting for one that never comes; nnsight
    # warns for each. That end is the normal one here. transformers logs that its settings are given twice.
    # bitsandbytes warns at each matrix that its 8-bit sums are taken in float16.
    logs = [logging.getLogger(name) for name in ("transformers.generation", "bitsandbytes")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.filterwarnings("ignore", message=".*was never reached.*")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _padding(mask: Tensor) -> Tensor | None:
    """The mask of real tokens, or None when there is no padding and so nothing to protect."""
    return None if bool(mask.all()) else mask


def collect(
    model: Any,
    reads: Sequence[tuple[str, str, float]],
    columns: Tensor | None,
    average: bool,
    picked: Tensor,
    rows: int,
    norms: slice | None = None,
) -> list[Tensor]:
    """What a pass reads, in the order in which it runs, or of it the norms of the features `norms`; called from
    inside a block."""
    kept = []
    for path, side, factor in reads:
        value, _ = read(walk(model, path), side, rows, factor)
        kept.append(gather(value if norms is None else sizes(value, norms), columns, average, picked))
    return kept


class Session:
    """A model ready for tracing. `on` is "local", "simulate" (nnsight's rehearsal of the remote path:
    the request is serialised and run from its bytes) or, with a `link` to a server, "ndif"; then
    `opened` has no weights. `witness`, when it is a list, is given what `logits` reads.

    Raises RecipeError R820 to R832 and R837 from every pass that a server does not carry out, M611 before one
    that is longer than the model's context, and NotFinite R812 for a reading whose logits are not finite.
    """

    def __init__(self, opened: Opened, on: str = "local", link: Link | None = None) -> None:
        self.opened, self.on, self.link = opened, on, link
        self.witness: list[Tensor] | None = None
        self.leaves = link is None  # whether rows that have ended leave their batch
        if link is None:
            self.model = TransformersModel(opened.model, tokenizer=opened.tokenizer)
        else:
            self.model = TransformersModel(opened.info.path, task="text-generation", tokenizer=opened.tokenizer)
            greet(self.model, link)

    def _where(self, *masks: Tensor) -> dict[str, Any]:
        """Where a block runs; `masks` are those of its passes."""
        if self.link is not None:
            self.link.rows = max(len(mask) for mask in masks)
            return {"backend": Ndif(self.link, self.model)}
        return {"remote": "local"} if self.on == "simulate" else {}

    def capture(
        self,
        inputs: Mapping[str, Tensor],
        reads: Sequence[tuple[str, str, float]],
        columns: Tensor | None,
        average: bool,
        picked: Tensor,
        touches: Sequence[Touch] = (),
    ) -> Tensor:
        """Read `reads` (path, side, factor), in the order in which they run: float64 [R, B, d] of the token at
        `columns` or of the average of the mask `picked`; else [R, T, d], every token of that mask a row.

        The pass stops after the last of them; with `touches`, which may come later, it runs to its
        end, and activations are read after the edits.
        """
        require_fit([inputs], self.opened.arch)
        model, batch, mask = self.model, dict(inputs), inputs["attention_mask"].bool()
        padded, rows = _padding(mask), len(mask)
        with _quiet(), model.trace(**self._where(mask)) as tracer:
            with tracer.invoke(batch):
                if touches:
                    visit(place(model, touches), rows, 0, padded, {})
            with tracer.invoke():
                kept = nnsight.save(collect(model, reads, columns, average, picked, rows))
                if not touches:
                    tracer.stop()
        return torch.stack(list(kept))

    def captures(self, inputs: Mapping[str, Tensor], wants: Sequence[Mapping[str, Any]]) -> list[Tensor]:
        """What `capture` gives of several wants, in one pass on this machine, which stops after the last of them.

        A want is a dict with `reads`, `columns`, `average` and `picked`, as `capture` takes them, and `norms`: the
        features whose norms alone are kept, or None.
        """
        require_fit([inputs], self.opened.arch)
        model, batch, rows = self.model, dict(inputs), len(inputs["attention_mask"])
        found: dict[int, list[Tensor]] = {}
        with _quiet(), model.trace() as tracer:
            with tracer.invoke(batch):
                pass
            # Each in a worker of its own: streams of one block need not come in any order.
            for number, want in enumerate(wants):
                with tracer.invoke():
                    found[number] = collect(
                        model, want["reads"], want["columns"], want["average"], want["picked"], rows, want["norms"]
                    )
                    if len(found) == len(wants):
                        tracer.stop()
        return [torch.stack(found[number]) for number in range(len(wants))]

    def summarise(
        self,
        jobs: Sequence[dict[str, Any]],
        reads: Sequence[tuple[str, str, float]],
        part: slice,
        keep_rows: bool,
        touches: Sequence[Touch] = (),
        norms: bool = False,
    ) -> dict[str, Any]:
        """The statistics (`moments.take`) of what `capture` reads in several batches, computed where
        the model is, so that only the rows that are asked for leave it.

        A job is a dict with `inputs`, `columns`, `average` and `picked`, as `capture` takes them.
        `part` are the features that are kept, with `norms` their norm alone.
        """
        require_fit([job["inputs"] for job in jobs], self.opened.arch)
        model = self.model
        given = [{**job, "rows": len(job["picked"]), "padded": _padding(_mask(job))} for job in jobs]
        sized, kept_part = (part, slice(None)) if norms else (None, part)
        with _quiet(), model.session(**self._where(*map(_mask, jobs))):
            state = nnsight.save({})
            for job in given:
                with model.trace() as tracer:
                    with tracer.invoke(dict(job["inputs"])):
                        if touches:
                            visit(place(model, touches), job["rows"], 0, job["padded"], {})
                    with tracer.invoke():
                        kept = collect(model, reads, job["columns"], job["average"], job["picked"], job["rows"], sized)
                        if not touches:
                            tracer.stop()
                take(state, torch.stack(kept)[..., kept_part], keep_rows)
        return dict(state)

    def generate(
        self,
        inputs: Mapping[str, Tensor],
        touches: Sequence[Touch],
        passes: int,
        config: Any,
        draw: Callable[..., Any] | None = None,
        meter: Any = None,
        same: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Generate up to `passes` tokens for each row: int64 [B, S + generated], prompt included; and for each
        row the first step whose logits were not finite, int64 [B], -1 where all were (`finite.LogitWatch`).

        `draw` gives the tokens of sampled rows (`sampling.drawer`). Where `config` samples by itself, it
        draws from the seed that `torch.manual_seed` was last given, wherever the model is. `meter`, a streamer of
        transformers, gets each token if the model is in this process. `same` is for each row the first one that
        has the same prompt, and the same edits while it is read (None: no two have): these are read once. A server's
        transformers decodes by its own loop, which keeps all rows to the end.
        """
        require_fit([inputs], self.opened.arch, passes)
        model, batch, mask = self.model, dict(inputs), inputs["attention_mask"].bool()
        padded, rows, seed = _padding(mask), len(mask), torch.initial_seed()
        # By name too: what an object leaves open is filled from the model's own files, here or on a server.
        settings = spelled_out(config)
        watch = LogitWatch(end_tokens(config))
        where = self._where(mask)
        told = meter if meter is not None and not where else None
        if self.leaves and not config.do_sample and not config.return_dict_in_generate:
            loop = Loop(same or range(rows), watch, draw, told and told.put)
            present, settings["custom_generate"] = loop.present, loop
        else:
            present = Present(rows)
            last = [] if draw is None else [processor(draw, mask.shape[1])]
            settings["logits_processor"] = [watch, *last]  # in this order: it looks at the model's own logits
        streamer = {} if told is None else {"streamer": told}
        with _quiet(), model.generate(**settings, **streamer, **where) as tracer:
            torch.manual_seed(seed)
            with tracer.invoke(batch):
                ids = tracer.result.save()
                first = nnsight.save(watch.first)
            if touches:
                with tracer.invoke():
                    memory: dict[str, Any] = {}
                    placed = place(model, touches)
                    for step in tracer.iter[:passes]:
                        visit_present(placed, present, step, padded, memory)
        return ids, first.cpu()

    def logits(
        self,
        inputs: Mapping[str, Tensor],
        touches: Sequence[Touch],
        steps: Any,
        reduce: Callable[[Tensor], Any],
    ) -> Any:
        """Read whole texts in one pass with the edits in place, each token in the step that it would
        have when generated (`steps`, see `edits.Step`); `reduce` [B, S, vocab] -> what is kept."""
        reading = {"inputs": inputs, "touches": touches, "steps": steps, "keep": reduce}
        (kept,) = self.readings([reading], lambda *kept: kept)
        if self.witness is not None:
            self.witness += _tensors(kept, WITNESSED - sum(t.numel() for t in self.witness))
        return kept

    def readings(self, readings: Sequence[dict[str, Any]], reduce: Callable[..., Any]) -> Any:
        """Read texts several times, as `logits` does, and give what `reduce` makes of what the readings
        keep: where the model is, so that only the distributions that are asked for leave it.

        A reading is a dict with `inputs`, `touches` and `steps`, and `keep`, which is given its logits.
        """
        require_fit([one["inputs"] for one in readings], self.opened.arch)
        model = self.model
        given = [{**one, "rows": len(_mask(one)), "padded": _padding(_mask(one))} for one in readings]
        with _quiet(), model.session(**self._where(*map(_mask, readings))):
            read, marks = [], []
            for one in given:
                memory: dict[str, Any] = {}
                for _ in range(2):
                    with model.trace() as tracer:
                        with tracer.invoke(dict(one["inputs"])):
                            kept = one["keep"](model.output.logits)
                        if one["touches"]:
                            with tracer.invoke():
                                visit(place(model, one["touches"]), one["rows"], one["steps"], one["padded"], memory)
                    if "late" not in memory:
                        break
                    # A condition was known too late: the text is read again with what was decided.
                    memory = {"before": dict(memory)}
                read.append(kept)
                marks.append(broken(kept))
            found = nnsight.save(reduce(*read))
            bad = nnsight.save(marks)
        for one, rows in zip(given, bad, strict=True):
            if bool(rows.any()):
                raise logits_error(self, one, rows)
        require_figures(found)
        return found

    def trouble(self, reading: Mapping[str, Any], row: int, reads: Sequence[tuple[str, str, float]]) -> Tensor:
        """At which of `reads` (path, side, factor), in the order in which they run, a real token of one row has an
        activation that is not finite: bool [R]. Asked once a pass has failed, to say where. The whole batch
        is read again, since its edits know which rows are whose."""
        model, batch, touches, steps = self.model, dict(reading["inputs"]), reading["touches"], reading["steps"]
        mask = _mask(reading)
        rows, padded, picked = len(mask), _padding(mask), mask.clone()
        picked[:row], picked[row + 1 :] = False, False
        with _quiet(), model.trace(**self._where(mask)) as tracer:
            with tracer.invoke(batch):
                if touches:
                    visit(place(model, touches), rows, steps, padded, {})
            with tracer.invoke():
                found = nnsight.save(unsound(collect(model, reads, None, False, picked, rows)))
        return torch.tensor(list(found))


def _tensors(kept: Any, room: int) -> list[Tensor]:
    """The logits or log-probabilities of a reading, as many as there is room for."""
    if isinstance(kept, torch.Tensor):
        return [kept.detach().cpu().flatten()[: max(room, 0)]] if kept.is_floating_point() else []
    if not isinstance(kept, list | tuple):
        return []
    found: list[Tensor] = []
    for part in kept:
        found += _tensors(part, room - sum(t.numel() for t in found))
    return found


def _mask(job: Mapping[str, Any]) -> Tensor:
    mask: Tensor = job["inputs"]["attention_mask"].bool()
    return mask

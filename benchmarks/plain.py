"""What one writes by hand: PyTorch hooks round transformers' `generate`, with the edits of a recipe.

In: a finished run of a recipe, from which the prompts and the tensors of the edits are taken. Out: `Work`, which
does again what the run asked of the model: extraction, answers and likelihoods. Nothing is scored and nothing kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from steerdsl.engine.context import Run
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.engine.stored_answers import answers, rendered
from steerdsl.lang import recipe as r
from steerdsl.lang.variants import BASELINE, REFERENCE
from steerdsl.models.batching import joined, pad_id
from steerdsl.planning.samples import class_samples

Ids = Sequence[int]
# Edits of one site, with the rows of a batch where they act: module, side, kernel, first row, one past the last.
Edit = tuple[str, str, Callable[[Tensor], Tensor], int, int | None]


@dataclass(frozen=True, slots=True)
class Job:
    """The answers of one variant to one data set."""

    prompts: Sequence[Ids]
    touches: Sequence[Any]
    max_tokens: int
    temperature: float
    n: int
    reads: Sequence[tuple[Ids, int]]  # texts whose likelihood is read under this variant, and where it begins

    @property
    def answers(self) -> int:
        return len(self.prompts) * self.n


class Work:
    """All that a run asked of the model."""

    def __init__(self, run: Run) -> None:
        session = run.session
        self.model, self.pad = session.opened.model, pad_id(session.opened.tokenizer)
        self.device = next(self.model.parameters()).device
        self.ends = self.model.generation_config.eos_token_id
        self.classes = [_prompts(run, step.step, ref) for step in run.plan.steps for ref in _sides(step.step)]
        self.jobs = [_job(run, ask) for ask in run.asks.found.values()]

    @torch.no_grad()
    def extract(self, size: int) -> None:
        """The mean over each prompt's own tokens at every layer, by hooks, for both classes."""
        kept: list[Tensor] = []
        blocks = [m for name, m in self.model.named_modules() if name.rpartition(".")[2].isdigit() and _is_block(m)]
        handles = [block.register_forward_hook(lambda m, a, o: kept.append(_first(o))) for block in blocks]
        for prompts in self.classes:
            sums: list[Tensor] = []
            for start in range(0, len(prompts), size):
                given = self._batch(prompts[start : start + size])
                kept.clear()
                self.model.base_model(**given, use_cache=False)
                mask = given["attention_mask"][..., None]
                sums.append(torch.stack([(h.double() * mask).sum(1) / mask.sum(1) for h in kept]).sum(1))
            torch.stack(sums).sum(0)
        for handle in handles:
            handle.remove()

    def one_by_one(self, size: int, jobs: Sequence[Job] | None = None) -> list[list[Ids]]:
        """The answers of each variant by itself, at most `size` prompts at a time, and then the likelihoods."""
        made = []
        for job in self.jobs if jobs is None else jobs:
            own: list[Ids] = []
            for start in range(0, len(job.prompts), max(1, size // job.n)):
                prompts = [ids for ids in job.prompts[start : start + max(1, size // job.n)] for _ in range(job.n)]
                own += self._generate(prompts, job, _edits(job.touches, 0, None))
            self._read(job, size)
            made.append(own)
        return made

    def together(self, rows: int, size: int) -> None:
        """The answers of all variants as rows of as few batches as there can be; sampled ones take the likeliest
        token here. Likelihoods, which a larger batch makes no faster, at most `size` at a time."""
        every = [(ids, job) for job in self.jobs for ids in job.prompts for _ in range(job.n)]
        for limit in {job.max_tokens for job in self.jobs}:
            mine = [(ids, job) for ids, job in every if job.max_tokens == limit]
            for start in range(0, len(mine), rows):
                part = mine[start : start + rows]
                self._generate([ids for ids, _ in part], part[0][1], list(_by_rows([job for _, job in part])), False)
        for job in self.jobs:
            self._read(job, size)

    def _batch(self, prompts: Sequence[Ids]) -> dict[str, Tensor]:
        batch = joined(prompts, self.pad)
        return {"input_ids": batch.input_ids.to(self.device), "attention_mask": batch.mask.long().to(self.device)}

    @torch.no_grad()
    def _generate(self, prompts: Sequence[Ids], job: Job, edits: Sequence[Edit], sampled: bool = True) -> list[Ids]:
        given = self._batch(prompts)
        warm = {"do_sample": True, "temperature": job.temperature} if sampled and job.temperature else {}
        settings = {"max_new_tokens": job.max_tokens, "do_sample": False, "pad_token_id": self.pad, **warm}
        with hooked(self.model, edits):
            made = self.model.generate(**given, **settings)
        return [_ended(row, self.ends) for row in made[:, given["input_ids"].shape[1] :].tolist()]

    @torch.no_grad()
    def _read(self, job: Job, size: int) -> None:
        with hooked(self.model, _edits(job.touches, 0, None)):
            for start in range(0, len(job.reads), size):
                given = self._batch([ids for ids, _ in job.reads[start : start + size]])
                logits = self.model(**given, use_cache=False).logits[:, :-1].float()
                torch.log_softmax(logits, -1).gather(-1, given["input_ids"][:, 1:, None])


@contextmanager
def hooked(model: Any, edits: Sequence[Edit]) -> Iterator[None]:
    """While this lasts, the edits act."""
    handles = []
    for path, side, kernel, start, stop in edits:
        module = model.get_submodule(path)

        def change(h: Tensor, kernel: Any = kernel, start: int = start, stop: int | None = stop) -> Tensor:
            if start == 0 and stop is None:
                return kernel(h.float()).to(h.dtype)
            h = h.clone()
            h[start:stop] = kernel(h[start:stop].float()).to(h.dtype)
            return h

        if side == "input":
            handles.append(module.register_forward_pre_hook(lambda m, a, change=change: (change(a[0]), *a[1:])))
        else:
            handles.append(module.register_forward_hook(lambda m, a, o, change=change: _replaced(o, change)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _edits(touches: Sequence[Any], start: int, stop: int | None) -> list[Edit]:
    """The edits of a steer as kernels of this file, with the tensors that the recipe gave."""
    found: list[Edit] = []
    for touch in touches:
        for edit in touch["edits"]:
            found.append((touch["path"], touch["side"], _kernel(edit.args[0][1]), start, stop))
    return found


def _by_rows(jobs: Sequence[Job]) -> Iterator[Edit]:
    """The edits of a batch whose rows have a job each; those of one job stand together."""
    start = 0
    for place in range(1, len(jobs) + 1):
        if place == len(jobs) or jobs[place] is not jobs[start]:
            yield from _edits(jobs[start].touches, start, place)
            start = place


def _kernel(p: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """Removal of a direction, a step, or a turn in a plane, by the tensors that there are."""
    if "reader" in p:
        return lambda h: h - (h @ p["reader"].T.to(h.device)) @ p["unit"].to(h.device)
    if "aim" in p or "turn" in p:
        return lambda h: _turned(h, {name: t.to(h.device) for name, t in p.items()})
    return lambda h: h + p["step"].to(h.device)


def _turned(h: Tensor, p: dict[str, Tensor]) -> Tensor:
    ab = h @ p["basis"].T
    if "turn" in p:
        return h + ab @ p["turn"] @ p["basis"]
    return h - ab @ p["basis"] + ab.norm(dim=-1, keepdim=True) * p["aim"]


def _job(run: Run, ask: Any) -> Job:
    request, steer = ask.request, ask.steer
    touches = [] if steer is None else compile_steer(steer.ops, run.plan.model.arch, steer.values, steer.control)
    sampling = request.sampling
    prompts = [rows[0].prompt.ids for rows in ask.rows]
    return Job(prompts, touches, sampling.max_tokens, sampling.temperature, sampling.n, _reads(run, ask))


def _reads(run: Run, ask: Any) -> list[tuple[Ids, int]]:
    """The unsteered answers after a variant's prompts, where an evaluation reads how likely they are."""
    step = next((s.step for s in run.plan.steps if s.name == ask.request.step), None)
    if not isinstance(step, r.Evaluate) or all(call.name != "delta_nll" for call in step.metrics):
        return []
    if ask.request.variant.name == REFERENCE:
        return []
    base = next(
        other
        for other in run.asks.found.values()
        if other.request.variant.name == BASELINE and other.request.group == ask.request.group
    )
    made = answers(base.run, base.request)
    prompts = rendered(ask.run, ask.request)
    return [((*p.ids, *a.token_ids), len(p.ids)) for p, a in zip(prompts, made, strict=True)]


def _sides(step: r.Step) -> list[Any]:
    if not isinstance(step, r.Extract):
        return []
    return [ref for ref in (step.positive, step.negative) if ref is not None]


def _prompts(run: Run, step: Any, ref: Any) -> list[Ids]:
    return [p.ids for p in run.render(class_samples(run.plan.data, step, ref, run.plan.source))]


def _is_block(module: Any) -> bool:
    return any(hasattr(module, name) for name in ("self_attn", "attn", "attention"))


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _replaced(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)


def _ended(row: list[int], ends: Any) -> Ids:
    stops = set(ends) if isinstance(ends, list | tuple) else {ends}
    return row[: next((i for i, token in enumerate(row) if token in stops), len(row))]

"""Steering by plain PyTorch hooks: a second implementation, to hold the engine against.

In: transformers' own model, checked operations, and what they act with as plain tensors. Out:
generated tokens, activations and logits. Nothing of the engine, the methods or the table of sites
is used: sites are in `families`, formulas in `formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from families import FAMILIES
from formulas import Material, changed, compare, figure, in_time, number, numbers, patched
from torch import Tensor

from steerdsl.lang import recipe as r

Look = Callable[[Tensor], Tensor | None]
Spot = tuple[str, int, int | None]  # stream, layer, head


def left_padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Tensor, Tensor]:
    """ids and mask [B, S] of token rows of unequal length."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[False] * (width - len(row)) + [True] * len(row) for row in rows])
    return ids, mask


class Steered:
    """A model with operations as hooks, put in for one generation or one reading at a time."""

    def __init__(self, model: Any, family: str, ops: Sequence[r.Op] = (), material: Material | None = None) -> None:
        self.model, self.family, self.ops, self.material = model, family, ops, material or Material()
        config = model.config.get_text_config()
        self.n_layers, self.n_heads = config.num_hidden_layers, config.num_attention_heads
        self.sources = [self._source(op) if op.name == "patch" else {} for op in ops]
        self.handles: list[Any] = []

    def generate(self, prompts: Sequence[Sequence[int]], n: int, ends: Sequence[int]) -> list[list[int]]:
        """Greedy tokens of each prompt, up to the first of its end tokens; all prompts in one batch."""
        ids, mask = left_padded(prompts)
        with self._installed(mask), torch.no_grad():
            out = self.model.generate(
                input_ids=ids,
                attention_mask=mask.long(),
                max_new_tokens=n,
                do_sample=False,
                eos_token_id=list(ends),
                pad_token_id=0,
            )
        rows = out[:, ids.shape[1] :].tolist()
        assert self.t == len(rows[0]) - 1, "one pass for each generated token"
        return [list(takewhile(lambda token: token not in ends, row)) for row in rows]

    def read(self, ids: Tensor, mask: Tensor, where: Sequence[tuple[str, int]] = ()) -> tuple[list[Tensor], Tensor]:
        """The prompt's pass alone: activations [B, S, d] after every edit, and the logits."""
        kept: dict[tuple[str, int], Tensor] = {}
        with self._installed(mask), torch.no_grad():
            for stream, layer in where:
                self._hook(stream, layer, lambda h, key=(stream, layer): kept.__setitem__(key, h.clone()))
            positions = (mask.long().cumsum(-1) - 1).clamp(min=0)
            logits = self.model(input_ids=ids, attention_mask=mask.long(), position_ids=positions).logits
        return [kept[key] for key in where], logits

    def forced(self, prompt: Sequence[int], answer: Sequence[int]) -> Tensor:
        """The logits [T, vocab] that predict each token of a given answer, decoded one by one."""
        ids = torch.tensor([prompt])
        rows = []
        with self._installed(torch.ones_like(ids).bool()), torch.no_grad():
            out = self.model(input_ids=ids, use_cache=True)
            for token in answer:
                rows.append(out.logits[0, -1])
                ids = torch.tensor([[token]])
                out = self.model(input_ids=ids, past_key_values=out.past_key_values, use_cache=True)
        return torch.stack(rows)

    @contextmanager
    def _installed(self, mask: Tensor) -> Iterator[None]:
        self.t, self.mask, self.decided = -1, mask, {}

        def count(*_: Any) -> None:
            self.t += 1

        try:
            self.handles.append(self.model.register_forward_pre_hook(count))
            # On the module that writes both, what attention adds comes before the sum that it makes.
            for mid in (False, True):
                for place, op in enumerate(self.ops):
                    self._install(op, place, mid)
            yield
        finally:
            for handle in self.handles:
                handle.remove()
            self.handles = []

    def _hook(self, stream: str, layer: int, look: Look) -> None:
        """Call `look` with what flows through a site, [B, S, d]; what it returns takes its place."""
        side, path = FAMILIES[self.family][stream][0], FAMILIES[self.family][stream][1:]
        module = self.model.get_submodule(path.format(layer))

        def shaped(value: Tensor) -> Tensor | None:
            new = look(value.view(len(self.mask), -1, value.shape[-1]))
            return None if new is None else new.reshape(value.shape)

        def before(_: Any, args: tuple[Any, ...]) -> Any:
            new = shaped(args[0])
            return None if new is None else (new, *args[1:])

        def after(_: Any, args: Any, output: Any) -> Any:
            new = shaped(output[0] if isinstance(output, tuple) else output)
            return (new, *output[1:]) if new is not None and isinstance(output, tuple) else new

        hook = module.register_forward_pre_hook(before) if side == "<" else module.register_forward_hook(after)
        self.handles.append(hook)

    def _write(self, stream: str, layer: int, look: Look) -> None:
        """`_hook`, but resid_mid is seen and written through what attention adds to resid_pre."""
        if stream != "resid_mid":
            self._hook(stream, layer, look)
            return
        base: list[Tensor] = []

        def through(attn: Tensor) -> Tensor | None:
            new = look(base[-1] + attn)
            return None if new is None else (new.double() - base[-1].double()).to(attn.dtype)

        self._hook("resid_pre", layer, base.append)
        self._hook("attn_out", layer, through)

    def _install(self, op: r.Op, place: int, mid: bool) -> None:
        for i, condition in enumerate(op.conditions):
            if condition.layer is not None:
                named = condition.vector or (None if op.name == "rotate" else op.operand)
                stream = self.material.stream[named.name] if named is not None else "resid_post"
                if (stream == "resid_mid") == mid:
                    self._decide(op, condition, (place, i), stream)
        for spot in self._spots(op):
            if (spot[0] == "resid_mid") == mid:
                self._write(spot[0], spot[1], lambda h, spot=spot: self._act(op, place, spot, h))

    def _spots(self, op: r.Op) -> list[Spot]:
        if op.everywhere:
            writes = [(stream, layer, None) for layer in range(self.n_layers) for stream in ("attn_out", "mlp_out")]
            return [("resid_pre", 0, None), *writes]
        layers = numbers(op.layers, self.n_layers)
        heads = [("head", *s.numbers) for s in op.streams if s.numbers]
        return [*heads, *((s.name, layer, None) for s in op.streams if not s.numbers for layer in layers)]

    def _columns(self, spot: Spot, width: int) -> slice:
        size = width // self.n_heads
        return slice(None) if spot[2] is None else slice(spot[2] * size, (spot[2] + 1) * size)

    def _decide(self, op: r.Op, condition: r.Condition, key: tuple[int, int], stream: str) -> None:
        """A condition with a layer: once, on the prompt, from the mean over each row's real tokens."""
        layer = number(condition.layer, self.n_layers)

        def look(h: Tensor) -> None:
            if self.t == 0:
                mean = torch.stack([row[real].double().mean(0) for row, real in zip(h, self.mask, strict=True)])
                value = figure(op, condition, mean, layer, self.n_layers, self.material)
                self.decided[key] = compare(value, condition.op, condition.threshold)

        self._write(stream, layer, look)

    def _act(self, op: r.Op, place: int, spot: Spot, h: Tensor) -> Tensor | None:
        if not in_time(op, self.t):
            return None
        columns = self._columns(spot, h.shape[-1])
        part = h[..., columns]
        if op.name == "patch":
            new = patched(part.double(), self.sources[place][spot].double(), self.mask, op.args["align"])
        else:
            new = changed(op, part.double(), spot[1], self.n_layers, self.material)
        if op.keep_norm:
            new = new * part.double().norm(dim=-1, keepdim=True) / new.norm(dim=-1, keepdim=True)
        chosen = self._chosen(op, place, spot, part)
        if chosen is None:
            return None
        result = h.clone()
        result[..., columns] = torch.where(chosen[..., None], new.to(h.dtype), part)
        return result

    def _chosen(self, op: r.Op, place: int, spot: Spot, part: Tensor) -> Tensor | None:
        """The tokens that an operation acts on, [B, S]; None while a condition is not decided."""
        chosen = self.mask if self.t == 0 else torch.ones(part.shape[:-1], dtype=torch.bool)
        for i, condition in enumerate(op.conditions):
            if condition.kind == "step":
                continue
            if condition.layer is None:
                value = figure(op, condition, part, spot[1], self.n_layers, self.material)
                chosen = chosen & compare(value, condition.op, condition.threshold)
            elif (place, i) in self.decided:
                chosen = chosen & self.decided[place, i][:, None]
            else:
                return None
        return chosen

    def _source(self, op: r.Op) -> dict[Spot, Tensor]:
        """What flows through each place of a patch when its own prompt is read: [T, d]."""
        ids = torch.tensor([self.material.sources[op.args["from"]]])
        spots = self._spots(op)
        where = [(stream, layer) for stream, layer, _ in spots]
        kept, _ = Steered(self.model, self.family).read(ids, torch.ones_like(ids).bool(), where)
        return {spot: h[0][:, self._columns(spot, h.shape[-1])] for spot, h in zip(spots, kept, strict=True)}
